// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"bytes"
	"testing"
)

// TestBulkSilentForCredit: a receiver that has acknowledged everything and then dies owes nothing but credit. Its silence counts from when
// that was missed, and credit ends it.
func TestBulkSilentForCredit(t *testing.T) {
	p := newBulkPair(t, 512, ReceiverConfig{Credit: 1000})
	p.slow = true
	p.step(ms)
	item := bytes.Repeat([]byte("x"), 100)
	for range 9 {
		if ok, _ := p.s.Offer(p.now, item); !ok {
			t.Fatal("not taken")
		}
	}
	p.s.Flush()
	for p.now < 60_000*ms {
		p.step(10 * ms)
	}
	if !p.s.Fits(p.now, 100) || p.s.Silent(p.now) != 0 {
		t.Fatalf("room for %d, silent for %d", p.s.Room(), p.s.Silent(p.now))
	}
	p.cut = true
	began := p.now
	if p.s.Fits(p.now, 164) || p.s.Silent(p.now) != 0 {
		t.Fatalf("silent for %d ns at once", p.s.Silent(p.now))
	}
	for p.now < began+11_000*ms {
		p.step(10 * ms)
		if p.s.Fits(p.now, 164) {
			t.Fatal("it fits without credit")
		}
	}
	if s := p.s.Silent(p.now); s < 10_000*ms {
		t.Errorf("silent for %d ns, want eleven seconds", s)
	}
	p.cut, p.slow = false, false
	for end := p.now + 3000*ms; p.now < end; {
		p.step(10 * ms)
	}
	if !p.s.Fits(p.now, 164) || p.s.Silent(p.now) != 0 {
		t.Errorf("back, it has room for %d and is silent for %d", p.s.Room(), p.s.Silent(p.now))
	}
}
