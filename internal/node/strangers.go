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
	count       uint64
	drop        ccp.DropReason
	iface       string // "" for frames that the gate dropped, which counts only
	from        [6]byte
	gate        map[ccp.DropReason]uint64 // what the gate had dropped when it was last looked at
}

// note takes a frame that was not taken. Reasons that say nothing of whose it was are passed over.
func (s *strangers) note(now int64, drop ccp.DropReason, iface string, from [6]byte) {
	if s.add(now, drop, 1) {
		s.iface, s.from = iface, from
	}
}

// dropped takes the gate's own counter of a reason, as it stands.
func (s *strangers) dropped(now int64, drop ccp.DropReason, total uint64) {
	was, known := s.gate[drop]
	if s.gate == nil {
		s.gate = make(map[ccp.DropReason]uint64)
	}
	s.gate[drop] = total
	if known && total > was {
		s.add(now, drop, total-was)
	}
}

func (s *strangers) add(now int64, drop ccp.DropReason, count uint64) bool {
	if strangerText(drop) == "" {
		return false
	}
	if now-s.since > int64(strangeWindow) {
		s.since, s.count, s.iface = now, 0, ""
	}
	s.count += count
	s.last, s.drop = now, drop
	return true
}

// warning is what to tell of them, "" for nothing.
func (s *strangers) warning(now int64, cluster uint16) string {
	if s.count < strangeFrom || now-s.last > int64(strangeWindow) {
		return ""
	}
	where := ""
	if s.iface != "" {
		where = fmt.Sprintf(" on %s from %s", s.iface, macText(s.from))
	}
	return fmt.Sprintf("frames of cluster %d come in%s: %s", cluster, where, strangerText(s.drop))
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
