// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/members/gate"
)

// group is what main wants of a VIP group, and what it knows of its words.
type group struct {
	term    uint32 // to renew; 0: none
	stored  bool   // the lease word holds it: main's request has opened the gate, or found it opened
	lost    Lost
	expired uint32 // the last term lost to LostExpired: a claim has a new one
	renewed int64  // when last; until it is stored, when main asked
	told    GateChanged
	toldAny bool // told is what main knows
}

// unreported are bits whose change alone is no news: Heard and the words themselves show them.
const unreported = ccp.BitWatched | ccp.BitRestarting

// lease has a term renewed from now on; main asked for it at the boot time asked. A term that the fence does not permit is given up at once.
// The gate may serve it already: main changes its mind about alone, or a new main or pulse takes over from an old one. Then nothing but the
// time of renewal is touched, and the lease's age counts: one that lay for longer than the hard expiry is lost.
func (e *engine) lease(now, asked int64, g uint8, term uint32, alone bool) {
	e.watching |= 1 << g
	gr := &e.groups[g]
	gr.toldAny = false
	held := e.words.Lease(g)
	same := held.Term() == term
	switch {
	case gr.term == term: // renewed already, or about to be
	case same:
		gr.stored, gr.renewed = true, now-held.Age(now)
	default:
		gr.stored, gr.renewed = false, min(asked, now)
	}
	gr.term, gr.lost = term, LostNot
	switch {
	case term == 0 || term > gate.MaxTerm:
		e.lose(g, LostOvertaken)
		return
	case term == gr.expired:
		e.lose(g, LostExpired)
		return
	}
	if e.lapsed(now, g) {
		// The gate is closed. Not even the mark "alone" may open it.
		e.renew(now)
		return
	}
	// The mark "alone" is older than the opening that it explains, and outlives it: no moment of a late lease is unmarked.
	if alone && (!same || e.words.Alone(g) == 0) {
		e.words.SetAlone(g, now)
	}
	e.renew(now)
	if !alone && e.words.Alone(g) != 0 {
		e.words.SetAlone(g, 0)
	}
}

// drop ends a group's lease because main says so.
func (e *engine) drop(g uint8) {
	e.watching |= 1 << g
	e.groups[g].toldAny = false
	e.lose(g, LostNot)
}

// lose ends a group's lease.
func (e *engine) lose(g uint8, why Lost) {
	gr := &e.groups[g]
	if why == LostExpired {
		gr.expired = gr.term
	}
	gr.term, gr.stored, gr.lost = 0, false, why
	e.words.Revoke(g)
	e.words.SetAlone(g, 0)
}

// lapsed reports whether the term that main wants lay for the hard expiry, since it was last renewed or since main asked for it. By
// then its gate was closed, or its claim was settled without it, and every opening is a claim, which is main's to make.
func (e *engine) lapsed(now int64, g uint8) bool {
	gr := &e.groups[g]
	return now-gr.renewed >= int64(hardExpiry) || gr.stored && e.words.Lease(g).Age(now) >= int64(hardExpiry)
}

// renew renews the leases that main wants, if main lives and the fence permits them. One that has lapsed is not picked up again.
func (e *engine) renew(now int64) {
	fresh := e.fresh(now)
	for g := range uint8(MaxGroups) {
		gr := &e.groups[g]
		switch {
		case gr.term == 0:
		case !e.words.Fence(g).Permits(gr.term, e.cfg.Self):
			e.lose(g, LostOvertaken)
		case e.lapsed(now, g):
			e.lose(g, LostExpired)
		case fresh:
			e.words.Renew(g, gr.term, now)
			if gr.stored {
				e.stats.WorstRenewal = max(e.stats.WorstRenewal, time.Duration(now-gr.renewed))
			}
			gr.stored, gr.renewed = true, now
			e.stats.Renewals++
		}
	}
}

// watchGates tells main of words that have changed.
func (e *engine) watchGates(now int64) {
	for g := range uint8(MaxGroups) {
		if e.watching&(1<<g) == 0 {
			continue
		}
		gr := &e.groups[g]
		fence := e.words.Fence(g)
		event := GateChanged{
			Group: g, Bits: ccp.Bits(e.words.Serving(g, now)), Lease: e.words.Lease(g).Term(), FenceTerm: fence.Term,
			Grantee: fence.Grantee, Leased: gr.term, Lost: gr.lost,
		}
		key := event
		key.Bits &^= unreported
		if gr.toldAny && key == gr.told {
			continue
		}
		event.At = now
		if e.say(appendGate(e.message[:0], &event)) {
			gr.told, gr.toldAny = key, true
		}
	}
}
