// SPDX-License-Identifier: Apache-2.0

package members

import (
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/members/device"
)

// Generation names a policy: two of the same number are the same only if their digests are. The zero value is none.
type Generation struct {
	Number uint64
	Digest [32]byte
}

// None reports whether there is none.
func (g Generation) None() bool { return g.Number == 0 }

// installTime is how long the members of a cluster may have different policies in force while one is installed: each commits when it
// hears of the decision, and one that does not asks the others.
const installTime = int64(10 * time.Second)

// Why a member has no policy in place, when nothing more is known.
const (
	waitsForPolicy = "waits for its policy"
	hasNoPolicy    = "this member has no policy and passes no traffic"
)

// policies is what is known of this member's policy and of that which counts: the policy of the member that serves, or served last.
type policies struct {
	own    Generation
	none   bool       // it is known that there is none
	counts Generation // None: not known
	at     uint8      // whose it is
	agreed bool       // this one has had the policy that counts
	since  int64      // since when it has another one, 0 if it does not
	other  string     // why it is held back, "" if it is not
	said   difference // what other says
}

// difference is two members' policies, as put into words.
type difference struct {
	mine, theirs Generation
	at           uint8
}

// policyReady takes in what the daemon says of the policy, if it is waited for.
func (m *Machine) policyReady(e *PolicyReady) {
	p := &m.policy
	if !m.cfg.WaitPolicy {
		return
	}
	was := p.own
	p.own, p.none = Generation{}, !e.Ready && !e.Unknown
	status, reason := device.OK, ""
	switch {
	case e.Ready:
		p.own = e.Policy
	case e.Unknown:
		status, reason = device.Init, waitsForPolicy
	default:
		status, reason = device.Problem, hasNoPolicy
	}
	if e.Reason != "" && !e.Ready {
		reason = e.Reason
	}
	m.report(device.Policy, status, reason)
	m.helloSoon = m.helloSoon || was != p.own
}

// judgePolicy holds a member back whose policy is another one than that of the member that serves, for longer than an install takes. A
// member that has not had the one that counts since it started is no part of an install: it is held back at once. What the others have
// moves nothing: whoever is the first to have a new one waits like the last.
func (m *Machine) judgePolicy() {
	p := &m.policy
	switch server := m.peer(m.server); {
	case !m.cfg.WaitPolicy:
		return
	case m.server == m.self:
		p.counts, p.at = p.own, m.self
	case server != nil && server.helloAt != 0:
		p.counts, p.at = server.hello.Policy, server.id
	}
	switch {
	case p.own.None() || p.counts.None():
		p.since, p.other = 0, ""
		return
	case p.own == p.counts:
		p.agreed, p.since, p.other = true, 0, ""
		return
	case p.since == 0:
		p.since = m.now
	}
	if due := p.since + installTime; p.agreed && m.now < due {
		p.other = ""
		m.wakeAt(due)
		return
	}
	if d := (difference{p.own, p.counts, p.at}); p.other == "" || d != p.said {
		p.said, p.other = d, differenceText(d, m.name(p.at))
	}
}

// otherPolicy says why a peer that is READY is held back by its policy, or nothing.
func (m *Machine) otherPolicy(p *peer) string {
	d := difference{p.hello.Policy, m.policy.counts, m.policy.at}
	if !m.cfg.WaitPolicy || d.mine.None() || d.theirs.None() || d.mine == d.theirs || d.at == p.id {
		return ""
	}
	return differenceText(d, m.name(d.at))
}

func differenceText(d difference, at string) string {
	if d.mine.Number == d.theirs.Number {
		return fmt.Sprintf("its generation %d of the policy is another one than that of %s, which serves", d.mine.Number, at)
	}
	return fmt.Sprintf("has generation %d of the policy in force, %s, which serves, %d", d.mine.Number, at, d.theirs.Number)
}

// withoutPolicy reports whether this member has no policy in place, or it is not known yet that it has: it never begins to serve.
func (m *Machine) withoutPolicy() bool {
	d, _ := m.devices.Get(device.Policy)
	return d.Status == device.Init || m.policy.none
}
