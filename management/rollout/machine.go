// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/management"
)

// Config is times, positive. How long members have to prepare, and to be confirmed, an attempt says itself.
type Config struct {
	Silence time.Duration // how old the newest report of a member may be that counts as there; several intervals of reports
	Settle  time.Duration // how long after its commit a member must still report and hear its peers
	Grace   time.Duration // how much later than management members give up waiting for a confirmation
	Retry   time.Duration // between two tries to write a decision down
	Linger  time.Duration // how long members are waited for after a final decision
}

// Default is what management uses.
func Default() Config {
	return Config{Silence: 3 * time.Second, Settle: time.Second, Grace: 3 * time.Second, Retry: 200 * time.Millisecond, Linger: 10 * time.Second}
}

// Times of an attempt for which nobody asked for others.
const (
	DefaultPrepare = time.Minute      // for all to prepare
	DefaultConfirm = 30 * time.Second // for the confirmation: management confirms as soon as all members are well
)

// Event is what happens. The set of events is closed.
type Event interface{ event() }

type (
	// Reported is a member's report. One that is about another attempt has the state Idle here, and still says whom the member hears.
	Reported struct {
		Member string
		State  State
		Why    string
		Heard  []string // names of the peers that it hears
	}
	// Tried says how a trial ended: Why is why it refuses the policy; "": it does not.
	Tried struct {
		Trial int // as New was given them
		Why   string
	}
	// Stored says what the store has of the attempt: it ends the effect Persist, also if another server was first.
	Stored struct{ Attempt management.Attempt }
	// NotStored says that it is not known whether a write was made; it is tried again.
	NotStored struct{}
	// Confirm is a person's confirmation; see Machine.Confirmable.
	Confirm struct{}
	// Cancel ends the attempt as far as it can be: abort before the commit, rolled back after it, nothing once it is confirmed.
	Cancel struct{ Why string }
	// Tick says that the time that WakeAt named has come.
	Tick struct{}
)

func (Reported) event()  {}
func (Tried) event()     {}
func (Stored) event()    {}
func (NotStored) event() {}
func (Confirm) event()   {}
func (Cancel) event()    {}
func (Tick) event()      {}

// Effect is what is to be done, in order. The set of effects is closed.
type Effect interface{ effect() }

type (
	// Persist writes a decision down, if management.Attempt.Move allows it, and answers with Stored or NotStored. There is one at a time.
	Persist struct {
		To      management.Phase
		Why     string
		Replies []management.Reply
	}
	// End writes down that the attempt is over and that nobody is left to be told, and answers likewise.
	End struct{ Replies []management.Reply }
	// Try has management load the policy itself, for members of whom none can tell whether it can be loaded: it ends with Tried.
	Try struct{ Trial int }
	// Tell says that what members are to do has changed: OrderOf Machine.Attempt.
	Tell struct{}
	// Done says that the attempt is ended.
	Done struct{}
	// WakeAt asks for a Tick at a time, in place of an earlier one.
	WakeAt struct{ Time int64 }
)

func (Persist) effect() {}
func (End) effect()     {}
func (Try) effect()     {}
func (Tell) effect()    {}
func (Done) effect()    {}
func (WakeAt) effect()  {}

// Machine runs one attempt. Not safe for concurrent use.
type Machine struct {
	cfg     Config
	a       management.Attempt // as it is stored
	members map[string]*member
	trials  []trial
	taken   int64 // when it was taken over; 0: it was not
	since   int64 // when its phase began, by the clock of now: limits count from here
	asked   int64 // when the first decision of this phase was to be written; 0: none was
	offset  int64 // from the clock of now to that of the records
	writing bool
	retry   int64 // not before this time, since a write failed
	done    bool
	out     []Effect
	now     int64
}

// New begins an attempt that is stored, or takes over one that another server began. What is taken over waits for Config.Silence first, since the
// store may have been restored from a backup and have forgotten a decision that members know of. An attempt that is not decided is aborted
// then, unless a member says that it has committed; a committed one may be rolled back then, unless a member says that it is confirmed.
//
// trials are of what members would load, each for those that load the same. The policy is not committed before one of each has loaded it, or,
// where none of them can, management itself (Try). Who takes an attempt over has none.
//
// now is of a clock that does not jump, wall of the one that the records' times are of. The limit of the phase begins anew with a take-over: the server
// that wrote the records may have another clock, and the members' own end a confirmation that is overdue, which they say.
func New(cfg Config, a management.Attempt, trials [][]string, takeOver bool, now, wall int64) (*Machine, []Effect) {
	m := &Machine{cfg: cfg, a: a, members: map[string]*member{}, now: now, since: now, offset: wall - now}
	if takeOver {
		m.taken = now
	}
	for _, r := range a.Replies {
		x := &member{state: StateOf(r.State), why: r.Why}
		if r.At != 0 {
			x.at = r.At - m.offset
		}
		m.members[r.Member] = x
	}
	for _, of := range trials {
		m.trials = append(m.trials, trial{members: of})
	}
	m.out = append(m.out, Tell{})
	if a.Ended != 0 {
		m.done = true
		m.out = append(m.out, Done{})
	}
	m.judge()
	return m, m.flush()
}

// Attempt is the attempt as it is stored.
func (m *Machine) Attempt() management.Attempt { return m.a }

// Done reports whether the attempt is ended.
func (m *Machine) Done() bool { return m.done }

// Step takes an event and returns what is to be done. now never goes back.
func (m *Machine) Step(now int64, e Event) []Effect {
	m.now = max(m.now, now)
	if m.done {
		return nil
	}
	switch e := e.(type) {
	case Reported:
		if x := m.members[e.Member]; x != nil {
			x.reported(e, m.now)
		}
	case Tried:
		if e.Trial >= 0 && e.Trial < len(m.trials) {
			m.trials[e.Trial].over, m.trials[e.Trial].why = true, e.Why
		}
	case Stored:
		m.stored(e.Attempt)
	case NotStored:
		m.writing, m.retry = false, m.now+int64(m.cfg.Retry)
	case Confirm:
		if m.Confirmable() == nil {
			m.decide(management.Confirmed, "")
		}
	case Cancel:
		m.decide(management.Aborted, e.Why)
		m.decide(management.RolledBack, e.Why)
	case Tick:
	}
	m.judge()
	return m.flush()
}

// Confirmable reports why a person cannot confirm now; nil if it is the time. The error is an *OverError or a *NotWellError.
func (m *Machine) Confirmable() error {
	if m.a.Phase != management.Committed {
		return &OverError{Number: m.a.Number, Phase: m.a.Phase}
	}
	_, all := m.unwell()
	if m.now < m.expired() {
		for _, r := range m.a.Replies {
			if all[r.Member] == "" && !left(r.State) {
				all[r.Member] = "may go back by itself now"
			}
		}
	}
	if len(all) > 0 {
		return &NotWellError{Number: m.a.Number, Members: all}
	}
	return nil
}

// decide writes a decision down; only one that may follow the last.
func (m *Machine) decide(to management.Phase, why string) {
	if m.writing || !m.a.Phase.Next(to) {
		return
	}
	m.writing = true
	if m.asked == 0 {
		m.asked = m.now
	}
	m.out = append(m.out, Persist{To: to, Why: why, Replies: m.replies(to)})
}

// stored goes on with what the store has, whoever decided it.
func (m *Machine) stored(a management.Attempt) {
	changed := a.Phase != m.a.Phase
	m.a, m.writing = a, false
	if changed {
		// A write that was not answered may have been made: then the record says when, as far as that can be.
		m.since = min(max(began(a)-m.offset, m.asked), m.now)
		m.asked = 0
		m.out = append(m.out, Tell{})
	}
	if a.Ended != 0 {
		m.done = true
		m.out = append(m.out, Done{})
	}
}

// began is when the phase of an attempt began, by the record.
func began(a management.Attempt) int64 {
	switch a.Phase {
	case management.Preparing:
		return a.Begun
	case management.Committed:
		return a.Decided
	}
	return a.Settled
}

// limit is how long the phase may take, in ns.
func (m *Machine) limit() int64 {
	switch m.a.Phase {
	case management.Preparing:
		return m.a.PrepareWithin
	case management.Committed:
		return m.a.ConfirmWithin
	}
	return int64(m.cfg.Linger)
}

func (m *Machine) deadline() int64 { return m.since + m.limit() }

// replies are what members have said, as it is stored with the decision to.
func (m *Machine) replies(to management.Phase) []management.Reply {
	var out []management.Reply
	for _, old := range m.a.Replies {
		x := m.members[old.Member]
		r := management.Reply{Member: old.Member, State: x.state.reply(), Why: x.why, Heard: old.Heard}
		if x.at != 0 {
			r.At = x.at + m.offset
		}
		switch {
		case m.a.Phase != management.Preparing:
			// Of one that was left behind, or never said anything, why is of more use than that.
			if r.State == management.Waiting || m.a.Phase != management.Aborted && left(r.State) {
				r = old
			}
		case to == management.Committed && m.ready(x):
			r.Heard = slices.Clone(x.heard)
		case to == management.Committed || to == management.Aborted:
			if r.State == management.Waiting || r.State == management.MemberPrepared && !m.there(x) {
				r.State, r.Why, r.At = management.MemberSilent, m.unanswered(x), m.now+m.offset
			}
		}
		out = append(out, r)
	}
	return out
}

func (m *Machine) flush() []Effect {
	if wake := m.wake(); wake != 0 {
		m.out = append(m.out, WakeAt{max(wake, m.now+1)})
	}
	out := m.out
	m.out = nil
	return out
}
