// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"strings"

	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/internal/metrics"
	"github.com/holdfast-project/holdfast/members"
)

// shareNews is what operators were told last.
type shareNews struct {
	carries    bool  // this member carries a share
	since      int64 // since when that is not so any more, or is so again; 0: it is as told
	weights    [steer.Members]uint16
	unassigned int
}

// shareRecord tells operators what became of the slots.
func (n *node) shareRecord(now int64, r steer.Record) {
	state := members.StateInit // which one does not matter: nothing changes
	ev := members.Record{From: state, To: state, Peer: members.Nobody, Term: r.Version.Term, Reason: r.Reason}
	switch r.Kind {
	case steer.RecordTable:
		ev.Code, ev.Reason = members.CodeSlotsAssigned, fmt.Sprintf("table %d of term %d: %s", r.Version.Number, r.Version.Term, n.takers(n.share.table))
		if r.Moved > 0 {
			ev.Reason += fmt.Sprintf("; %d moved", r.Moved)
		}
	case steer.RecordExcluded:
		ev.Code, ev.Peer = members.CodeMemberExcluded, r.Member
		ev.Reason = n.name(r.Member) + " has no share any more: " + r.Reason
	case steer.RecordDropped:
		ev.Code, ev.Reason = members.CodeShareLost, "this member gave its share up: "+r.Reason
		n.share.news.carries = false
	case steer.RecordUnflushed:
		n.log.Warn("slots moved before all that was known of their connections was told", "member", n.name(r.Member), "reason", r.Reason)
		return
	case steer.RecordAborted:
		n.log.Info("a planned change of slots was given up", "member", n.name(r.Member), "reason", r.Reason)
		return
	case steer.RecordAdmitted:
		n.log.Info("a member is given a share", "member", n.name(r.Member), "term", r.Version.Term, "number", r.Version.Number)
		return
	case steer.RecordExhausted:
		n.log.Warn("slots", "reason", r.Reason)
		return
	default:
		return
	}
	n.record(now, ev)
}

// takers says in words who takes how many slots of a table.
func (n *node) takers(t *steer.Table) string {
	takes, _ := t.Takes()
	var all []string
	for _, m := range n.cfg.Members {
		all = append(all, fmt.Sprintf("%s %d", m.Name, takes[m.ID]))
	}
	return strings.Join(all, ", ")
}

// shareNews tells operators of what lasts: a share that is closed for a moment, while another member begins to lead, is none.
func (n *node) shareTold(now int64) {
	s := &n.share
	if w := s.agreement.Weights(); w != s.news.weights {
		if s.news.weights != ([steer.Members]uint16{}) {
			n.say(members.CodeWeightsChanged, "weights are "+n.weightsText(w))
		}
		s.news.weights = w
	}
	unassigned := 0
	for _, e := range s.table.Entry {
		if e.Nobody() && s.table.Phase != steer.PhaseNone {
			unassigned++
		}
	}
	if unassigned > 0 && s.news.unassigned == 0 {
		n.say(members.CodeSlotsUnassigned, fmt.Sprintf("nobody takes %d of %d slots", unassigned, steer.Slots))
	}
	s.news.unassigned = unassigned
	carries := n.carries(n.local.Self.ID)
	switch {
	case carries == s.news.carries:
		s.news.since = 0
		return
	case s.news.since == 0:
		s.news.since = now
		return
	case now-s.news.since < int64(n.cfg.Timers.Linger):
		return
	}
	s.news.carries, s.news.since = carries, 0
	takes, _ := s.table.Takes()
	mine := takes[n.local.Self.ID]
	switch {
	case carries:
		n.say(members.CodeShareOpen, fmt.Sprintf("this member takes %d of %d slots", mine, steer.Slots))
	case s.leaving || mine == 0 && s.table.Share[n.local.Self.ID] != 0:
		n.say(members.CodeShareLeft, "others have taken this member's slots, in order")
	case mine == 0:
		n.say(members.CodeShareLost, "others have been given this member's slots")
	default:
		n.say(members.CodeShareLost, "the gate does not take this member's share")
	}
}

func (n *node) weightsText(w [steer.Members]uint16) string {
	var all []string
	for _, m := range n.cfg.Members {
		all = append(all, fmt.Sprintf("%s %d", m.Name, w[m.ID]))
	}
	return strings.Join(all, ", ")
}

// publishShare brings the metrics up to how the load is shared.
func (n *node) publishShare(now int64, v *members.View) {
	s := &n.share
	if s.agreement == nil {
		return
	}
	load := n.loadOf(now, v)
	t := s.traffic
	m := metrics.Sharing{
		Term: int(load.Table.Term), Moving: load.Table.Moving, Unassigned: load.Table.Nobody, Settled: load.Table.Settled, Blocking: s.block,
		Members: map[string]metrics.SharingMember{}, Bytes: t.Bytes,
		Packets: map[string]uint64{"taken": t.Taken, "passed": t.Passed, "corrected": t.Corrected, "passed-in": t.PassedIn,
			"duplicate": t.Duplicates, "unknown": t.Unknown, "foreign": t.Foreign},
	}
	for _, one := range load.Members {
		m.Members[one.Name] = metrics.SharingMember{Leader: one.Leader, Open: one.Open, Weight: one.Weight, Configured: one.Configured,
			Share: one.SharePercent / 100, Measured: one.MeasuredPercent / 100}
	}
	n.metrics.SetSharing(m)
}
