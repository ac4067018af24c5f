// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"fmt"
	"strings"
)

var stageNames = [...]string{"settling", "settled", "preparing takers", "preparing", "committing takers", "committing"}

// taking looks at each table that a member decides to go by.
func (w *world) taking(nd *simNode, t *Table) {
	w.tables++
	if t.Leader != nd.id {
		if g := &nd.gate; t.authority(nd.id) < g.fence && (t.Share[nd.id] != 0 || g.grantee != t.Leader) {
			w.fail("%d took a table below its fence", nd.id)
		}
		return
	}
	if !t.Valid() {
		w.fail("%d made an invalid table", nd.id)
	}
}

// moves checks that a failure moves only the slots of who failed: called for each table that a leader publishes after another.
func (w *world) moves(old, t *Table) {
	if old.Term != t.Term || old.Phase == PhaseNone || t.Phase != PhaseCommit || old.Phase == PhasePrepare && old.Number == t.Number {
		return
	}
	for s, e := range t.Entry {
		o := old.Entry[s]
		if o.Nobody() {
			continue
		}
		was := o.Taker()
		if t.Number-old.Number >= restartLeap && o.Moving() && t.Share[o.Next()] != 0 {
			was = o.Next()
		}
		if t.Share[was] != 0 && e.Taker() != was {
			w.fail("slot %d of member %d, which stays, went to %d: %v after %v", s, was, e.Taker(), t.Version, old.Version)
			return
		}
	}
}

// takers returns how often a packet of a slot is taken: of a known connection, and of one that begins.
func (w *world) takers(s int) (known, fresh int) {
	for _, d := range w.nodes {
		if !d.forwards() || d.paused > w.now {
			continue
		}
		if w.mode == ModeUnicast && d != w.pivot {
			continue
		}
		t := d.gate.table
		e := t.entry(uint16(s))
		if e.Nobody() || w.mode == ModeMulticast && e.Taker() != d.id {
			continue
		}
		to := e.Taker()
		if e.Moving() && d.gate.drained && to == d.id {
			to = e.Next()
		}
		known += w.taken(d, to, s)
		fresh += w.taken(d, e.Next(), s)
	}
	return known, fresh
}

// taken reports whether a member takes what another (or itself) decides to be its.
func (w *world) taken(from *simNode, to uint8, s int) int {
	d := w.nodes[to]
	if !d.forwards() || d.paused > w.now || w.cut[from.id][to] && from.id != to {
		return 0
	}
	if from.id != to && w.mode == ModeMulticast && d.gate.table.entry(uint16(s)).Taker() == to {
		return 0 // a duplicate of what it sees itself
	}
	return 1
}

func (w *world) signature() string {
	var b strings.Builder
	for _, d := range w.nodes {
		fmt.Fprintf(&b, "%p %v %v %v %v;", d.gate.table, d.forwards(), d.gate.drained, d == w.pivot, d.paused > w.now)
	}
	fmt.Fprint(&b, w.cut)
	return b.String()
}

// check looks once a millisecond at who takes what.
func (w *world) check() {
	w.after(ms, w.check)
	// Frames go to who announced last, and whoever has handed over forwards what still comes.
	for _, d := range w.nodes {
		if d.leads() != 0 && (w.pivot == nil || w.pivot.leads() == 0 || d.leads() > w.pivot.leads()) {
			w.pivot = d
		}
	}
	if w.now < w.quiet {
		w.zero, w.twin, w.sig = [Slots]int64{}, [Slots]int64{}, ""
		return
	}
	sig := w.signature()
	changed := sig != w.sig
	w.sig = sig
	for s := range Slots {
		if changed {
			known, fresh := w.takers(s)
			note := func(since *int64, bad bool) {
				if !bad {
					*since = 0
				} else if *since == 0 {
					*since = w.now
				}
			}
			note(&w.zero[s], known == 0 || fresh == 0)
			note(&w.twin[s], known > 1 || fresh > 1)
		}
		if z := w.zero[s]; z != 0 {
			if w.worstZero = max(w.worstZero, w.now-z+ms); w.now-z+ms > w.boundZero {
				w.fail("slot %d is taken by nobody for %d ms", s, (w.now-z)/ms)
				return
			}
		}
		if z := w.twin[s]; z != 0 {
			if w.worstTwin = max(w.worstTwin, w.now-z+ms); w.now-z+ms > w.boundTwin {
				w.fail("slot %d is taken twice for %d ms", s, (w.now-z)/ms)
				return
			}
		}
	}
}

// converged says what is not yet as it should be, "" if all is.
func (w *world) converged() string {
	var lead *simNode
	for _, d := range w.nodes {
		if d.leads() != 0 {
			if lead != nil {
				return "two lead"
			}
			lead = d
		}
	}
	if lead == nil {
		return "nobody leads"
	}
	t := lead.a.table
	if lead.a.lead == nil {
		return "the leader does not know yet"
	}
	if t.Phase != PhaseCommit || lead.a.lead == nil || lead.a.lead.table != t || lead.a.lead.stage != stageIdle {
		return "the leader is at " + stageNames[lead.a.lead.stage]
	}
	weights := [Members]uint16{}
	for i, d := range w.nodes {
		should := d.up && d.alive && d.fit && !d.leaving && !d.broken && lead.a.Weights()[i] != 0
		if should {
			weights[i] = lead.a.Weights()[i]
		}
		if d.up && d.alive && d.a.table.Version != t.Version {
			return fmt.Sprintf("%d has table %v, not %v", i, d.a.table.Version, t.Version)
		}
		if open := d.open(); open != (t.Share[i] != 0) {
			return fmt.Sprintf("%d: open %v, table says %d (share %d fence %d)", i, open, t.Share[i], d.gate.share, d.gate.fence)
		}
		if should != (t.Share[i] != 0) && d != lead {
			return fmt.Sprintf("%d: fit %v, share %d", i, should, t.Share[i])
		}
	}
	sum := 0
	for _, x := range weights {
		sum += int(x)
	}
	takes, _ := t.Takes()
	for i := range w.nodes {
		want := 0.0
		if sum != 0 {
			want = float64(weights[i]) * Slots / float64(sum)
		} else if uint8(i) == lead.id {
			want = Slots
		}
		if got := float64(takes[i]); got <= want-1 || got >= want+1 {
			return fmt.Sprintf("%d takes %v slots, want %v", i, got, want)
		}
	}
	for s := range Slots {
		if known, fresh := w.takers(s); known != 1 || fresh != 1 {
			return fmt.Sprintf("slot %d is taken %d and %d times", s, known, fresh)
		}
	}
	return ""
}

// settle lets time pass until all is as it should be.
func (w *world) settle(most int64, what string) {
	end := w.now + most
	why := ""
	for w.err == nil && w.now < end {
		w.run(10 * ms)
		if why = w.converged(); why == "" {
			return
		}
	}
	w.fail("%s: not settled after %d ms: %s", what, most/ms, why)
}
