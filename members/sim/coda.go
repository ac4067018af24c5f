// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/members"
)

// A run ends with a coda: one thing that happens to a cluster that is whole, of which it is known exactly what may come of it.
var codas = [...]struct {
	name    string
	applies func(w *World) bool
	play    func(w *World, server uint8) error
}{
	{"a whole segment is lost", (*World).twoCluster, (*World).segmentLost},
	{"the ports of a segment go down one after the other", (*World).twoCluster, (*World).portsLost},
	{"a segment is cut and nothing can tell where", (*World).noneCanTell, (*World).undecided},
	{"the one that serves dies while moves are frozen", (*World).several, (*World).diesFrozen},
	{"the one that served comes back", (*World).maintains, (*World).comesBack},
	{"every member is broken", (*World).several, (*World).allBroken},
	{"the sync cable of two members is cut", (*World).twoWithSync, (*World).syncCut},
	{"a rolling upgrade", (*World).fewMembers, (*World).rolling},
	{"the best one lacks the connections", (*World).waitsForSync, (*World).lacking},
	{"an install goes round", (*World).waitsForPolicy, (*World).goesRound},
	{"an install leaves members behind", (*World).waitsForPolicy, (*World).leftBehind},
}

// coda plays one of those that apply.
func (w *World) coda() error {
	c := &codas[w.rng.n(int64(len(codas)))]
	if w.opt.coda != 0 {
		c = &codas[w.opt.coda-1]
	}
	if !c.applies(w) {
		return nil
	}
	w.logf("-- coda: %s", c.name)
	if err := c.play(w, w.Serving()[0]); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	for range 10 { // a move may be under way
		if len(w.Serving()) == 1 {
			return nil
		}
		if err := w.Run(100 * time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: at the end %d members serve", c.name, len(w.Serving()))
}

func (w *World) several() bool    { return len(w.nodes) > 1 }
func (w *World) fewMembers() bool { return len(w.nodes) <= 3 }
func (w *World) maintains() bool {
	return w.several() && w.cfg.Recovery != members.RecoveryHighestPriority
}

// twoCluster reports whether the first two interfaces carry VIPs: a member that loses one is not isolated.
func (w *World) twoCluster() bool {
	return w.several() && len(w.cfg.Interfaces) > 1 && w.cfg.Interfaces[1].Cluster
}

// noneCanTell reports whether two members are cut on an interface without a third station, and meet on another.
func (w *World) noneCanTell() bool {
	return len(w.nodes) == 2 && len(w.cfg.Interfaces) > 1 && !w.opt.Neighbours
}

// twoWithSync reports whether there are two members with a sync interface of their own.
func (w *World) twoWithSync() bool {
	k := len(w.cfg.Interfaces)
	return len(w.nodes) == 2 && k > 1 && !w.cfg.Interfaces[k-1].Cluster
}

func (w *World) waitsForSync() bool { return w.several() && w.setup.sync }

// chosenMoves counts openings but for those that highest-priority recovery makes.
func (v *invariants) chosenMoves() int { return v.moves - v.failbacks }

// atMost runs for a time and fails if there were more moves than that since before.
func (w *World) atMost(moves, before int, d time.Duration) error {
	if err := w.Run(d); err != nil {
		return err
	}
	if n := w.inv.chosenMoves() - before; n > moves {
		return fmt.Errorf("%d moves, %d at most are due; %v serve", n, moves, w.Serving())
	}
	return nil
}

func (w *World) segmentLost(uint8) error {
	before, i := w.inv.chosenMoves(), uint8(w.rng.n(2))
	for _, in := range [...]bool{false, true} {
		for id := range w.nodes {
			w.Cable(i, uint8(id), in)
		}
		if err := w.atMost(0, before, 1300*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// portsLost: the ports go down within 50 ms, and come back as they like.
func (w *World) portsLost(uint8) error {
	before, i := w.inv.chosenMoves(), uint8(w.rng.n(2))
	for _, in := range [...]bool{false, true} {
		left := int64(50 * time.Millisecond)
		first := w.rng.n(int64(len(w.nodes)))
		for k := range w.nodes {
			w.Cable(i, uint8((first+int64(k))%int64(len(w.nodes))), in)
			d := w.rng.n(left)
			left -= d
			if err := w.atMost(1, before, time.Duration(d)); err != nil {
				return err
			}
		}
		if err := w.atMost(1, before, 1300*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) undecided(uint8) error {
	before, i := w.inv.chosenMoves(), uint8(w.rng.n(int64(len(w.cfg.Interfaces))))
	for _, cut := range [...]bool{true, false} {
		w.Cut(i, 0, 1, cut)
		w.Cut(i, 1, 0, cut)
		if err := w.atMost(0, before, 1200*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) diesFrozen(server uint8) error {
	for id := range w.nodes {
		w.Admin(uint8(id), members.Admin{Kind: members.AdminFreeze, For: 3 * time.Second})
	}
	if err := w.Run(100 * time.Millisecond); err != nil {
		return err
	}
	w.PowerOff(server)
	if err := w.Run(900 * time.Millisecond); err != nil {
		return err
	}
	if s := w.Serving(); len(s) != 1 {
		return fmt.Errorf("%d members serve 900 ms after %s died", len(s), memberNames[server])
	}
	w.PowerOn(server)
	return w.Run(1200 * time.Millisecond)
}

func (w *World) comesBack(server uint8) error {
	w.PowerOff(server)
	if err := w.Run(900 * time.Millisecond); err != nil {
		return err
	}
	before := w.inv.moves
	w.PowerOn(server)
	if err := w.Run(2200 * time.Millisecond); err != nil {
		return err
	}
	if w.inv.moves != before {
		return fmt.Errorf("%v serve after %s came back", w.Serving(), memberNames[server])
	}
	return nil
}

// broken are devices that only this coda uses, with weights of their own.
var broken = [...]string{"p1", "p2", "p3"}

// allBroken: the one whose problems weigh least serves, as ACTIVE(!), and all others are DOWN.
func (w *World) allBroken(uint8) error {
	least, sums := 1<<30, make([]int, len(w.nodes))
	which := make([]int64, len(w.nodes))
	for id := range w.nodes {
		which[id] = w.rng.between(1, 7)
		for k, name := range broken {
			if which[id]>>k&1 != 0 {
				w.problem(uint8(id), name, true)
				sums[id] += max(w.setup.weights[name], 1)
			}
		}
		least = min(least, sums[id])
	}
	if err := w.Run(3500 * time.Millisecond); err != nil {
		return err
	}
	s := w.Serving()
	if len(s) != 1 {
		return fmt.Errorf("%d members serve", len(s))
	}
	for id := range w.nodes {
		want := members.StateDown
		if uint8(id) == s[0] {
			want = members.StateActiveAttention
		}
		if v, _ := w.View(uint8(id)); v.State != want {
			return fmt.Errorf("%s is not %v: %s", memberNames[id], want, w.nodes[id].machine.Why())
		}
	}
	if sums[s[0]] != least && w.setup.budget == 0 {
		return fmt.Errorf("%s serves; the problems weigh %v", memberNames[s[0]], sums)
	}
	for id := range w.nodes {
		for _, name := range broken {
			w.problem(uint8(id), name, false)
		}
	}
	return w.Run(300 * time.Millisecond)
}

func (w *World) syncCut(server uint8) error {
	before, i := w.inv.chosenMoves(), uint8(len(w.cfg.Interfaces)-1)
	for id := range w.nodes {
		w.Cable(i, uint8(id), false)
	}
	if err := w.atMost(0, before, 1300*time.Millisecond); err != nil {
		return err
	}
	a, _ := w.View(server)
	b, _ := w.View(1 - server)
	if a.State != members.StateActiveAttention || b.State != members.StateDown {
		return fmt.Errorf("want one ACTIVE(!) and one DOWN: %s; %s", w.nodes[0].machine.Why(), w.nodes[1].machine.Why())
	}
	for id := range w.nodes {
		w.Cable(i, uint8(id), true)
	}
	if err := w.atMost(0, before, 2500*time.Millisecond); err != nil {
		return err
	}
	return w.whole()
}

// rolling: all members get a newer version one after the other, the one that serves last, and nothing moves.
func (w *World) rolling(server uint8) error {
	before, version := w.inv.chosenMoves(), uint32(2)
	for i := range w.nodes {
		version = max(version, w.nodes[i].version+1)
	}
	for k := 1; k <= len(w.nodes); k++ {
		id := uint8((int(server) + k) % len(w.nodes))
		w.nodes[id].capabilities = 7
		w.Upgrade(id, version, 150*time.Millisecond)
		if err := w.atMost(0, before, 900*time.Millisecond); err != nil {
			return err
		}
	}
	if err := w.atMost(0, before, 1200*time.Millisecond); err != nil {
		return err
	}
	return w.whole()
}

// lacking: the best of those that stand by has lost its connections when the one that serves dies. It takes over if no other is fit.
func (w *World) lacking(server uint8) error {
	lacks, others := server, false
	for id := range w.nodes {
		v, _ := w.View(uint8(id))
		switch {
		case v.State != members.StateStandby:
		case lacks == server:
			lacks = uint8(id)
		default:
			others = true
		}
	}
	if lacks == server {
		return nil // all others are newer than the one that serves
	}
	w.SetSync(lacks, false)
	if err := w.Run(500 * time.Millisecond); err != nil {
		return err
	}
	if v, _ := w.View(lacks); w.Serving()[0] == server && v.State != members.StateReady {
		return fmt.Errorf("%s does not wait: %s", memberNames[lacks], w.nodes[lacks].machine.Why())
	}
	moved := w.Serving()[0] != server // for highest priority
	w.PowerOff(server)
	if err := w.Run(900 * time.Millisecond); err != nil {
		return err
	}
	if s := w.Serving(); len(s) != 1 || others && !moved && s[0] == lacks {
		return fmt.Errorf("%v serve after %s died, and %s lacked the connections", s, memberNames[server], memberNames[lacks])
	}
	w.SetSync(lacks, true)
	w.PowerOn(server)
	return w.Run(1200 * time.Millisecond)
}
