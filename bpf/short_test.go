// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"testing"
)

// outcome is all that can be seen of a packet's decision but what egress is promised.
type outcome struct {
	verdict verdict
	packet  []byte
	counted map[Counter]uint64
}

func (o outcome) equal(p outcome) bool {
	return o.verdict == p.verdict && bytes.Equal(o.packet, p.packet) && maps.Equal(o.counted, p.counted)
}

// bothWays runs a packet at length and in short (bpf/src/short.h), after one that was let in; promised is whether it was let in in short. A reading of the
// clock from an earlier tick is what is never gone by in short. ok is false if the packet has another end each time that it comes.
func (g *Gate) bothWays(t *testing.T, e entry, before, packet []byte) (length, short outcome, promised, ok bool) {
	t.Helper()
	run := func(inShort bool) (o outcome) {
		if v, _ := e.run(t, g, before, nil); v != pass {
			t.Fatalf("%s: an open gate: %v", e.name, v)
		}
		if !inShort {
			g.noted(t, func(l *kernelLetIn) { l.Read-- })
		}
		was := g.letIn(t)
		o.counted = counted(t, g, func() { o.verdict, o.packet = e.run(t, g, packet, nil) })
		promised = inShort && g.letIn(t) > was
		return o
	}
	first := run(false)
	length = run(false)
	short = run(true)
	return length, short, promised, first.equal(length)
}

// TestShort: what most packets need is decided in short as at length.
func TestShort(t *testing.T) {
	onOneProcessor(t)
	before := udpFrame{dst: vmac, src: client, from: client4, to: far4}.bytes()
	for _, e := range entries {
		g := newTestGate(t, true)
		g.onlyTheGateway(t)
		g.words.u32(offGroups).Store(1)
		serve(g, 0)
		shown := 0
		for try := 0; try == 0 || try < 50 && shown == 0; try++ { // a tick may pass between any two packets
			for _, c := range ingressCases() {
				if c.short && e.name == "tcx" {
					continue
				}
				length, short, promised, ok := g.bothWays(t, e, before, c.packet)
				if ok && !short.equal(length) {
					t.Errorf("%s/%s: %+v, at length %+v", e.name, c.name, short, length)
				}
				if promised {
					shown++
				}
			}
		}
		if shown == 0 {
			t.Errorf("%s: nothing was let in in short", e.name)
		}
	}
}

// TestShortShare: the same in multicast, of random packets that are this member's, another's and nobody's, known and not.
func TestShortShare(t *testing.T) {
	onOneProcessor(t)
	taken := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}
	other := packet{from: client4, to: far4, proto: protoUDP, sport: 1001, dport: 2000}
	connect(t, taken, noNAT, noNAT)
	connect(t, other, noNAT, noNAT)
	before := taken.frame(manyMAC, client)
	for _, e := range entries {
		s := testSteering
		s.Published = nil
		g := newSharingGate(t, s)
		g.onlyTheGateway(t)
		own, _ := g.slot(t, taken)
		table := all(1)
		for i := range table.Entry {
			table.Entry[i] = []uint8{0, 1, 1, 2, EntryNobody, moving(0, 1), moving(1, 2)}[i%7]
		}
		g.set(t, table.with(1, own))
		rng := wild{rand.New(rand.NewPCG(5, 13))}
		packets := []packet{taken, other, taken.answer(), other.answer()}
		for range 300 {
			packets = append(packets, rng.packet(0))
		}
		shown, dropped := 0, 0
		for _, p := range packets {
			dst := manyMAC
			if rng.rng.IntN(8) == 0 {
				dst = ownMAC
			}
			length, short, promised, ok := g.bothWays(t, e, before, p.frame(dst, client))
			if ok && !short.equal(length) {
				t.Fatalf("%s: %+v to %v: %+v, at length %+v", e.name, p, dst, short, length)
			}
			if promised {
				shown++
			}
			if short.verdict == drop {
				dropped++
			}
		}
		if shown == 0 || dropped == 0 {
			t.Errorf("%s: %d packets were let in in short, and %d dropped", e.name, shown, dropped)
		}
	}
}
