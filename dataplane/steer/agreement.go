// SPDX-License-Identifier: Apache-2.0

package steer

import "time"

// Agreement is one member's part in the agreement on slots: the leader's, that makes tables, and the others', that follow them. It is not safe
// for concurrent use. docs/decisions/013-slots-are-agreed-in-two-steps.md says how and why.
type Agreement struct {
	cfg    Config
	own    Own
	peers  [Members]Peer // what was told last; the own one is not used
	table  *Table        // in force here: never changed, only replaced
	known  *Table        // the newest that was seen, if it is newer than table
	weight [Members]uint16
	set    Weights
	factor [Members]uint16
	frozen bool

	// As a follower.
	share    uint32 // the term that the pulse renews the share with, 0 none
	adopted  bool   // table was found in the gate: who made it, and the shares, are not known
	dropped  bool   // the share was given up because this member is broken
	follows  uint8
	orphan   int64 // since when nobody leads, 0 if somebody does
	flushing bool
	flushed  bool
	drained  bool
	// After a restart: the gate says so still, and since when it need not, 0 if it must.
	returning bool
	returned  int64

	lead *lead // nil if this member does not lead

	steady int64 // since when every Tick came in time
	wake   int64 // when the next is due, 0 if none is
	told   Status
	out    []Effect
}

// New makes the agreement of a member that knows no table.
func New(cfg Config) *Agreement {
	a := &Agreement{cfg: cfg, table: &Table{Leader: Nobody}, weight: cfg.Weight, follows: Nobody, told: Status{Leader: Nobody, Follows: Nobody}}
	for i := range a.peers {
		a.peers[i].Status.Follows, a.peers[i].Status.Leader = Nobody, Nobody
	}
	return a
}

// Step takes an event in at a boot time and returns what is to be done, in order.
func (a *Agreement) Step(now int64, e Event) []Effect {
	a.out = nil
	if a.steady == 0 || a.wake != 0 && now > a.wake+3*int64(a.cfg.Timing.Probe) {
		// What others seem to have missed, this member may not have read yet.
		a.steady = now
	}
	switch e := e.(type) {
	case Adopted:
		a.adopt(e)
	case Own:
		a.own = e
	case Peer:
		a.peer(e)
	case TableReceived:
		a.received(e)
	case FlushDone:
		a.flushDone(e)
	case YieldResult:
		a.yielded(now, e)
	case Configured:
		a.weight = e.Weight
		if e.Reset && a.set.Set {
			a.set = Weights{Serial: a.set.Serial + 1, By: a.cfg.Self}
		}
	case SetWeight:
		a.setWeight(e)
	case Adapted:
		a.factor = e.Factor
	case Freeze:
		a.frozen = e.On
	}
	a.follow(now)
	a.leading(now)
	a.settleIn(now)
	if s := a.Status(); s != a.told {
		a.told = s
		a.emit(Tell{})
	}
	if w := a.nextWake(now); w != a.wake {
		a.wake = w
		a.emit(WakeAt{At: w})
	}
	return a.out
}

func (a *Agreement) emit(e Effect) { a.out = append(a.out, e) }

func (a *Agreement) peer(p Peer) {
	if p.ID >= a.cfg.Members || p.ID == a.cfg.Self {
		return
	}
	if p.HelloAt == 0 {
		p.Status = Status{Leader: Nobody, Follows: Nobody}
	}
	a.peers[p.ID] = p
	if p.Status.Weights.newer(a.set) {
		a.set = p.Status.Weights
	}
}

func (a *Agreement) setWeight(e SetWeight) {
	if e.Member >= a.cfg.Members {
		return
	}
	w := Weights{Serial: a.set.Serial + 1, By: a.cfg.Self, Set: true, Weight: a.Weights()}
	w.Weight[e.Member] = e.Weight
	a.set = w
}

// Weights returns the weights that count at present, before measured load changes them.
func (a *Agreement) Weights() [Members]uint16 {
	if a.set.Set {
		return a.set.Weight
	}
	return a.weight
}

// Status returns what HELLOs are to say.
func (a *Agreement) Status() Status {
	s := Status{
		Version: a.table.Version, Leader: a.table.Leader, Flushed: a.flushed, Open: a.own.Open && a.share != 0 && a.own.Share == a.share,
		Share: a.share, Dropped: a.dropped, Follows: a.follows, Weights: a.set,
	}
	return s
}

// Table returns the table in force at this member, which must not be changed.
func (a *Agreement) Table() *Table { return a.table }

// since reports whether something that began at a time has lasted for d, in time that this member did not sleep through.
func (a *Agreement) since(began, now int64, d time.Duration) bool {
	return now-max(began, a.steady) >= int64(d)
}

// nextWake says when something is due that no event tells.
func (a *Agreement) nextWake(now int64) int64 {
	w := a.nextChange(now)
	if due := a.returned + int64(a.cfg.Timing.Hello); a.returning && a.returned != 0 && (w == 0 || due < w) {
		return due
	}
	return w
}

func (a *Agreement) nextChange(now int64) int64 {
	probe := int64(a.cfg.Timing.Probe)
	switch {
	case a.lead != nil && a.lead.busy(a):
		return now + probe
	case a.lead != nil:
		return now + 10*probe // the node wakes ten times a second anyway
	case a.orphan != 0 && a.share != 0:
		return a.orphan + int64(a.cfg.Timing.Orphan)
	}
	return 0
}
