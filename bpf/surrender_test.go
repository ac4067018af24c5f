// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/members/gate"
)

// TestSurrenderMeetsClaim has another processor grant a surrender the moment a claim has been granted: the share must not linger behind it.
func TestSurrenderMeetsClaim(t *testing.T) {
	g := newSharingGate(t, testSteering)
	w, e := g.Words(), entries[1]
	fence, linger := w.word(0, offFence), w.u64(offShareLinger)
	claimed, surrendered := gate.Fence{Term: 6}.Word(), gate.Fence{Term: 7, Grantee: 2}.Word()
	lingered, times := 0, 0
	// A few of so many would fail. Where the two have one processor for themselves each takes long, and says little.
	for end := Boottime() + 2e9; times < 6000 && Boottime() < end; times++ {
		fence.Store(gate.Fence{Term: 5}.Word())
		w.RevokeShare()
		w.RenewShare(5, Boottime())
		frame := ccpFrame{yield: &ccp.Yield{Term: 6, Kind: ccp.YieldClaim}}.bytes()
		var waits, ends atomic.Bool
		var other sync.WaitGroup
		other.Go(func() {
			for waits.Store(true); !ends.Load(); {
				if fence.CompareAndSwap(claimed, surrendered) { // what yield() in src/serving.h does
					linger.Store(0)
					return
				}
			}
		})
		for !waits.Load() { // it has to be there at once
		}
		_, err := e.program(g).Run(&ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+256)})
		for fence.Load() == claimed && err == nil {
		}
		ends.Store(true)
		other.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if fence.Load() != surrendered {
			t.Fatalf("fence %+v, want that the claim and the surrender are granted", w.Fence(0))
		}
		if linger.Load() != 0 {
			lingered++
		}
	}
	if lingered > 0 {
		t.Errorf("the share lingers behind %d of %d surrenders", lingered, times)
	}
}
