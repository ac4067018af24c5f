// SPDX-License-Identifier: Apache-2.0

package pulse

import "testing"

// TestToldTogether: what is not new reaches main in one burst for all links, its own health with it, however the links began.
func TestToldTogether(t *testing.T) {
	b, p, q := newBench(t), newTwin(1, 111), newTwin(2, 222)
	b.step(0, p)
	b.step(10*ms, p)
	b.step(10*ms, p, q) // the second peer comes later
	for range 20 {
		b.word()
		b.step(10*ms, p, q)
		b.advance(b.at + ms/5)
	}
	b.events = nil
	bursts := 0
	for range 50 {
		b.word()
		b.step(10*ms, p, q)
		b.advance(b.at + ms/5)
		var heard, health int
		for _, e := range b.events {
			switch e.(type) {
			case Heard:
				heard++
			case Health:
				health++
			}
		}
		b.events = nil
		if heard == 0 && health == 0 {
			continue
		}
		bursts++
		if heard != 4 || health != 1 { // two peers on two interfaces
			t.Errorf("a burst of %d answers and %d healths, want 4 and 1", heard, health)
		}
	}
	if bursts != 5 {
		t.Errorf("%d bursts in half a second, want 5", bursts)
	}
}
