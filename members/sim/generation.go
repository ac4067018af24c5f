// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/members"
)

// This file holds the policies of members, where members wait for one: installs, which reach them one after the other or not all of them, and
// what may come of members that differ (docs/decisions/018).

// policies is what is known of installs.
type policies struct {
	newest uint64
	// strict lets nobody take another policy than it has when it starts.
	strict bool
	// calm lets whoever starts find the newest.
	calm bool
}

// policy is what a member says of its policy.
func (n *node) policy() members.PolicyReady {
	return members.PolicyReady{Ready: !n.noPolicy, Policy: members.Generation{Number: n.generation}}
}

// install begins one: members that are not in the mask of those left out put the new policy into force within what a commit takes; the
// others when they have asked and been told, if nothing comes between.
func (w *World) install(out uint8) {
	w.policies.newest++
	w.disturb(w.text("generation %d is installed, not on %05b", w.policies.newest, out), false)
	for i := range w.nodes {
		wait := w.rng.n(int64(300 * time.Millisecond))
		if out>>i&1 != 0 {
			wait = w.rng.between(500e6, 6e9)
		}
		w.commitAt(w.now+wait, uint8(i), w.policies.newest)
	}
}

func (w *World) commitAt(at int64, id uint8, generation uint64) {
	w.push(event{at: at, kind: evCommit, node: id, epoch: w.nodes[id].epoch, frame: int32(generation)})
}

// commit puts a newer policy into force. A daemon that does not run just now does so when it does.
func (n *node) commit(w *World, generation uint64) {
	switch {
	case n.paused || n.stopped:
		w.commitAt(w.now+100e6, n.id, generation)
	case n.generation < generation:
		n.generation, n.policyAt = generation, w.now
		w.disturb(w.text("%s has generation %d in force", n.name, generation), false)
		n.post(w, n.policy())
		w.inv.agree(w)
		if w.opt.BreakRace {
			n.post(w, members.Admin{Kind: members.AdminForceTo, Target: n.id})
		}
	}
}

// recoverPolicy is what a member that comes up does before it says that it has a policy: it takes the newest that it can get, mostly.
func (n *node) recoverPolicy(w *World) {
	p := &w.policies
	if p.calm && !p.strict {
		n.generation = max(n.generation, p.newest)
	}
	for i := range w.nodes {
		o := &w.nodes[i]
		if o.daemon && o.generation > n.generation && !p.strict && understood(w, n.id, o.id) && joined(w, n.id, o.id) && w.rng.chance(49152) {
			n.generation = o.generation
		}
	}
	n.policyAt = w.now
	w.logf("%s comes up with generation %d", n.name, n.generation)
}

// everywhere lets all members that run have the newest policy soon.
func (w *World) everywhere() {
	w.policies.calm, w.policies.strict = true, false
	for i := range w.nodes {
		w.commitAt(w.now+w.rng.n(400e6), uint8(i), w.policies.newest)
	}
}

// agree notes which members have, or had since they started, the policy of one that serves.
func (v *invariants) agree(w *World) {
	if !w.setup.policy {
		return
	}
	for i := range w.nodes {
		s := &w.nodes[i]
		if !s.serving {
			continue
		}
		for k := range w.nodes {
			n := &w.nodes[k]
			n.agreed = n.agreed || n != s && n.generation == s.generation // of its own, policed says
		}
	}
}

// newsTime is how long news take at most among members that hear each other.
const newsTime = int64(500 * time.Millisecond)

// policed looks at an opening: a member without a policy never begins to serve, and one that was no part of the install does not go back to
// where it was by itself, nor by an order.
func (v *invariants) policed(w *World, n *node, cause members.Cause) {
	if !w.setup.policy {
		return
	}
	defer func() { n.agreed = true }() // with itself
	if n.noPolicy && w.now-max(n.policyAt, n.awake(w)) > newsTime {
		v.fail(w, "no policy, no service: %s took over (%v), without a policy for %v", n.name, cause, time.Duration(w.now-n.policyAt))
	}
	o := &w.nodes[v.before]
	if cause != members.CauseFailback && cause != members.CauseForced || o == n {
		return
	}
	if n.agreed || n.generation == o.generation || o.noPolicy || n.noPolicy || w.net.loss != 0 || !understood(w, o.id, n.id) || !joined(w, o.id, n.id) ||
		w.now-max(n.policyAt, o.policyAt, w.net.changed, n.awake(w), o.awake(w)) <= newsTime {
		return
	}
	v.fail(w, "another policy waits: %s took over (%v) with generation %d, which it never shared with %s and its %d", n.name, cause, n.generation,
		o.name, o.generation)
}

func (w *World) waitsForPolicy() bool { return w.several() && w.setup.policy }

// goesRound: an install reaches the members one after the other, in any order, and moves nothing. If the one that serves dies meanwhile, it is
// relieved.
func (w *World) goesRound(server uint8) error {
	before, dies := w.inv.chosenMoves(), w.rng.chance(32768)
	w.policies.newest++
	last := w.now
	for _, id := range w.order() {
		last += w.rng.n(300e6)
		w.commitAt(last, id, w.policies.newest)
	}
	if !dies {
		if err := w.atMost(0, before, time.Duration(last-w.now)+time.Second); err != nil {
			return err
		}
		return w.whole()
	}
	if err := w.Run(time.Duration(w.rng.n(last - w.now + 1))); err != nil {
		return err
	}
	w.PowerOff(server)
	if err := w.relieved(server); err != nil {
		return err
	}
	w.PowerOn(server)
	w.everywhere()
	if err := w.Run(2500 * time.Millisecond); err != nil {
		return err
	}
	return w.whole()
}

// order is the members in any order.
func (w *World) order() []uint8 {
	all := make([]uint8, len(w.nodes))
	for i := range all {
		k := w.rng.n(int64(i + 1))
		all[i] = all[k]
		all[k] = uint8(i)
	}
	return all
}

func (w *World) relieved(server uint8) error {
	if err := w.Run(900 * time.Millisecond); err != nil {
		return err
	}
	if s := w.Serving(); len(s) != 1 {
		return fmt.Errorf("%d members serve 900 ms after %s died", len(s), memberNames[server])
	}
	return nil
}

// leftBehind: an install reaches some members only, and one of those that stand by was away. For as long as an install takes they stand by, but
// the one that comes back is held back at once; then all are that have another policy than the one that serves, and nothing moves. When that
// one dies, those with its policy go first, and somebody serves in any case.
func (w *World) leftBehind(server uint8) error {
	before, back, away := w.inv.chosenMoves(), w.inv.failbacks, uint8((int64(server)+1+w.rng.n(int64(len(w.nodes)-1)))%int64(len(w.nodes)))
	w.policies.strict = true
	w.policies.newest++
	for id := range w.nodes {
		if uint8(id) != away && w.rng.chance(32768) {
			w.commitAt(w.now, uint8(id), w.policies.newest)
		}
	}
	w.PowerOff(away)
	if err := w.Run(200 * time.Millisecond); err != nil {
		return err
	}
	w.PowerOn(away)
	for _, late := range [...]bool{false, true} {
		wait := 3 * time.Second
		if late {
			wait = 8 * time.Second
		}
		if err := w.atMost(0, before, wait); err != nil {
			return err
		}
		if w.inv.failbacks != back { // a fail-back was due all the same; what may fail back, policed says
			w.everywhere()
			return w.Run(500 * time.Millisecond)
		}
		if err := w.heldBack(server, away, late); err != nil {
			return err
		}
	}
	fit := members.Nobody
	for id := range w.nodes {
		if v, _ := w.View(uint8(id)); v.State == members.StateStandby {
			fit = uint8(id)
		}
	}
	w.PowerOff(server)
	if err := w.relieved(server); err != nil {
		return err
	}
	s := w.Serving()[0]
	if has, had := w.nodes[s].generation, w.nodes[server].generation; fit != members.Nobody && has != had {
		return fmt.Errorf("%s serves with generation %d, and %s stood by with that of %s, %d", memberNames[s], has, memberNames[fit], memberNames[server], had)
	}
	w.PowerOn(server)
	w.everywhere()
	if err := w.Run(2500 * time.Millisecond); err != nil {
		return err
	}
	return w.whole()
}

// heldBack compares members' states with what their policies, and their versions, say.
func (w *World) heldBack(server, away uint8, late bool) error {
	s := &w.nodes[server]
	for i := range w.nodes {
		n := &w.nodes[i]
		want := members.StateStandby
		switch other := n.generation != s.generation; {
		case n == s:
			want = members.StateActive
		case other && (late || n.id == away), w.ahead(n, s):
			want = members.StateReady
		}
		if v, _ := w.View(n.id); v.State != want {
			return fmt.Errorf("%s with generation %d is not %v beside %s with %d: %s", n.name, n.generation, want, s.name, s.generation, n.machine.Why())
		}
	}
	return nil
}
