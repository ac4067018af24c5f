// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/members/gate"
)

// quietSlot is the slot of another interface, otherIf.
const quietSlot = testSlot + 1

// TestQuietIngress: a serving gate answers and admits nothing of the cluster's on an interface that only listens, and lets the host's
// own traffic and CCP through.
func TestQuietIngress(t *testing.T) {
	g := newTestGate(t, true)
	cases := []struct {
		name   string
		packet []byte
		want   verdict
		count  []Counter
	}{
		{"arp request", padded(whoHas(vip4).bytes()), drop, []Counter{QuietRx}},
		{"arp request for proxied", whoHas(proxy4).bytes(), drop, []Counter{QuietRx}},
		{"arp for own address", whoHas(own4).bytes(), pass, nil},
		{"ns", whoIs(vip6).bytes(), drop, []Counter{QuietRx}},
		{"for the vmac", udpFrame{dst: vmac, src: client, from: client4, to: far4}.bytes(), drop, []Counter{QuietRx}},
		{"to a vip", udpFrame{dst: ownMAC, src: client, from: client4, to: vip4}.bytes(), drop, []Counter{QuietRx}},
		{"to a vip, v6", udpFrame{dst: vmac, src: client, from: client6, to: vip6}.bytes(), drop, []Counter{QuietRx}},
		{"to the own address", udpFrame{dst: ownMAC, src: client, from: client4, to: own4}.bytes(), pass, nil},
	}
	for _, e := range entries {
		for _, c := range cases {
			t.Run(e.name+"/"+c.name, func(t *testing.T) {
				g.in(serves)
				g.Words().SetQuiet(testSlot, QuietForGood)
				before := g.closedRx()
				moved := counted(t, g, func() {
					got, out := e.run(t, g, c.packet, nil)
					if got != c.want {
						t.Errorf("verdict %v, want %v", got, c.want)
					}
					checkBytes(t, out, c.packet)
				})
				checkCounted(t, moved, c.count...)
				if got := g.closedRx() - before; got != 0 {
					t.Errorf("%d frames counted at the closed gate", got)
				}
				// The end of it, and another interface's, stop nothing.
				g.Words().SetQuiet(testSlot, Boottime())
				g.Words().SetQuiet(quietSlot, QuietForGood)
				if moved := counted(t, g, func() { e.run(t, g, c.packet, nil) }); moved[QuietRx] != 0 {
					t.Errorf("the interface no longer only listens, and yet: %v", moved)
				}
			})
		}
		t.Run(e.name+"/probe", func(t *testing.T) {
			g.in(serves)
			g.Words().SetQuiet(testSlot, QuietForGood)
			g.forget(t)
			v, out := e.run(t, g, ccpFrame{}.bytes(), nil)
			h, err := ccp.ParseHeader(out[14:])
			if err != nil || v != answer {
				t.Fatalf("verdict %v, %v", v, err)
			}
			// What a peer is told is how the member stands to the group: that is what it must not take over from.
			if r, err := ccp.ParseReply(h.Body(out[14:])); err != nil || !gate.Bits(r.Bits).Has(gate.Answer|gate.Forward) {
				t.Errorf("reply %+v, %v, want answer and forward", r, err)
			}
		})
	}
}

// TestQuietEgress: nothing of the cluster's leaves by an interface that only listens, nor what came in by one.
func TestQuietEgress(t *testing.T) {
	g := newTestGate(t, true)
	if err := g.putIface(Iface{Index: otherIf, Slot: quietSlot, MAC: ownMAC, VMAC: vmac, Gated: true, UseVMAC: true}); err != nil {
		t.Fatal(err)
	}
	announcement := arpFrame{dst: broadcast, src: ownMAC, op: layers.ARPRequest, sha: vmac, spa: vip4, tpa: vip4}
	na := ndFrame{dst: [6]byte{0x33, 0x33, 0, 0, 0, 1}, src: ownMAC, from: own6, to: allNodes, typ: 136, target: vip6, hop: 255, flags: 0xa0}
	ra := ndFrame{dst: [6]byte{0x33, 0x33, 0, 0, 0, 1}, src: ownMAC, from: own6, to: allNodes, typ: 134, hop: 255}
	transit := udpFrame{dst: client, src: ownMAC, from: far4, to: client4}.bytes()
	cases := []struct {
		name      string
		packet    []byte
		slot      uint8 // that only listens
		forwarded bool
		want      verdict
	}{
		{"announcement", announcement.bytes(), testSlot, false, drop},
		{"vmac as source", udpFrame{dst: client, src: vmac, from: own4, to: client4}.bytes(), testSlot, false, drop},
		{"vip as source", udpFrame{dst: client, src: ownMAC, from: vip4, to: client4}.bytes(), testSlot, false, drop},
		{"na", na.bytes(), testSlot, false, drop},
		{"ra", ra.bytes(), testSlot, false, drop},
		{"transit", transit, testSlot, true, drop},
		{"transit that came in there", transit, quietSlot, true, drop},
		{"own packet", udpFrame{dst: client, src: ownMAC, from: own4, to: client4}.bytes(), testSlot, false, pass},
		{"ccp", ccpFrame{}.bytes(), testSlot, false, pass},
		{"vip as source elsewhere", udpFrame{dst: client, src: ownMAC, from: vip4, to: client4}.bytes(), quietSlot, false, pass},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var context skbContext
			if c.forwarded {
				context[skbIngressIfindex] = otherIf
			}
			var count []Counter
			if c.want == drop {
				count = []Counter{QuietTx}
			}
			g.in(serves)
			g.Words().SetQuiet(testSlot, 0)
			g.Words().SetQuiet(quietSlot, 0)
			g.Words().SetQuiet(c.slot, QuietForGood)
			before := g.Words().Snapshot().Group[0]
			moved := counted(t, g, func() {
				got, out := egress.run(t, g, c.packet, context)
				if got != c.want {
					t.Errorf("verdict %v, want %v", got, c.want)
				}
				checkBytes(t, out, c.packet)
			})
			checkCounted(t, moved, count...)
			if after := g.Words().Snapshot().Group[0]; after.ClosedRx != before.ClosedRx || after.ClosedTx != before.ClosedTx {
				t.Errorf("counted at the closed gate: %+v, before %+v", after, before)
			}
			g.Words().SetQuiet(c.slot, Boottime())
			if got, _ := egress.run(t, g, c.packet, context); got != pass {
				t.Errorf("verdict %v when it has listened, want pass", got)
			}
		})
	}
}

// TestSetQuiet: the word that says whether any interface is looked at is never before one of them.
func TestSetQuiet(t *testing.T) {
	w := &Words{memory: make([]byte, wordsSize)}
	for _, s := range []struct {
		slot  uint8
		until int64
		last  int64
	}{
		{3, 100, 100}, {63, 50, 100}, {0, QuietForGood, QuietForGood}, {3, 0, QuietForGood}, {0, 0, 50}, {63, 0, 0},
	} {
		w.SetQuiet(s.slot, s.until)
		if got, last := w.Quiet(s.slot), int64(w.u64(offQuietLast).Load()); got != s.until || last != s.last {
			t.Errorf("slot %d until %d: it is %d, the last %d, want %d", s.slot, s.until, got, last, s.last)
		}
	}
	w.SetQuiet(2, 7)
	if s := w.Snapshot(); s.Quiet[2] != 7 || s.ServingOn(2, 0, 6) != 0 {
		t.Errorf("the snapshot holds %d", s.Quiet[2])
	}
}

// TestQuietSurvivesAdoption: an interface that was without carrier when the daemon ended is still quiet for the next one.
func TestQuietSurvivesAdoption(t *testing.T) {
	o := testOptions(newPinDir(t))
	g := openGate(t, o)
	g.Words().SetQuiet(testSlot, QuietForGood)
	again := reopen(t, o, anotherBuild(t))
	defer again.Close()
	if got := again.Words().Quiet(testSlot); got != QuietForGood {
		t.Errorf("quiet until %d", got)
	}
	if last := again.Words().u64(offQuietLast).Load(); last != uint64(QuietForGood) {
		t.Errorf("the last of all is %d", last)
	}
}
