// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

// Attempt is one install of one policy. Numbers are management's, and only grow; the same policy installed again is another attempt.
type Attempt struct {
	Number uint64 // 0: none
	Policy policy.Offer
}

// None reports whether there is none.
func (a Attempt) None() bool { return a.Number == 0 }

func (a Attempt) same(b Attempt) bool {
	return a.Number == b.Number && a.Policy.Digest == b.Policy.Digest
}

// Durable is what a member must still know after a crash. The zero value is a member that never had a policy.
type Durable struct {
	InForce  policy.Offer
	Prepared Attempt // it gave its word for
	Ended    uint64  // the newest attempt that is over for it, committed or aborted
	Aborted  uint64  // the newest attempt that management decided to abort, as far as it knows
}

// Config is times, positive.
type Config struct {
	Doubt time.Duration // silence after which a prepared member asks
	Ask   time.Duration // between two rounds of asking, and between two tries of the kernel
}

// Decision is management's on an attempt.
type Decision uint8

// Decisions. Unknown is no decision: management does not know the attempt, or has not decided.
const (
	Unknown Decision = iota
	Commit
	Abort
)

// Event is what happens. The set of events is closed.
type Event interface{ event() }

type (
	// Prepare asks the member to load a policy asleep; it is on the local disk and verified.
	Prepare struct{ Attempt Attempt }
	// Decided is management's decision, sent or asked for.
	Decided struct {
		Attempt  Attempt
		Decision Decision
	}
	// Loaded and NotLoaded end the effect Load.
	Loaded struct{ Attempt Attempt }
	// NotLoaded says why the policy cannot be loaded.
	NotLoaded struct {
		Attempt Attempt
		Why     string
	}
	// Switched and NotSwitched end the effect Switch.
	Switched struct{ Attempt Attempt }
	// NotSwitched says why the kernel did not make the change; it is tried again.
	NotSwitched struct {
		Attempt Attempt
		Why     string
	}
	// Asked says that a peer asks what this member knows of an attempt.
	Asked struct {
		From    string
		Attempt Attempt
	}
	// Told is a peer's answer, or what its HELLO says.
	Told struct {
		From    string
		Attempt Attempt      // that was asked for
		InForce policy.Offer // at the peer
		// Decision is Abort if the peer was told so.
		Decision Decision
	}
	// Replaced says that something else put a policy into force: recovery, a rollback.
	Replaced struct{ InForce policy.Offer }
	// Tick says that the time that WakeAt named has come.
	Tick struct{}
)

func (Prepare) event()     {}
func (Decided) event()     {}
func (Loaded) event()      {}
func (NotLoaded) event()   {}
func (Switched) event()    {}
func (NotSwitched) event() {}
func (Asked) event()       {}
func (Told) event()        {}
func (Replaced) event()    {}
func (Tick) event()        {}

// Effect is what is to be done, in order. The set of effects is closed.
type Effect interface{ effect() }

type (
	// Save must be on the disk before the next effect is performed.
	Save struct{ Durable Durable }
	// Load the policy asleep.
	Load struct{ Attempt Attempt }
	// Switch puts the loaded policy into force, in one transaction.
	Switch struct{ Attempt Attempt }
	// Unload removes what was loaded asleep.
	Unload struct{ Attempt Attempt }
	// Reply is for management.
	Reply struct {
		Attempt Attempt
		State   State
		Why     string // with Refused, and with Committing that fails
	}
	// AskPeers sends Asked to all peers.
	AskPeers struct{ Attempt Attempt }
	// AskManagement asks for its decision; it answers with Decided.
	AskManagement struct{ Attempt Attempt }
	// Tell answers a peer.
	Tell struct {
		To   string
		What Told
	}
	// WakeAt asks for a Tick at a time, in place of an earlier one.
	WakeAt struct{ Time int64 }
)

func (Save) effect()          {}
func (Load) effect()          {}
func (Switch) effect()        {}
func (Unload) effect()        {}
func (Reply) effect()         {}
func (AskPeers) effect()      {}
func (AskManagement) effect() {}
func (Tell) effect()          {}
func (WakeAt) effect()        {}

// State is where a member is in an attempt.
type State uint8

const (
	// Idle: there is no attempt.
	Idle State = iota
	// Loading: the kernel is given the policy.
	Loading
	// Prepared: it gave its word.
	Prepared
	// Committing: the kernel makes the change.
	Committing
	// Committed: the policy is in force.
	Committed
	// Aborted: the attempt is over, and the policy before it stays.
	Aborted
	// Refused: the policy cannot be loaded here.
	Refused
)

// String is the word that people see.
func (s State) String() string {
	if words := []string{"idle", "loading", "prepared", "committing", "committed", "aborted", "refused"}; int(s) < len(words) {
		return words[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Machine is a member's part in installs. Not safe for concurrent use.
type Machine struct {
	cfg   Config
	d     Durable
	state State   // Idle to Committing
	at    Attempt // unless Idle
	heard int64   // when management, or a peer that knew, was last heard of it
	asked int64   // when the last round of asking was
	peers bool    // the last round was to peers, so the next is to management
	out   []Effect
	now   int64
}

// New begins, or goes on after a crash: d is what was saved last, inForce what the kernel has. A prepared policy is loaded again, in case the
// kernel lost it, and the member is in doubt at once.
func New(cfg Config, d Durable, inForce policy.Offer, now int64) (*Machine, []Effect) {
	m := &Machine{cfg: cfg, d: d, now: now}
	if !d.Prepared.None() {
		if inForce.Digest == d.Prepared.Policy.Digest { // committed, and the machine died before it was written down
			m.at = d.Prepared
			m.committed()
			return m, m.flush()
		}
		m.at, m.state = d.Prepared, Loading
		m.out = append(m.out, Load{m.at})
	}
	return m, m.flush()
}

// State is where the member is, and with which attempt.
func (m *Machine) State() (State, Attempt) { return m.state, m.at }

// Durable is what was saved last.
func (m *Machine) Durable() Durable { return m.d }

// InDoubt reports whether the member gave its word and hears nothing; since is when it last did.
func (m *Machine) InDoubt() (yes bool, since int64) {
	return m.state == Prepared && m.now-m.heard >= int64(m.cfg.Doubt), m.heard
}

func (m *Machine) flush() []Effect {
	if wake := m.wake(); wake != 0 {
		m.out = append(m.out, WakeAt{wake})
	}
	out := m.out
	m.out = nil
	return out
}

func (m *Machine) wake() int64 {
	switch m.state {
	case Prepared:
		return max(m.heard+int64(m.cfg.Doubt), m.asked+int64(m.cfg.Ask), m.now+1)
	case Committing:
		return max(m.asked+int64(m.cfg.Ask), m.now+1)
	}
	return 0
}

// Step takes an event and returns what is to be done. now never goes back.
func (m *Machine) Step(now int64, e Event) []Effect {
	m.now = max(m.now, now)
	switch e := e.(type) {
	case Prepare:
		m.prepare(e.Attempt)
	case Decided:
		m.decided(e.Attempt, e.Decision)
	case Loaded:
		m.loaded(e.Attempt)
	case NotLoaded:
		m.notLoaded(e.Attempt, e.Why)
	case Switched:
		if m.state == Committing && e.Attempt.same(m.at) {
			m.committed()
		}
	case NotSwitched:
		if m.state == Committing && e.Attempt.same(m.at) {
			m.asked = m.now // tried again at the next tick
			m.reply(m.at, Committing, e.Why)
		}
	case Asked:
		m.tell(e)
	case Told:
		m.told(e)
	case Replaced:
		m.replaced(e.InForce)
	case Tick:
		m.tick()
	}
	return m.flush()
}

func (m *Machine) reply(a Attempt, s State, why string) { m.out = append(m.out, Reply{a, s, why}) }

func (m *Machine) save() { m.out = append(m.out, Save{m.d}) }

func (m *Machine) prepare(a Attempt) {
	switch {
	case a.same(m.at) && m.state != Idle:
		m.heard = m.now
		if m.state == Prepared {
			m.reply(a, Prepared, "")
		}
	case a.Number != 0 && a.Number <= m.d.Ended: // said again, or late: it is over
		m.over(a)
	case m.state != Idle && a.Number <= m.at.Number:
		m.reply(a, Refused, fmt.Sprintf("attempt %d came after attempt %d", a.Number, m.at.Number))
	case m.state == Committing: // that one first; management asks again
	case m.state == Prepared || m.state == Loading && m.d.Prepared.same(m.at):
		// It gave its word for the other one, and others may have committed that: management has to say how it ended first.
		m.reply(a, Refused, fmt.Sprintf("attempt %d is not decided here", m.at.Number))
		m.out = append(m.out, AskManagement{m.at})
	case a.Number == 0 || a.Policy.None():
		m.reply(a, Refused, "an attempt without a number, or without a policy")
	case a.Policy.Generation < m.d.InForce.Generation:
		m.reply(a, Refused, fmt.Sprintf("generation %d is in force, %d is older", m.d.InForce.Generation, a.Policy.Generation))
	case a.Policy.Generation == m.d.InForce.Generation && a.Policy.Digest != m.d.InForce.Digest:
		m.reply(a, Refused, fmt.Sprintf("generation %d is in force with digest %s, not %s", m.d.InForce.Generation, m.d.InForce.Digest.Short(), a.Policy.Digest.Short()))
	case a.Policy.Digest == m.d.InForce.Digest: // it came by other means
		m.at = a
		m.committed()
	default:
		if m.state != Idle { // no word was given for that one
			m.forget(m.at)
		}
		m.at, m.state, m.heard = a, Loading, m.now
		m.out = append(m.out, Load{a})
	}
}

// over repeats how an attempt ended.
func (m *Machine) over(a Attempt) {
	switch {
	case a.Policy.Digest == m.d.InForce.Digest || a.Policy.Generation < m.d.InForce.Generation && a.Number != m.d.Aborted:
		m.reply(a, Committed, "")
	default:
		m.reply(a, Aborted, "")
	}
}

func (m *Machine) loaded(a Attempt) {
	if m.state != Loading || !a.same(m.at) {
		return
	}
	again := m.d.Prepared.same(a) // after a crash: the word was given before
	m.state, m.d.Prepared = Prepared, a
	if again {
		m.heard = 0
		m.ask()
		return
	}
	m.save()
	m.heard = m.now
	m.reply(a, Prepared, "")
}

func (m *Machine) notLoaded(a Attempt, why string) {
	if m.state != Loading || !a.same(m.at) {
		return
	}
	if m.d.Prepared.same(a) {
		// The word stands. What cannot be loaded any more is loaded again when management says commit.
		m.state, m.heard = Prepared, 0
		m.reply(a, Prepared, why)
		m.ask()
		return
	}
	m.state, m.at, m.d.Ended = Idle, Attempt{}, a.Number
	m.save()
	m.reply(a, Refused, why)
}

func (m *Machine) decided(a Attempt, d Decision) {
	switch {
	case m.state != Idle && a.same(m.at):
		switch {
		case d == Commit && m.state == Prepared:
			m.commit()
		case d == Abort && m.state != Committing:
			m.d.Aborted = max(m.d.Aborted, a.Number)
			m.forget(a)
			m.reply(a, Aborted, "")
		case d == Unknown && m.state == Prepared:
			m.heard = m.now // management is there, and has not decided
		}
	case d == Unknown:
	case a.Number <= m.d.Ended:
		m.over(a)
	case d == Abort: // before its prepare came, or that was refused
		m.d.Aborted, m.d.Ended = max(m.d.Aborted, a.Number), max(m.d.Ended, a.Number)
		m.save()
		m.reply(a, Aborted, "")
	}
}

func (m *Machine) commit() {
	m.state, m.asked = Committing, m.now
	m.out = append(m.out, Switch{m.at})
}

func (m *Machine) committed() {
	m.d.InForce, m.d.Prepared, m.d.Ended = m.at.Policy, Attempt{}, max(m.d.Ended, m.at.Number)
	a := m.at
	m.state, m.at = Idle, Attempt{}
	m.save()
	m.reply(a, Committed, "")
}

// forget ends the attempt that is under way.
func (m *Machine) forget(a Attempt) {
	m.d.Prepared, m.d.Ended = Attempt{}, max(m.d.Ended, a.Number)
	m.state, m.at = Idle, Attempt{}
	m.save()
	m.out = append(m.out, Unload{a})
}

func (m *Machine) tell(e Asked) {
	t := Told{Attempt: e.Attempt, InForce: m.d.InForce}
	if m.d.Aborted == e.Attempt.Number {
		t.Decision = Abort
	}
	if e.Attempt.Policy.Digest == m.d.InForce.Digest {
		t.Decision = Commit
	}
	m.out = append(m.out, Tell{e.From, t})
}

func (m *Machine) told(e Told) {
	if m.state != Prepared {
		return
	}
	switch {
	case e.InForce.Digest == m.at.Policy.Digest:
		m.commit()
	case e.Attempt.same(m.at) && e.Decision == Abort:
		a := m.at
		m.d.Aborted = a.Number
		m.forget(a)
		m.reply(a, Aborted, "")
	}
}

func (m *Machine) replaced(o policy.Offer) {
	m.d.InForce = o
	switch {
	case m.state == Idle:
		m.save()
	case o.Digest == m.at.Policy.Digest:
		m.committed()
	case o.Generation >= m.at.Policy.Generation: // the attempt is behind
		m.forget(m.at)
	default:
		m.save()
	}
}

func (m *Machine) tick() {
	switch {
	case m.state == Committing && m.now-m.asked >= int64(m.cfg.Ask):
		m.commit()
	case m.state == Prepared && m.now-m.heard >= int64(m.cfg.Doubt) && m.now-m.asked >= int64(m.cfg.Ask):
		m.ask()
	}
}

// ask asks peers and management in turns.
func (m *Machine) ask() {
	m.asked, m.peers = m.now, !m.peers
	if m.peers {
		m.out = append(m.out, AskPeers{m.at})
	} else {
		m.out = append(m.out, AskManagement{m.at})
	}
}
