// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// Implementation constants of strangers.
const (
	// strangeWindow is how long frames that were not taken are counted together, and told.
	strangeWindow = time.Minute
	// strangeFrom is how many of them are worth telling: a restart or a change of key leaves some.
	strangeFrom = 10
)

// strangers remembers frames that bear this cluster's number and cannot be of a member, so that an operator need not find them in counters.
type strangers struct {
	since, last int64
	count       int
	drop        ccp.DropReason
	iface       string
	from        [6]byte
}

// note takes a frame that was not taken. Reasons that say nothing of whose it was are passed over.
func (s *strangers) note(now int64, drop ccp.DropReason, iface string, from [6]byte) {
	if strangerText(drop) == "" {
		return
	}
	if now-s.since > int64(strangeWindow) {
		s.since, s.count = now, 0
	}
	s.count++
	s.last, s.drop, s.iface, s.from = now, drop, iface, from
}

// warning is what to tell of them, "" for nothing.
func (s *strangers) warning(now int64, cluster uint16) string {
	if s.count < strangeFrom || now-s.last > int64(strangeWindow) {
		return ""
	}
	return fmt.Sprintf("frames of cluster %d come in on %s from %s: %s", cluster, s.iface, macText(s.from), strangerText(s.drop))
}

func strangerText(drop ccp.DropReason) string {
	switch drop {
	case ccp.DropOwn:
		return "they bear this member's own number: a second machine is configured as this member, or a switch sends frames back"
	case ccp.DropKey, ccp.DropTag, ccp.DropSeal:
		return "they are not sealed with this cluster's key: another cluster has its id, a member has another key file, or somebody forges them"
	case ccp.DropVersion:
		return "they are of another version of the protocol: a member runs a program that is not compatible"
	default:
		return ""
	}
}
