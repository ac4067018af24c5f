// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/management"
)

// member is what is known of one.
type member struct {
	state     State
	why       string
	at        int64    // when it came to this state
	heard     []string // at its newest report
	last      int64    // when that came; 0: never
	committed int64    // when it first said that it has committed; 0: it has not
}

func (x *member) reported(e Reported, now int64) {
	x.heard, x.last = slices.Clone(e.Heard), now
	if e.State == Idle || e.State == Silent {
		return // what it said of this attempt still holds: a member forgets none that it gave its word for
	}
	if x.state == Refused && e.State == Aborted {
		return // it is over there; why is of more use
	}
	if x.state != e.State {
		x.at = now
	}
	x.state, x.why = e.State, e.Why
	switch {
	case e.State != Committed && e.State != Confirmed:
		x.committed = 0
	case x.committed == 0:
		x.committed = now
	}
}

// trial is a load of the policy by management, for members that load the same.
type trial struct {
	members []string
	asked   bool  // it was begun, since no member can tell
	until   int64 // so long it is waited for then, beyond the deadline if it was begun late
	over    bool
	why     string // it is refused
}

// tried returns why a trial refuses the policy, or the members for which nobody has loaded it yet, no trial and none of them, and until when that is
// waited for.
func (m *Machine) tried() (why string, open []string, until int64) {
	until = m.deadline()
	for _, t := range m.trials {
		switch {
		case t.over && t.why != "":
			return t.why, nil, 0
		case !t.over && !slices.ContainsFunc(t.members, func(name string) bool { return m.members[name] != nil && m.ready(m.members[name]) }):
			open = append(open, t.members...)
			if t.asked {
				until = max(until, t.until)
			} else {
				until = max(until, m.deadline()+m.limit()/2)
			}
		}
	}
	return "", open, until
}

// slow is when members that may be left behind are tried for though they may yet answer: the other half of the time is the trial's.
func (m *Machine) slow() int64 { return m.since + m.limit()/2 }

// try begins trials for members of whom none has loaded the policy, and none will: they refuse, or are silent, or are too slow to be waited for.
func (m *Machine) try() {
	slow := m.a.BestEffort && m.now >= m.slow()
	for i := range m.trials {
		t := &m.trials[i]
		may := func(name string) bool {
			x := m.members[name]
			return x != nil && !x.refused() && (m.ready(x) || !slow && (m.there(x) || m.now < m.since+int64(m.cfg.Silence)))
		}
		if !t.asked && !t.over && !slices.ContainsFunc(t.members, may) {
			t.asked, t.until = true, min(m.now, m.deadline())+m.limit()/2
			m.out = append(m.out, Try{i})
		}
	}
}

// judge decides what can be decided now.
func (m *Machine) judge() {
	if m.done || m.writing || m.now < m.retry {
		return
	}
	switch {
	case m.a.Phase == management.Preparing && m.taken != 0:
		m.judgeTaken()
	case m.a.Phase == management.Preparing:
		m.judgePrepare()
	case m.a.Phase == management.Committed:
		m.judgeCommit()
	default:
		m.judgeEnd()
	}
}

func (m *Machine) judgeTaken() {
	for _, x := range m.members {
		if x.state == Committed || x.state == Confirmed {
			m.decide(management.Committed, "")
			return
		}
	}
	if m.now >= m.taken+int64(m.cfg.Silence) {
		m.decide(management.Aborted, "the management server that ran it stopped before it was decided")
	}
}

func (m *Machine) judgePrepare() {
	no, open, ready := map[string]string{}, map[string]string{}, 0
	for name, x := range m.members {
		switch {
		case x.refused():
			no[name] = string(x.state) + reason(x.why)
		case m.ready(x):
			ready++
		default:
			open[name] = m.unanswered(x)
		}
	}
	why, untried, until := m.tried()
	left := m.a.BestEffort && ready > 0 // who does not answer is
	switch {
	case why != "":
		m.decide(management.Aborted, "refused by management's check: "+why)
	case len(no) == 0 && len(open) == 0:
		m.decide(management.Committed, "")
	case len(no) > 0 && !m.a.BestEffort:
		m.decide(management.Aborted, list(no))
	case len(open) > 0 && m.now < m.deadline(), left && len(untried) > 0 && m.now < until: // perhaps it comes
		m.try()
	case left && len(untried) > 0:
		m.decide(management.Aborted, "management's check did not end in time for "+strings.Join(untried, ", "))
	case left:
		m.decide(management.Committed, "")
	default:
		for name, why := range open {
			no[name] = why
		}
		m.decide(management.Aborted, list(no))
	}
}

func (x *member) refused() bool {
	switch x.state {
	case Refused, Aborted, RollingBack, RolledBack:
		return true
	}
	return false
}

// ready reports whether a member is prepared, and there; one that has the policy already is as good as prepared.
func (m *Machine) ready(x *member) bool {
	switch x.state {
	case Prepared, Committing, Committed, Confirmed:
		return m.there(x)
	}
	return false
}

func (m *Machine) there(x *member) bool { return x.last != 0 && m.now < x.last+int64(m.cfg.Silence) }

// unanswered is what is wrong with a member that is not ready.
func (m *Machine) unanswered(x *member) string {
	switch {
	case x.last == 0:
		return "was not heard"
	case !m.there(x):
		return "is silent" + reason(string(x.state))
	case x.state == Silent:
		return "has not answered"
	}
	return "is still " + string(x.state) + reason(x.why)
}

func (m *Machine) judgeCommit() {
	bad, all := m.unwell()
	late := m.now >= m.deadline()
	switch {
	case m.anyConfirmed():
		m.decide(management.Confirmed, "") // the store was restored from a backup, and has forgotten the decision
	case m.taken != 0 && m.now < m.taken+int64(m.cfg.Silence) && (late || len(bad) > 0): // perhaps one says so
	case len(bad) > 0:
		m.decide(management.RolledBack, list(bad))
	case late && len(all) > 0:
		m.decide(management.RolledBack, list(all))
	case late:
		m.decide(management.RolledBack, fmt.Sprintf("nobody confirmed within %v", time.Duration(m.a.ConfirmWithin)))
	case len(all) == 0 && !m.a.Manual && m.now >= m.expired():
		m.decide(management.Confirmed, "")
	}
}

// expired is until when, after a take-over, members' own limits may be running out, by the records' times, so that a confirmation would find some that
// go back; now, if that is not so. Members that still wait then show that the server that wrote the records has another clock.
func (m *Machine) expired() int64 {
	from := m.a.Decided + m.a.ConfirmWithin - m.offset
	until := from + int64(m.cfg.Grace+m.cfg.Silence+m.cfg.Settle)
	if m.taken == 0 || m.now < from || m.now >= until {
		return m.now
	}
	return until
}

// anyConfirmed reports whether a member was told that the attempt is confirmed.
func (m *Machine) anyConfirmed() bool {
	for _, x := range m.members {
		if x.state == Confirmed {
			return true
		}
	}
	return false
}

// unwell lists the members that went back, and all that are not known to be well, of those that had prepared.
func (m *Machine) unwell() (bad, all map[string]string) {
	bad, all = map[string]string{}, map[string]string{}
	for _, r := range m.a.Replies {
		if left(r.State) {
			continue
		}
		x := m.members[r.Member]
		missing := missing(r.Heard, x.heard)
		switch {
		case x.refused():
			bad[r.Member] = string(x.state) + reason(x.why)
			all[r.Member] = bad[r.Member]
		case x.state != Committed && x.state != Confirmed:
			all[r.Member] = "has not committed" + reason(x.why)
		case x.committed == 0 || x.last < x.committed+int64(m.cfg.Settle):
			all[r.Member] = "has not reported since it committed"
		case !m.there(x):
			all[r.Member] = "is silent"
		case len(missing) > 0:
			all[r.Member] = "does not hear " + strings.Join(missing, ", ")
		}
	}
	return bad, all
}

// missing lists the peers that were heard and are not any more.
func missing(before, now []string) []string {
	var out []string
	for _, peer := range before {
		if !slices.Contains(now, peer) {
			out = append(out, peer)
		}
	}
	return out
}

// judgeEnd ends the attempt when all that are there have said that they know, or were waited for long enough.
func (m *Machine) judgeEnd() {
	if m.now < m.deadline() {
		for _, x := range m.members {
			if !m.knows(x) && (m.there(x) || m.now < m.since+int64(m.cfg.Silence)) {
				return
			}
		}
	}
	m.writing = true
	m.out = append(m.out, End{m.replies(m.a.Phase)})
}

// knows reports whether a member has said that it is where the decision wants it, or never will be.
func (m *Machine) knows(x *member) bool {
	switch x.state {
	case Confirmed:
		return m.a.Phase == management.Confirmed
	case Aborted, Refused:
		return true
	case RolledBack:
		return m.a.Phase != management.Confirmed
	}
	return false
}
