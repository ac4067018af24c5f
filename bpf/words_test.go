// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"sync"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/members/gate"
)

// TestWordsGrantOnce: many ask at the same time for the same terms; each term goes to one.
func TestWordsGrantOnce(t *testing.T) {
	w := &Words{memory: make([]byte, wordsSize)}
	const terms = 200
	var granted [gate.Members][terms + 1]bool
	var wg sync.WaitGroup
	for member := range uint8(gate.Members) {
		wg.Go(func() {
			for term := uint32(1); term <= terms; term++ {
				_, granted[member][term] = w.Grant(3, term, member)
			}
		})
	}
	wg.Wait()
	for term := 1; term <= terms; term++ {
		holders := 0
		for member := range granted {
			if granted[member][term] {
				holders++
			}
		}
		if holders > 1 {
			t.Errorf("term %d was granted to %d members", term, holders)
		}
	}
	if f := w.Fence(3); f.Term != terms {
		t.Errorf("fence %+v, want term %d", f, terms)
	}
}

func TestWordsSnapshot(t *testing.T) {
	w := &Words{memory: make([]byte, wordsSize)}
	w.setIdentity(2, 5, 0xabcd)
	w.setTimers(time.Millisecond, time.Second, 2*time.Millisecond, time.Minute)
	w.SetRestarting(7)
	w.Renew(15, 9, 1<<20)
	w.SetAlone(15, 8)
	w.Grant(15, 6, 4)
	w.SetQuiet(63, 11)
	s := w.Snapshot()
	want := gate.Words{Self: 2, Members: 5, Cluster: 0xabcd, Soft: time.Millisecond, Hard: time.Second, Watch: 2 * time.Millisecond, Linger: time.Minute, Restarting: 7}
	want.Group[15] = gate.Group{Lease: gate.NewLease(9, 1<<20), Fence: gate.Fence{Term: 6, Grantee: 4}, Alone: 8}
	want.Quiet[63] = 11
	if s != want {
		t.Errorf("snapshot\n%+v, want\n%+v", s, want)
	}
	for g := range uint8(gate.Groups) {
		if got, want := w.Serving(g, 1<<20), s.Serving(int(g), 1<<20); got != want {
			t.Errorf("group %d: Serving %b, of the snapshot %b", g, got, want)
		}
	}
	w.Revoke(15)
	if w.Lease(15) != 0 || w.Alone(15) != 8 {
		t.Errorf("lease %v, alone %d after Revoke, want 0 and 8", w.Lease(15), w.Alone(15))
	}
}

// TestWordsEndShare: an open share lingers after its end in order, and no other.
func TestWordsEndShare(t *testing.T) {
	now := Boottime()
	for _, c := range []struct {
		name  string
		fence uint32
		share uint32
		want  int64
	}{
		{"open", 5, 5, now + int64(time.Minute)},
		{"fenced off", 6, 5, 0},
		{"none", 5, 0, 0},
	} {
		w := &Words{memory: make([]byte, wordsSize)}
		w.setTimers(time.Second, time.Second, time.Second, time.Minute)
		w.u32(offSteer).Store(uint32(SteerMulticast))
		w.word(0, offFence).Store(gate.Fence{Term: c.fence}.Word())
		w.RenewShare(c.share, now)
		w.EndShare(now)
		if got := w.ShareLinger(); got != c.want || w.Share() != 0 {
			t.Errorf("%s: lingers until %d, want %d; share %v", c.name, got, c.want, w.Share())
		}
	}
}

// TestWordsRenewAllocatesNothing: the pulse runs without a garbage collector.
func TestWordsRenewAllocatesNothing(t *testing.T) {
	w := &Words{memory: make([]byte, wordsSize)}
	if n := testing.AllocsPerRun(100, func() {
		w.Renew(0, 5, Boottime())
		w.Serving(0, Boottime())
		_ = w.Fence(0)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
