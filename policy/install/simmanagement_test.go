// SPDX-License-Identifier: Apache-2.0

package install

import (
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

// management is a coordinator that remembers its decisions, and nothing else, over a crash.
type management struct {
	w       *world
	dead    bool
	number  uint64
	policy  policy.Offer
	confirm time.Duration
	decided map[uint64]Decision // durable: Commit becomes Confirm or RollBack
	began   int64
	check   int64            // when its own check refuses the policy; 0: it does not
	refused int              // how often that ended an attempt while members prepared it
	said    map[string]State // of this attempt
	good    map[string]bool  // who hears all peers since its commit
	running bool
}

func (g *management) begin() {
	if d := g.decided[g.number]; g.number > 0 && d == Unknown {
		g.decided[g.number] = Abort
	} else if d == Commit && g.confirm == 0 {
		g.decided[g.number] = Confirm // who has committed it will not go back
	} else if d == Commit {
		g.decided[g.number] = RollBack
	}
	g.number++
	g.policy = policy.Offer{Generation: g.number, Digest: policy.Digest{byte(g.number), byte(g.number >> 8), 1}}
	g.confirm = []time.Duration{0, 2 * time.Second, 2 * time.Second}[g.w.r.IntN(3)]
	if g.confirm > 0 && g.w.r.IntN(4) == 0 {
		g.w.bad[g.policy.Digest] = g.w.members[g.w.r.IntN(len(g.w.members))].name
	}
	if g.w.sticks && g.confirm > 0 && g.w.r.IntN(4) == 0 {
		g.w.stuck[g.policy.Digest] = g.w.members[g.w.r.IntN(len(g.w.members))].name
	}
	if g.check = 0; g.w.r.IntN(8) == 0 {
		g.check = g.w.now + g.w.r.Int64N(300*ms)
	}
	g.began, g.said, g.good, g.running = g.w.now, map[string]State{}, map[string]bool{}, true
	g.push()
}

// push sends what members have not confirmed, again and again.
func (g *management) push() {
	if g.dead || !g.running {
		return
	}
	a := Attempt{Number: g.number, Policy: g.policy, Confirm: g.confirm}
	d := g.decided[g.number]
	if d == Unknown && g.w.now-g.began > second {
		d = Abort
		g.decided[g.number] = d
	}
	if d == Unknown && g.check != 0 && g.w.now >= g.check {
		d = Abort
		g.decided[g.number] = d
		g.refused++
	}
	for _, x := range g.w.members {
		s := g.said[x.name]
		switch {
		case d == Unknown && s != Prepared:
			g.w.send("management", x.name, func() { x.step(Prepare{a}) })
		case d == Commit && s != Committed, d == Abort && s != Aborted, d == Confirm && s != Confirmed, d == RollBack && s != RolledBack:
			g.w.send("management", x.name, func() { x.step(Decided{a, d}) })
		}
	}
	g.w.after(50*ms, g.push)
}

func (g *management) reply(from string, r Reply, hears int) {
	if g.dead || r.Attempt.Number != g.number {
		return
	}
	n := g.number
	d := g.decided[n]
	switch {
	case r.State == Refused && d == Unknown:
		g.decided[n] = Abort
	case d == Abort && (r.State == Committed || r.State == Confirmed || r.State == RolledBack):
		g.w.fail("%s says %v of attempt %d, which is aborted", from, r.State, n)
	case (d == Commit || d == Confirm) && (r.State == Aborted || r.State == Refused):
		g.w.fail("%s says %v of attempt %d, which is %v", from, r.State, n, d)
	case r.State == RolledBack && d == Commit:
		g.decided[n] = RollBack
	case r.State == Confirmed && g.confirm > 0 && d != Confirm:
		g.w.fail("%s says %v of attempt %d, which is %v", from, r.State, n, d)
	}
	g.said[from] = r.State
	g.good[from] = r.State == Committed && hears == len(g.w.members)-1
	prepared, good := 0, 0
	for name, s := range g.said {
		if s == Prepared {
			prepared++
		}
		if g.good[name] || s == Confirmed {
			good++
		}
	}
	if g.decided[n] == Unknown && prepared == len(g.w.members) {
		g.decided[n] = Commit
	}
	if g.decided[n] == Commit && good == len(g.w.members) {
		g.decided[n] = Confirm
	}
}

func (g *management) asked(x *member, a Attempt) {
	if g.dead {
		return
	}
	d := g.decided[a.Number]
	g.w.send("management", x.name, func() { x.step(Decided{a, d}) })
}

// settled: everybody has confirmed.
func (g *management) settled() bool {
	if g.number == 0 {
		return true
	}
	n, d := 0, g.decided[g.number]
	for _, s := range g.said {
		if s == Confirmed || s == Aborted || s == Refused || s == RolledBack && d == RollBack {
			n++
		}
	}
	return d != Unknown && d != Commit && n == len(g.w.members)
}

func (g *management) die() {
	if g.dead {
		return
	}
	g.dead = true
	g.w.broken()
	g.w.after(100*ms+g.w.r.Int64N(2*second), func() {
		g.dead = false
		g.w.broken()
		if g.number > 0 && g.decided[g.number] == Unknown {
			g.decided[g.number] = Abort // presumed
		}
		g.said, g.good = map[string]State{}, map[string]bool{}
		g.push()
	})
}
