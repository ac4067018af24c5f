// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

// noted is what is remembered of this processor's last packets, as f changes it.
func (g *Gate) noted(t *testing.T, f func(*kernelLetIn)) {
	t.Helper()
	var all []kernelLetIn
	if err := g.objects.LetIn.Lookup(uint32(0), &all); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		f(&all[i])
	}
	if err := g.objects.LetIn.Update(uint32(0), all, ebpf.UpdateAny); err != nil {
		t.Fatal(err)
	}
}

// TestClockIsReadAnew: a reading of the clock holds for the tick before which it was made. If the processor is taken away between that and the
// decision, no other packet goes by the reading, and none leaves by it.
func TestClockIsReadAnew(t *testing.T) {
	onOneProcessor(t)
	g := newTestGate(t, true)
	g.onlyTheGateway(t)
	frame := udpFrame{dst: vmac, src: client, from: client4, to: far4}.bytes()
	run := func() {
		t.Helper()
		if v, _ := entries[1].run(t, g, frame, nil); v != pass {
			t.Fatalf("an open gate: %v", v)
		}
	}
	for range 200 {
		g.clear()
		serve(g, 0)
		run()
		g.noted(t, func(l *kernelLetIn) {
			if l.Left != 0 && l.Read != l.Tick {
				t.Errorf("the clock was read at tick %d, and packets go by it at tick %d", l.Read, l.Tick)
			}
			l.Read--
			l.Packets = 0
		})
		was := g.left(t)
		run()
		if was == 0 || g.left(t) != was-1 {
			continue // a tick has passed
		}
		if n := g.letIn(t); n != 0 {
			t.Errorf("%d packets leave by a reading of an earlier tick", n)
		}
		return
	}
	t.Error("no packet went by an old reading")
}

// TestNeighboursGetTheTime: what is forwarded may go by an earlier reading of the clock; whoever asks for a VIP is answered by the clock itself.
func TestNeighboursGetTheTime(t *testing.T) {
	onOneProcessor(t)
	g := newTestGate(t, true)
	g.onlyTheGateway(t)
	forwarded := udpFrame{dst: vmac, src: client, from: client4, to: far4}.bytes()
	for _, e := range entries {
		for name, asks := range map[string][]byte{"arp": whoHas(vip4).bytes(), "nd": whoIs(vip6).bytes()} {
			shown := false
			for range 200 {
				g.clear()
				serve(g, 0)
				renewed := Boottime() - int64(time.Second)
				g.Words().Renew(0, g.Words().Fence(0).Term+1, renewed)
				if v, _ := e.run(t, g, forwarded, nil); v != pass {
					t.Fatalf("%s: an open gate: %v", e.name, v)
				}
				g.noted(t, func(l *kernelLetIn) { l.Now = uint64(renewed) })
				g.words.setTimers(time.Second/2, time.Second/2, time.Millisecond, 0)
				got, _ := e.run(t, g, asks, nil)
				if v, _ := e.run(t, g, forwarded, nil); v != pass {
					continue // a tick has passed
				}
				if shown = true; got != drop {
					t.Errorf("%s/%s: %v by a lease that has run out, want drop", e.name, name, got)
				}
				break
			}
			if !shown {
				t.Errorf("%s/%s: no packet went by an old reading", e.name, name)
			}
		}
	}
}

// TestFlowNotedAhead: what another processor has noted of a flow by a later reading of the clock is the newest of its place, not the oldest.
func TestFlowNotedAhead(t *testing.T) {
	s := testSteering
	s.Published = nil
	g := newSharingGate(t, s)
	udp := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}
	connect(t, udp, noNAT, noNAT)
	g.set(t, all(1))
	const unit, at, tag = 24, 10, 28 // as bpf/src/usual.h has them
	now := uint64(Boottime()) >> unit
	var full kernelFlows
	for i, noted := range []uint64{now - 2, now + 8, now - 5, now - 3} {
		full.Way[i] = uint64(i+1)<<tag | noted&(1<<(tag-at)-1)<<at
	}
	for i := range g.objects.Flows.MaxEntries() {
		if err := g.objects.Flows.Put(i, full); err != nil {
			t.Fatal(err)
		}
	}
	if v, _ := entries[1].run(t, g, udp.frame(manyMAC, client), nil); v != pass {
		t.Fatalf("a known connection: %v", v)
	}
	replaced := -1
	for i := range g.objects.Flows.MaxEntries() {
		var is kernelFlows
		if err := g.objects.Flows.Lookup(i, &is); err != nil {
			t.Fatal(err)
		}
		for way := range is.Way {
			if is.Way[way] != full.Way[way] {
				replaced = way
			}
		}
	}
	if replaced != 2 {
		t.Errorf("what is new took place %d, want 2, the oldest", replaced)
	}
}
