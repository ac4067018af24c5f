// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"errors"
	"fmt"
)

// DropReason says why a daemon did not take a sealed frame. It is a label of metrics: ONLY APPEND.
type DropReason uint8

// The reasons, in the order in which a frame is checked.
const (
	// DropNone: the frame was taken.
	DropNone DropReason = iota
	// DropShort: fewer bytes than the header promises.
	DropShort
	// DropVersion: a header of another version.
	DropVersion
	// DropType: type zero, or a gate frame on a socket for sealed ones.
	DropType
	// DropLength: a body length that no frame may have.
	DropLength
	// DropCluster: another cluster's.
	DropCluster
	// DropSource: a source that is no member number.
	DropSource
	// DropOwn: this member's own number as source: a loop, or a second machine configured as this member.
	DropOwn
	// DropTarget: another member's.
	DropTarget
	// DropKey: sealed under a key number that this member does not hold.
	DropKey
	// DropTag: the outer tag is wrong: forged or damaged.
	DropTag
	// DropRetired: from an incarnation whose successor has proved itself: a recording.
	DropRetired
	// DropReplay: this very sequence was taken before.
	DropReplay
	// DropOld: behind the replay window, so that nobody can tell.
	DropOld
	// DropSeal: the tag is right and the seal is not.
	DropSeal
	// DropMalformed: sealed properly and yet contradicting itself.
	DropMalformed

	// DropReasons is how many reasons there are: the length of an array of counters.
	DropReasons = int(iota)
)

// String returns the reason as metrics label it.
func (r DropReason) String() string {
	switch r {
	case DropNone:
		return "none"
	case DropShort:
		return "short"
	case DropVersion:
		return "version"
	case DropType:
		return "type"
	case DropLength:
		return "length"
	case DropCluster:
		return "cluster"
	case DropSource:
		return "source"
	case DropOwn:
		return "own"
	case DropTarget:
		return "target"
	case DropKey:
		return "key"
	case DropTag:
		return "tag"
	case DropRetired:
		return "retired"
	case DropReplay:
		return "replay"
	case DropOld:
		return "old"
	case DropSeal:
		return "seal"
	case DropMalformed:
		return "malformed"
	}
	return fmt.Sprintf("reason-%d", uint8(r))
}

// dropReason translates what ParseHeader says.
func dropReason(err error) DropReason {
	switch {
	case errors.Is(err, ErrVersion):
		return DropVersion
	case errors.Is(err, ErrType):
		return DropType
	case errors.Is(err, ErrLength):
		return DropLength
	}
	return DropShort
}
