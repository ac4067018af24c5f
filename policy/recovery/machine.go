// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

// Names of sources that are not peers.
const (
	Local      = "local"
	Management = "management"
)

// Config is what the member knows beforehand. Times are positive.
type Config struct {
	Peers          []string      // in the cluster's order, without itself
	PeerWait       time.Duration // until the peers that are there have been heard
	ManagementWait time.Duration // until management must have answered
	Retry          time.Duration // between two tries
	// Declined are policies that are not taken, whoever offers them: this member went back from them. Event Declined replaces them.
	Declined []policy.Digest
}

type peer struct {
	heard, active bool
	has           policy.Offer
}

// Machine is the recovery of one member. Not safe for concurrent use.
type Machine struct {
	cfg   Config
	now   int64
	out   []Effect
	start int64

	local, inForce policy.Offer
	peers          map[string]*peer
	management     policy.Offer
	answered       bool // management has said what it has
	unreachable    bool
	asked          int64 // when; 0: not
	retryAt        int64 // of asking
	why            string

	doing    Effect // a Fetch or Use that is under way
	failed   map[source]int64
	declined map[policy.Digest]bool
	unloaded bool
	problem  Problem
	pending  bool
	wake     int64
}

// source is an offer from somebody who could not give it.
type source struct {
	name   string
	digest policy.Digest
}

const never = int64(1<<63 - 1)

// New begins at a time, in ns of CLOCK_BOOTTIME. local is the newest valid policy on disk that was in force somewhere: one
// that is prepared only is the install's, and unknown here. inForce is what the kernel has: after a restart of the daemon, not of the
// machine, that still is in force.
func New(cfg Config, local, inForce policy.Offer, now int64) (*Machine, []Effect) {
	m := &Machine{cfg: cfg, now: now, start: now, local: local, inForce: inForce, peers: map[string]*peer{}, failed: map[source]int64{}, problem: Problem{Reason: "-"}}
	m.local.Source = Local
	m.decline(cfg.Declined)
	for _, p := range cfg.Peers {
		m.peers[p] = &peer{}
	}
	m.decide()
	return m, m.out
}

// Step takes an event and returns what is to be done. now never goes back.
func (m *Machine) Step(now int64, e Event) []Effect {
	m.now, m.out = max(m.now, now), nil
	switch e := e.(type) {
	case Peer:
		if p := m.peers[e.Name]; p != nil {
			e.Has.Source = e.Name
			*p = peer{true, e.Active, e.Has}
		}
	case PeerGone:
		if p := m.peers[e.Name]; p != nil {
			*p = peer{}
		}
	case Answered:
		m.answered, m.unreachable, m.management = true, false, e.Has
		m.management.Source = Management
	case Unreachable:
		m.unreachable, m.why, m.retryAt = true, e.Why, m.now+int64(m.cfg.Retry)
	case Fetched:
		m.ended(e.What)
		m.why = ""
		if e.What.Generation >= m.local.Generation && !m.declined[e.What.Digest] {
			m.local = e.What
			m.local.Source = Local
		}
	case Failed:
		m.ended(e.What)
		until := m.now + int64(m.cfg.Retry)
		if e.Forged {
			until = never
		}
		m.failed[source{e.Source, e.What.Digest}] = until
		m.why = e.Source + ": " + e.Why
	case InForce:
		m.ended(e.What)
		m.inForce, m.why = e.What, ""
		if e.What.Generation > m.local.Generation && !m.declined[e.What.Digest] {
			m.local = e.What
			m.local.Source = Local
		}
	case NotInForce:
		m.ended(e.What)
		m.failed[source{Local, e.What.Digest}] = m.now + int64(m.cfg.Retry)
		m.why = e.Why
	case Unloaded:
		m.unloaded, m.inForce = true, policy.Offer{}
	case Resume:
		m.unloaded = false
	case Declined:
		m.decline(e.All)
		m.local, m.inForce = e.Local, e.InForce
		m.local.Source = Local
	case Tick:
	}
	m.decide()
	return m.out
}

func (m *Machine) decline(all []policy.Digest) {
	m.declined = map[policy.Digest]bool{}
	for _, d := range all {
		m.declined[d] = true
	}
}

// willing is the offer, or none if this member went back from that policy.
func (m *Machine) willing(o policy.Offer) policy.Offer {
	if m.declined[o.Digest] {
		return policy.Offer{Source: o.Source}
	}
	return o
}

func (m *Machine) ended(what policy.Offer) {
	switch d := m.doing.(type) {
	case Fetch:
		if d.What.Digest == what.Digest {
			m.doing = nil
		}
	case Use:
		if d.What.Digest == what.Digest {
			m.doing = nil
		}
	}
}

// offers are what can be had from peers, ACTIVE ones first.
func (m *Machine) offers() []policy.Offer {
	var active, others []policy.Offer
	for _, name := range m.cfg.Peers {
		p := m.peers[name]
		switch {
		case !p.heard || m.willing(p.has).None():
		case p.active:
			active = append(active, p.has)
		default:
			others = append(others, p.has)
		}
	}
	return append(active, others...)
}

// settled reports whether the peers that will be heard have been.
func (m *Machine) settled() bool {
	return m.now-m.start >= int64(m.cfg.PeerWait) || !slices.ContainsFunc(m.cfg.Peers, func(n string) bool { return !m.peers[n].heard })
}

func (m *Machine) decide() {
	m.wake, m.pending = never, false
	p := Problem{m.next(), false}
	p.Pending = m.pending && p.Reason != ""
	if p != m.problem {
		m.problem = p
		m.out = append(m.out, p)
	}
	if m.wake != never {
		m.out = append(m.out, WakeAt{m.wake})
	}
}

// next begins what is to be done now, and returns what is wrong until then; "" if a policy is in force.
func (m *Machine) next() (reason string) {
	if m.unloaded {
		return "the policy was unloaded by an operator"
	}
	if !m.settled() {
		m.at(m.start + int64(m.cfg.PeerWait))
		return m.soon("waiting for peers")
	}
	offers := m.offers()
	peers, err := policy.Newest(offers)
	if err != nil {
		return m.none(err.Error())
	}
	all := slices.Concat(offers, []policy.Offer{m.local})
	stale := peers.None() || peers.Generation < m.local.Generation || m.exhausted(peers)
	switch {
	case m.inForce.None() || stale && m.inForce.Digest != m.local.Digest:
		if stale {
			if m.answered {
				all = append(all, m.willing(m.management))
			} else if wait := m.ask(); wait {
				return m.soon("waiting for management")
			}
		}
	case stale: // what is in force stays: a member that runs asks nobody
		all = []policy.Offer{m.inForce}
	}
	if newer := m.willing(m.management); m.answered && !m.inForce.None() && newer.Generation > m.inForce.Generation && !slices.Contains(all, newer) {
		all = append(slices.Clone(all), newer)
	}
	best, err := policy.Newest(all)
	switch {
	case err != nil:
		return m.none(err.Error())
	case best.None() && len(m.declined) > 0:
		m.repeat()
		return m.none("nobody has another one than what was rolled back here")
	case best.None():
		m.repeat()
		return m.none("nobody has one")
	case best.Digest == m.inForce.Digest:
		return ""
	case m.doing != nil:
		return m.soon("generation " + text(best.Generation) + " is on its way")
	case best.Digest == m.local.Digest:
		return m.use()
	}
	return m.fetch(best, all)
}

// soon is none while something goes on.
func (m *Machine) soon(what string) string {
	m.pending = true
	return m.none(what)
}

// none is the problem of having no policy in force; with an older one in force there is none.
func (m *Machine) none(what string) string {
	if !m.inForce.None() {
		return ""
	}
	if m.why != "" {
		what += " (" + m.why + ")"
	}
	return "no policy: " + what
}

// exhausted reports whether every peer that offers this has failed to give it, and it is not on disk.
func (m *Machine) exhausted(o policy.Offer) bool {
	return o.Digest != m.local.Digest && !slices.ContainsFunc(m.offers(), func(p policy.Offer) bool {
		return p.Digest == o.Digest && m.failed[source{p.Source, p.Digest}] <= m.now
	})
}

// ask asks management, and reports whether its answer is still to be waited for.
func (m *Machine) ask() (wait bool) {
	switch {
	case m.asked == 0:
		m.asked = m.now
		m.retryAt = m.now + int64(m.cfg.ManagementWait)
		m.out = append(m.out, Ask{})
	case m.now >= m.retryAt && (m.unreachable || m.local.None()):
		m.unreachable = true
		m.retryAt = m.now + int64(m.cfg.Retry)
		m.out = append(m.out, Ask{})
	}
	if !m.unreachable && m.now >= m.retryAt {
		m.unreachable, m.why, m.retryAt = true, "management does not answer", m.now+int64(m.cfg.Retry)
	}
	m.at(m.retryAt)
	return !m.unreachable
}

// repeat asks management again when nobody has anything.
func (m *Machine) repeat() {
	if m.answered {
		m.answered, m.unreachable, m.retryAt = false, true, m.now+int64(m.cfg.Retry)
	}
	m.at(m.retryAt)
}

func (m *Machine) use() string {
	if until := m.failed[source{Local, m.local.Digest}]; until > m.now {
		m.at(until)
		return m.none("generation " + text(m.local.Generation) + " cannot be put into force")
	}
	m.doing = Use{m.local}
	m.out = append(m.out, m.doing)
	return m.soon("generation " + text(m.local.Generation) + " is put into force")
}

// fetch asks the first of those who offer it and have not failed.
func (m *Machine) fetch(best policy.Offer, all []policy.Offer) string {
	next := never
	for _, o := range all {
		if o.Digest != best.Digest {
			continue
		}
		if until := m.failed[source{o.Source, o.Digest}]; until > m.now {
			next = min(next, until)
			continue
		}
		m.doing = Fetch{o}
		m.out = append(m.out, m.doing)
		return m.soon("generation " + text(best.Generation) + " is fetched from " + o.Source)
	}
	m.at(next)
	// Until then: an older one, if that is all there is.
	if m.inForce.None() && !m.local.None() {
		return m.use()
	}
	return m.none("nobody can give generation " + text(best.Generation))
}

func (m *Machine) at(t int64) { m.wake = min(m.wake, t) }

func text(generation uint64) string { return strconv.FormatUint(generation, 10) }
