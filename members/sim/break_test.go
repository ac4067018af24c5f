// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/members"
)

// TestBrokenProtocolIsFound tests the tests: with a part of the protocol removed, or one member configured against the
// others, an invariant breaks soon.
func TestBrokenProtocolIsFound(t *testing.T) {
	frozen := members.DefaultTimers()
	frozen.BootWait, frozen.HoldDown = 600*time.Millisecond, 300*time.Millisecond
	for _, tc := range []struct {
		name   string
		opt    Options
		broken string
		seeds  uint64
	}{
		{"the gate does not compare with its fence", Options{BreakFence: true}, "two serve", 20},
		{"claims do not wait for grants", Options{BreakGrants: true}, "two serve", 20},
		{"leases do not expire", Options{BreakLease: true}, "nobody stuck", 1000},
		{"a serving member goes down by itself", Options{BreakAttention: true}, "the last one stays", 50},
		{"members do not wait for the connections", Options{coda: 9, Members: 3, Configure: func(_ uint8, c *members.Config) {
			c.WaitSync = false
		}}, "lacks the connections", 60},
		{"a member goes back by itself", Options{Recovery: members.RecoveryMaintainCurrent, Configure: only(0, func(c *members.Config) {
			c.Recovery = members.RecoveryHighestPriority
		})}, "nothing moves back by itself", 200},
		{"a member knows no flap budget", Options{Recovery: members.RecoveryHighestPriority, Timers: frozen,
			Configure: only(0, func(c *members.Config) { c.FlapBudget = 100 })}, "the flap budget", 3000},
		{"a member has another configuration", Options{Configure: only(1, func(c *members.Config) { c.Digest[1] = 1 })}, "whole again", 20},
		{"nobody takes over while moves are frozen", Options{BreakTakeover: true, coda: 4}, "dies while moves are frozen", 20},
		{"a member that died takes over again", Options{coda: 5, Recovery: members.RecoveryMaintainCurrent, Configure: only(0,
			func(c *members.Config) { c.Recovery = members.RecoveryHighestPriority })}, "moves back", 200},
		{"members do not notice the loss of a segment", Options{BreakProof: true, Interfaces: 2, coda: 1}, "whole segment is lost", 60},
		{"members do not notice the loss of a port", Options{BreakProof: true, Members: 3, Interfaces: 2, coda: 2}, "ports of a segment", 100},
		{"an invented station decides", Options{BreakProof: true, Members: 2, Interfaces: 2, coda: 3}, "nothing can tell", 200},
		{"a member weighs problems differently", Options{coda: 6, Configure: only(0, func(c *members.Config) {
			c.Weights = map[string]int{"p1": 15, "p2": 15, "p3": 15}
		})}, "every member is broken", 200},
		{"the sync cable is not watched", Options{Members: 2, Interfaces: 2, coda: 7, Configure: only(1, func(c *members.Config) {
			c.Interfaces = c.Interfaces[:1]
		})}, "sync cable", 60},
		{"a member calls itself newer after the upgrade", Options{coda: 8, Members: 3, Configure: only(1, func(c *members.Config) {
			if c.Capabilities == 7 {
				c.Version += 5
			}
		})}, "rolling upgrade", 60},
		{"members do not compare policies", Options{coda: 11, Members: 3, Configure: func(_ uint8, c *members.Config) { c.WaitPolicy = false }},
			"is not READY", 100},
		{"who has the new policy first takes over", Options{coda: 10, Members: 3, BreakRace: true, Recovery: members.RecoveryMaintainCurrent},
			"an install goes round: 1 moves", 100},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := uint64(1); seed <= tc.seeds; seed++ {
				if r := run(seed, tc.opt); r.Err != nil && strings.Contains(r.Err.Error(), tc.broken) {
					t.Logf("seed %d: %v", seed, r.Err)
					return
				}
			}
			t.Errorf("%d seeds did not find it", tc.seeds)
		})
	}
}

// TestFreeze: the one with the higher priority comes back while the other one's operator has frozen moves.
func TestFreeze(t *testing.T) {
	timers := members.DefaultTimers()
	timers.HoldDown, timers.Freeze = time.Second, 8*time.Second
	for _, early := range []bool{false, true} {
		w := NewWorld(1, Options{Members: 2, Interfaces: 1, Recovery: members.RecoveryHighestPriority, Timers: timers,
			Configure: only(1, func(c *members.Config) {
				if early {
					c.Timers.Freeze = 1
				}
			})})
		w.PowerOn(0)
		w.PowerOn(1)
		mustRun(t, w, 4*time.Second)
		w.PowerOff(0)
		mustRun(t, w, time.Second)
		w.Admin(1, members.Admin{Kind: members.AdminFreeze})
		w.PowerOn(0)
		err := w.Run(8 * time.Second)
		if found := err != nil && strings.Contains(err.Error(), "freeze stops voluntary moves"); found != early {
			t.Errorf("the freeze ends early: %v, found: %v", early, err)
		}
		if err == nil {
			if mustRun(t, w, 2*time.Second); w.Serving()[0] != 0 {
				t.Errorf("%v serve after the freeze", w.Serving())
			}
		}
	}
}

// TestOtherPolicy: a member that was away during an install does not go back to where it was; and one without a policy serves in nobody's place.
// One that does not wait for its policy is found.
func TestOtherPolicy(t *testing.T) {
	timers := members.DefaultTimers()
	timers.HoldDown = time.Second
	for _, waits := range []bool{true, false} {
		world := func() *World {
			w := NewWorld(1, Options{Members: 2, Interfaces: 1, Recovery: members.RecoveryHighestPriority, Timers: timers,
				Configure: func(_ uint8, c *members.Config) { c.WaitPolicy = waits }})
			w.setup.policy = true
			w.applySetup()
			w.PowerOn(0)
			w.PowerOn(1)
			mustRun(t, w, 4*time.Second)
			return w
		}
		w := world()
		w.policies.strict, w.policies.newest = true, 2
		w.PowerOff(0)
		w.commitAt(w.now, 1, 2)
		mustRun(t, w, time.Second)
		w.PowerOn(0)
		err := w.Run(8 * time.Second)
		if found := err != nil && strings.Contains(err.Error(), "another policy waits"); found == waits {
			t.Errorf("members wait: %v, found: %v", waits, err)
		}
		if waits {
			w.everywhere()
			if mustRun(t, w, 3*time.Second); w.Serving()[0] != 0 {
				t.Errorf("%v serve when both have one policy", w.Serving())
			}
		}
		w = world()
		w.SetPolicy(1, false)
		mustRun(t, w, time.Second)
		w.PowerOff(0)
		err = w.Run(2 * time.Second)
		if found := err != nil && strings.Contains(err.Error(), "no policy, no service"); found == waits || waits && len(w.Serving()) > 0 {
			t.Errorf("members wait: %v, found: %v, %v serve", waits, err, w.Serving())
		}
	}
}

// only changes the configuration of one member.
func only(id uint8, change func(*members.Config)) func(uint8, *members.Config) {
	return func(member uint8, c *members.Config) {
		if member == id {
			change(c)
		}
	}
}

func TestSeedReproducesARun(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		var a, b []string
		ra := Run(seed, Options{Log: func(_ int64, text string) { a = append(a, text) }})
		rb := Run(seed, Options{Log: func(_ int64, text string) { b = append(b, text) }})
		ra.Err, rb.Err = nil, nil
		if ra != rb || strings.Join(a, "\n") != strings.Join(b, "\n") {
			t.Errorf("seed %d: two runs differ: %+v and %+v", seed, ra, rb)
		}
		if c := Run(seed+1000, Options{}); c.Events == ra.Events {
			t.Errorf("seeds %d and %d give the same run", seed, seed+1000)
		}
	}
}
