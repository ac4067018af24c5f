// SPDX-License-Identifier: Apache-2.0

package flow

import "testing"

// TestBrokenProtocolIsFound tests the simulation: with a part of the protocol removed, it finds out soon.
func TestBrokenProtocolIsFound(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(o *simOptions)
		runs  uint64
	}{
		{"a receiver waits for what is below the floor", func(o *simOptions) {
			o.onBatch = func(b *Batch) {
				if b.Lane == LaneDelta {
					b.Floor = 1
				}
			}
		}, 50},
		{"the sender retransmits only on request", func(o *simOptions) {
			o.before = func(w *world) {
				w.snd.lenity = never // nor evicts, which would heal it
				for _, p := range w.snd.peers {
					p.timer = never
				}
			}
		}, 50},
		{"a receiver acknowledges what it does not hold", func(o *simOptions) {
			o.before = func(w *world) {
				for _, m := range w.members {
					if m.r.count > 0 {
						m.r.at(m.r.next).here = true
					}
				}
			}
		}, 50},
		{"a mark does not divide", func(o *simOptions) { o.before = func(w *world) { w.snd.queue.barrier = 0 } }, 50},
		{"what peers have is annulled", func(o *simOptions) {
			o.before = func(w *world) {
				for i := range w.snd.queue.entries {
					w.snd.queue.entries[i].fresh = true
				}
			}
		}, 50},
		{"what nobody heard leaves no trace", func(o *simOptions) { o.before = func(w *world) { w.snd.silence = false } }, 100},
		{"an update does not become a creation", func(o *simOptions) {
			o.before = func(w *world) { w.snd.queue.cfg.Created = nil }
		}, 50},
		{"a peer that returns is not told", func(o *simOptions) {
			o.outages, o.squeeze = true, true
			o.onBatch = func(b *Batch) {
				if b.Sequence == 0 {
					b.Floor = 1
				}
			}
		}, 100},
		{"credit is not asked for again", func(o *simOptions) {
			o.before = func(w *world) {
				for _, s := range w.sessions {
					s.s.announce = never
				}
			}
		}, 100},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := uint64(1); seed <= tc.runs; seed++ {
				o := drawn(seed)
				tc.spoil(&o)
				if err := newWorld(seed, o).run(); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Errorf("%d seeds did not find it", tc.runs)
		})
	}
}
