// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/members/gate"
)

// TestSlotCounts: what is taken and passed on is counted by slot and by member.
func TestSlotCounts(t *testing.T) {
	g := newSharingGate(t, testSteering)
	p := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}
	frame := p.frame(manyMAC, client)
	passedOn := p.frame(ownMAC, macOf[2])
	slot, _ := g.slot(t, p)
	n := uint64(len(frame))
	for _, e := range entries {
		g.set(t, all(1))
		e.run(t, g, frame, nil)
		g.set(t, all(moving(1, 2)))
		e.run(t, g, frame, nil)
		e.run(t, g, frame, nil)
		g.set(t, all(2))
		e.run(t, g, frame, nil) // foreign: counted nowhere
		e.run(t, g, passedOn, nil)
	}
	counts, err := g.SlotPackets()
	if err != nil {
		t.Fatal(err)
	}
	want := SlotCount{Taken: 2, TakenBytes: 2 * n, Passed: 4, PassedBytes: 4 * n}
	for i, c := range counts {
		if i == int(slot) && c != want || i != int(slot) && c != (SlotCount{}) {
			t.Errorf("slot %d: %+v", i, c)
		}
	}
	members, err := g.MemberPackets()
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range members {
		want := MemberCount{}
		if i == 2 {
			want = MemberCount{To: 4, ToBytes: 4 * n, From: 2, FromBytes: 2 * n}
		}
		if c != want {
			t.Errorf("member %d: %+v, want %+v", i, c, want)
		}
	}
}

// TestSetSteering: what is refused, and what a return to mode ha leaves.
func TestSetSteering(t *testing.T) {
	g := newSharingGate(t, testSteering)
	for _, s := range []Steering{
		{Mode: 3}, {Mode: SteerUnicast, Key: 3}, {Mode: SteerUnicast, SNATFirst: 2, SNATLast: 1}, {Mode: SteerUnicast, SNATLast: 1},
		{Mode: SteerUnicast, Published: []netip.Prefix{{}}},
	} {
		if err := g.SetSteering(s); err == nil {
			t.Errorf("%+v is taken", s)
		}
	}
	g.set(t, all(1))
	w := g.Words()
	if !w.Sharing() || !w.ShareOpen(Boottime()) || w.Share().Term() != 7 {
		t.Errorf("sharing %v, open %v, term %d", w.Sharing(), w.ShareOpen(Boottime()), w.Share().Term())
	}
	// Another set of published prefixes takes the place of the one before.
	s := testSteering
	s.Published = []netip.Prefix{netip.MustParsePrefix("10.9.9.9/8")}
	if err := g.SetSteering(s); err != nil {
		t.Fatal(err)
	}
	if got, want := g.publishedNow(t), []kernelPublishedKey{publishedKey(netip.MustParsePrefix("10.0.0.0/8"))}; len(got) != 1 || got[0] != want[0] {
		t.Errorf("published: %v, want %v", got, want)
	}
	g.SetDrained(true)
	if err := g.SetSteering(Steering{}); err != nil {
		t.Fatal(err)
	}
	g.SetDrained(true) // says nothing in mode ha
	table, err := g.Slots()
	if err != nil {
		t.Fatal(err)
	}
	if table != (SlotTable{}) || w.Sharing() || w.ShareOpen(Boottime()) || w.Share() != 0 || w.u32(offSteer).Load() != 0 || len(g.publishedNow(t)) != 0 {
		t.Errorf("in mode ha: %v, sharing %v, share %v, word %x, %v", table.Term, w.Sharing(), w.Share(), w.u32(offSteer).Load(), g.publishedNow(t))
	}
}

func (g *Gate) publishedNow(t *testing.T) (keys []kernelPublishedKey) {
	t.Helper()
	var key kernelPublishedKey
	var value uint32
	it := g.objects.Published.Iterate()
	for it.Next(&key, &value) {
		keys = append(keys, key)
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestSharingIsAdopted: a restarted daemon finds the slot table, the rules, the MACs and the counts where they were, over a change of
// programs too.
func TestSharingIsAdopted(t *testing.T) {
	for _, tt := range []struct {
		name string
		spec *ebpf.CollectionSpec
	}{{"the same build", buildOf(t)}, {"another build", anotherBuild(t)}} {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions(newPinDir(t))
			o.Soft, o.Hard = time.Hour, time.Hour
			g := reopen(t, o, buildOf(t))
			g.share(t, testSteering)
			table := all(1).with(moving(0, 2), 5)
			g.set(t, all(0))
			g.set(t, table)
			frame := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}.frame(manyMAC, client)
			entries[0].run(t, g, frame, nil)
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}

			g = reopen(t, o, tt.spec)
			got, err := g.Slots()
			if err != nil {
				t.Fatal(err)
			}
			if got != table {
				t.Errorf("table of term %d, number %d, phase %d", got.Term, got.Number, got.Phase)
			}
			if !g.Words().ShareOpen(Boottime()) {
				t.Error("the share is closed")
			}
			if n := len(g.publishedNow(t)); n != 2 {
				t.Errorf("%d published prefixes, want 2", n)
			}
			for _, e := range entries {
				if v, _ := e.run(t, g, frame, nil); v != pass {
					t.Errorf("%s: %v, want that it is taken", e.name, v)
				}
			}
			counts, err := g.SlotPackets()
			if err != nil {
				t.Fatal(err)
			}
			taken := uint64(0)
			for _, c := range counts {
				taken += c.Taken
			}
			if taken != 3 {
				t.Errorf("%d packets taken, want 3: one before", taken)
			}
			if err := errors.Join(g.Close(), Remove(o.PinDir)); err != nil {
				t.Fatal(err)
			}
			if exists(o.PinDir) {
				t.Error("something is left")
			}
		})
	}
}

// TestSharingAfterAnOlderBuild: an older build's programs know nothing of load sharing, and leave its words as they are.
func TestSharingAfterAnOlderBuild(t *testing.T) {
	o := testOptions(newPinDir(t))
	o.Soft, o.Hard = time.Hour, time.Hour
	g := reopen(t, o, buildOf(t))
	g.share(t, testSteering)
	g.set(t, all(1))
	for name := range g.programs() {
		if err := os.Remove(filepath.Join(o.PinDir, pinProgram+name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g = openGate(t, o)
	table, err := g.Slots()
	if err != nil {
		t.Fatal(err)
	}
	if g.Words().Sharing() || g.Words().ShareOpen(Boottime()) || table != (SlotTable{}) {
		t.Errorf("sharing %v with a table of term %d, which is gone", g.Words().Sharing(), table.Term)
	}
}

// TestBlindIsMended: programs that were loaded before the kernel tracked connections are loaded again when it does.
func TestBlindIsMended(t *testing.T) {
	if !exists(conntrackSysctl) {
		labtest.Missing(t, "a kernel that tracks connections")
	}
	o := testOptions(newPinDir(t))
	g := reopen(t, o, buildOf(t))
	if g.Blind() {
		t.Error("a fresh gate is blind")
	}
	g.Words().u32(offBlind).Store(1)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if g = openGate(t, o); g.Blind() {
		t.Error("a gate that was opened again is blind")
	}
}

// TestWordsShare: the share in the live words is that of the twin.
func TestWordsShare(t *testing.T) {
	w := &Words{memory: make([]byte, wordsSize)}
	w.setIdentity(1, 3, 9)
	w.setTimers(time.Second, 10*time.Second, time.Second, 200*time.Millisecond)
	w.u32(offSteer).Store(uint32(SteerUnicast))
	now := Boottime()
	w.RenewShare(5, now)
	if s := w.Snapshot(); !s.Sharing || s.Share != gate.NewLease(5, now) || !w.ShareOpen(now) || !w.Serving(0, now).Has(gate.Forward) || w.Serving(0, now).Has(gate.Answer) {
		t.Errorf("%+v", s)
	}
	if w.Serving(3, now).Has(gate.Forward) {
		t.Error("a share opens another group")
	}
	w.Grant(0, 6, 2)
	if w.ShareOpen(now) || !w.Serving(0, now).Has(gate.Forward) || w.ShareLinger() < now+int64(200*time.Millisecond) {
		t.Errorf("a share does not linger behind a grant: until %d", w.ShareLinger())
	}
	until := w.ShareLinger()
	w.Grant(0, 7, 2)
	if w.ShareLinger() != until {
		t.Error("a share that only lingers lingers longer")
	}
	w.RevokeShare()
	if w.Serving(0, now).Has(gate.Forward) {
		t.Error("a revoked share lingers")
	}
	w.RenewShare(7, now)
	w.u32(offSteer).Store(0)
	if w.ShareOpen(now) || w.Serving(0, now) != 0 {
		t.Error("a share without load sharing")
	}
}
