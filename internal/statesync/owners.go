// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// Slots say which bucket a connection belongs to in load sharing: the slot of its original tuple.
type Slots struct {
	// Rules is a fingerprint of what Of goes by (key kind, hash key, VIPs, ranges, published servers). Members compare and repair their
	// tables only while it is the same on both sides. Never 0.
	Rules uint64
	// Of returns the slot, below record.Buckets. It is called from several goroutines at once, millions of times a second at worst.
	Of func(original record.Tuple) uint16
}

// Owners say whose table counts for which bucket, as the slot table has it.
type Owners struct {
	// Term, Number and Commit order slot tables: Commit is false in the phase "prepare".
	Term, Number uint32
	Commit       bool
	// Takes is the member that takes a bucket, ccp.Nobody for none. Moving are the buckets that are about to move to another member: what
	// the two have of them is not compared for the moment.
	Takes  [record.Buckets]uint8
	Moving [record.Buckets]bool
	// Sharing says that this member's share is open, or lingers: what its kernel begins and changes is told to the others.
	Sharing bool
}

// SetSlots says how connections sort into buckets, from now on; it makes the plane one for load sharing, where SetOwners takes the place of
// SetRole. To be called before SetOwners, and again whenever the rules change: each time every tally is made anew.
func (p *Plane) SetSlots(s Slots) {
	_ = s
}

// SetOwners tells who owns what. Every member is a copy of what others own. Tables that are older than the one before are ignored, but for
// Sharing. The channel is closed once everything that had come in before has been applied to the kernel's table: whoever gains buckets
// opens its gate for them after that (wait a few ms at most).
func (p *Plane) SetOwners(o Owners) <-chan struct{} {
	_ = o
	done := make(chan struct{})
	close(done)
	return done
}
