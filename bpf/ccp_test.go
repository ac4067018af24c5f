// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/members/gate"
)

// forget makes every frame look like the first of its sender.
func (g *Gate) forget(tb testing.TB) {
	tb.Helper()
	for member := range uint32(gate.Members) {
		if err := g.objects.Sources.Put(testSlot*gate.Members+member, kernelSource{}); err != nil {
			tb.Fatal(err)
		}
		if err := g.objects.Streams.Put(testSlot*gate.Members+member, kernelStream{}); err != nil {
			tb.Fatal(err)
		}
	}
}

func sealedFrame() []byte { return sealedAs(ccp.TypeHello, nil) }

// sealedAs is a sealed frame of a type, its header changed by with.
func sealedAs(typ ccp.Type, with func(*ccp.Header)) []byte {
	sealer := ccp.NewSealer(testClusterKey, testSealedKeyNumber, testCluster, 0, senderIncarnation)
	now := Boottime()
	header := ccp.Header{
		Type: typ, Target: testSelf, Sequence: uint64(now), EchoIncarnation: testIncarnation, EchoStamp: uint64(now - 1e6),
	}
	if with != nil {
		with(&header)
	}
	return sealer.Seal(build(ethernet(ownMAC, peerMAC, ccpEtherType)...)[:14], header, []byte("a hello's worth of plaintext, somewhat longer than the least"))
}

const testSealedKeyNumber = 2

var testClusterKey = ccp.ClusterKey{1, 2, 3}

func TestFrames(t *testing.T) {
	g := newTestGate(t, true)
	sealedKey := testClusterKey.GateKey(testCluster)
	if err := g.SetKey(testSealedKeyNumber, sealedKey, true); err != nil {
		t.Fatal(err)
	}
	forged := ccpFrame{}.bytes()
	reply := &ccp.Reply{Nonce: 7}
	claim := &ccp.Yield{Term: 9, Kind: ccp.YieldClaim}
	with := func(f func(*ccp.Header)) []byte { return ccpFrame{header: f}.bytes() }
	otherKey := [16]byte{9}
	tests := []struct {
		name   string
		packet []byte
		want   verdict
		count  Counter
	}{
		{"probe", ccpFrame{}.bytes(), answer, ProbeAnswered},
		{"probe to all", with(func(h *ccp.Header) { h.Target = ccp.All }), answer, ProbeAnswered},
		{"probe by multicast", ccpFrame{dst: [6]byte{3, 0x48, 0x46, 0, 0x12, 0x34}}.bytes(), answer, ProbeAnswered},
		{"probe padded", append(ccpFrame{}.bytes(), 0, 0, 0, 0), answer, ProbeAnswered},
		{"probe tagged", ccpFrame{vlans: []uint16{10}}.bytes(), answer, ProbeAnswered},
		{"probe of who knows nothing yet", with(func(h *ccp.Header) { h.EchoIncarnation, h.EchoStamp = 0, 0 }), answer, ProbeAnswered},
		{"yield", ccpFrame{yield: claim}.bytes(), answer, YieldGranted},
		{"reply", ccpFrame{reply: reply}.bytes(), pass, ReplyPassed},
		{"yield reply", ccpFrame{reply: reply, header: func(h *ccp.Header) { h.Type = ccp.TypeYieldReply }}.bytes(), pass, ReplyPassed},
		{"sealed", sealedFrame(), pass, SealedPassed},
		{"sealed, of a type to come", sealedAs(200, nil), pass, SealedPassed},
		{"sync", sealedAs(ccp.TypeSync, nil), pass, SyncPassed},
		{"sync of who knows nothing yet", sealedAs(ccp.TypeSync, func(h *ccp.Header) { h.EchoIncarnation = 0 }), pass, SyncPassed},

		{"truncated header", forged[:14+55], drop, FrameTruncated},
		{"truncated body", forged[:14+103], drop, FrameTruncated},
		{"truncated sealed", sealedFrame()[:14+104], drop, FrameTruncated},
		{"length below the least", changed(forged, func(b []byte) { b[14+9] = 47 }), drop, FrameTruncated},
		{"length beyond the frame", changed(sealedFrame(), func(b []byte) { b[14+8] = 4 }), drop, FrameTruncated},
		{"long gate frame", append(changed(forged, func(b []byte) { b[14+9] = 49 }), 0), drop, FrameTruncated},
		{"version", changed(forged, func(b []byte) { b[14] = 2 }), drop, FrameVersion},
		{"type 0", changed(forged, func(b []byte) { b[14+1] = 0 }), drop, FrameType},
		{"type 5", changed(forged, func(b []byte) { b[14+1] = 5 }), drop, FrameType},
		{"type 15", changed(forged, func(b []byte) { b[14+1] = 15 }), drop, FrameType},
		{"foreign cluster", with(func(h *ccp.Header) { h.Cluster++ }), drop, FrameCluster},
		{"from ourselves", with(func(h *ccp.Header) { h.Source = testSelf }), drop, FrameSource},
		{"from no member", with(func(h *ccp.Header) { h.Source = testMembers }), drop, FrameSource},
		{"from member 200", with(func(h *ccp.Header) { h.Source = 200 }), drop, FrameSource},
		{"for another member", with(func(h *ccp.Header) { h.Target = 2 }), drop, FrameTarget},
		{"under no key", with(func(h *ccp.Header) { h.Key = 3 }), drop, FrameKey},
		{"under another key", ccpFrame{key: &otherKey}.bytes(), drop, FrameTag},
		{"forged tag", changed(forged, func(b []byte) { b[14+48] ^= 1 }), drop, FrameTag},
		{"forged first byte tagged", changed(forged, func(b []byte) { b[14+2] ^= 1 }), drop, FrameTag},
		{"forged last byte tagged", changed(forged, func(b []byte) { b[14+103] ^= 1 }), drop, FrameTag},
		{"forged sync", changed(sealedAs(ccp.TypeSync, nil), func(b []byte) { b[14+60] ^= 1 }), drop, FrameTag},
		{"forged sealed", changed(sealedFrame(), func(b []byte) { b[14+60] ^= 1 }), drop, FrameTag},
		{"group 16", ccpFrame{probe: ccp.Probe{Group: 16}}.bytes(), drop, FrameMalformed},
		{"term beyond the last", ccpFrame{probe: ccp.Probe{Term: gate.MaxTerm + 1}}.bytes(), drop, FrameMalformed},
		{"yield of term 0", ccpFrame{yield: &ccp.Yield{Kind: ccp.YieldClaim}}.bytes(), drop, FrameMalformed},
		{"yield of kind 0", ccpFrame{yield: &ccp.Yield{Term: 9}}.bytes(), drop, FrameMalformed},
		{"yield of kind 5", ccpFrame{yield: &ccp.Yield{Term: 9, Kind: 5}}.bytes(), drop, FrameMalformed},
		{"reply to the gate before", ccpFrame{reply: reply, header: func(h *ccp.Header) { h.EchoIncarnation-- }}.bytes(), drop, FrameStale},
		{"reply to an old probe", ccpFrame{reply: reply, header: func(h *ccp.Header) { h.EchoStamp -= 2e9 }}.bytes(), drop, FrameStale},
		{"reply from the future", ccpFrame{reply: reply, header: func(h *ccp.Header) { h.EchoStamp += 3600e9 }}.bytes(), drop, FrameStale},
		{"another ethertype", ccpFrame{ethernet: 0x88b6}.bytes(), pass, numCounters},
	}
	for _, e := range entries {
		for _, tt := range tests {
			t.Run(e.name+"/"+tt.name, func(t *testing.T) {
				g.forget(t)
				g.Words().word(0, offFence).Store(0)
				moved := counted(t, g, func() {
					got, out := e.run(t, g, tt.packet, nil)
					if got != tt.want {
						t.Errorf("verdict %v, want %v", got, tt.want)
					}
					if got != answer {
						checkBytes(t, out, tt.packet)
					}
				})
				if tt.count == numCounters {
					checkCounted(t, moved)
					return
				}
				checkCounted(t, moved, tt.count)
			})
		}
	}
}

// TestDroppedFramesChangeNothing: what is dropped leaves no trace in the words.
func TestDroppedFramesChangeNothing(t *testing.T) {
	g := newTestGate(t, true)
	serve(g, 0)
	before := g.Words().Snapshot()
	serving := ccp.Probe{Term: 99, Bits: ccp.BitAnswer | ccp.BitHearsYou}
	otherKey := [16]byte{9}
	for _, packet := range [][]byte{
		ccpFrame{probe: serving, key: &otherKey}.bytes(),
		ccpFrame{yield: &ccp.Yield{Term: 99, Kind: ccp.YieldClaim}, key: &otherKey}.bytes(),
		ccpFrame{probe: serving, header: func(h *ccp.Header) { h.Cluster++ }}.bytes(),
		ccpFrame{probe: serving, header: func(h *ccp.Header) { h.Target = 2 }}.bytes(),
		ccpFrame{yield: &ccp.Yield{Term: 99, Kind: ccp.YieldClaim}, header: func(h *ccp.Header) { h.Target = 2 }}.bytes(),
		ccpFrame{probe: serving}.bytes()[:14+80],
	} {
		for _, e := range entries {
			if got, _ := e.run(t, g, packet, nil); got != drop {
				t.Errorf("%s: verdict %v, want drop", e.name, got)
			}
		}
	}
	if after := g.Words().Snapshot(); after != before {
		t.Errorf("words changed from\n%+v to\n%+v", before, after)
	}
}

// TestRecordings: what only repeats or does not echo a fresh stamp is limited to a burst of 100, then to 1000 a second; what is
// fresh never is.
func TestRecordings(t *testing.T) {
	g := newTestGate(t, true)
	for _, e := range entries {
		t.Run(e.name, func(t *testing.T) {
			g.forget(t)
			start := time.Now()
			old := ccpFrame{header: func(h *ccp.Header) { h.EchoStamp -= 5e9 }}.bytes()
			passed := 0
			for range 300 {
				if v, _ := e.run(t, g, old, nil); v == answer {
					passed++
				}
			}
			for i := range 300 {
				if v, _ := e.run(t, g, ccpFrame{}.bytes(), nil); v != answer {
					t.Fatalf("fresh frame %d: verdict %v, want answer", i, v)
				}
			}
			// A fresh frame that comes again is a recording like any other.
			fresh := ccpFrame{}.bytes()
			if v, _ := e.run(t, g, fresh, nil); v != answer {
				t.Errorf("fresh frame: verdict %v, want answer", v)
			}
			for range 300 {
				if v, _ := e.run(t, g, fresh, nil); v == answer {
					passed++
				}
			}
			if most := 100 + int(time.Since(start)/time.Millisecond) + 1; passed < 100 || passed > most {
				t.Errorf("%d of 600 recorded frames passed, want 100 to %d", passed, most)
			}
			reply := ccpFrame{reply: &ccp.Reply{}}.bytes()
			if v, _ := e.run(t, g, reply, nil); v != pass {
				t.Errorf("first reply: verdict %v, want pass", v)
			}
			if v, _ := e.run(t, g, reply, nil); v != drop {
				t.Errorf("the same reply again: verdict %v, want drop", v)
			}
		})
	}
}

// TestStateSynchronisation: fresh frames pass at any rate, and neither they nor recordings of them are in the way of others.
func TestStateSynchronisation(t *testing.T) {
	g := newTestGate(t, true)
	if err := g.SetKey(testSealedKeyNumber, testClusterKey.GateKey(testCluster), true); err != nil {
		t.Fatal(err)
	}
	hello := func() []byte { return sealedFrame() }
	stale := func(h *ccp.Header) { h.EchoStamp -= 5e9 }
	for _, e := range entries {
		t.Run(e.name, func(t *testing.T) {
			expect := func(what string, packet []byte, want verdict) {
				t.Helper()
				if v, _ := e.run(t, g, packet, nil); v != want {
					t.Fatalf("%s: verdict %v, want %v", what, v, want)
				}
			}
			g.forget(t)
			first := hello()
			expect("a HELLO made before", first, pass)
			for range 2000 {
				expect("fresh sync", sealedAs(ccp.TypeSync, nil), pass)
			}
			// The sync plane has an incarnation of its own: a HELLO's sequences are not its.
			expect("a HELLO after many", hello(), pass)

			// Recordings of SYNC take tokens of their own.
			g.forget(t)
			start, passed := time.Now(), 0
			old := sealedAs(ccp.TypeSync, stale)
			for range 300 {
				if v, _ := e.run(t, g, old, nil); v == pass {
					passed++
				}
			}
			if most := 100 + int(time.Since(start)/time.Millisecond) + 1; passed < 100 || passed > most {
				t.Errorf("%d of 300 recorded frames passed, want 100 to %d", passed, most)
			}
			expect("a HELLO that is not fresh, beside a flood of recorded SYNC", sealedAs(ccp.TypeHello, stale), pass)
			expect("fresh sync beside them", sealedAs(ccp.TypeSync, nil), pass)

			// And the other way round.
			g.forget(t)
			for range 300 {
				_, _ = e.run(t, g, sealedAs(ccp.TypeHello, stale), nil)
			}
			for range 50 {
				expect("sync that is not fresh, beside a flood of recorded HELLOs", old, pass)
			}

			// A SYNC frame again is a recording: its sequence was seen. Another incarnation's does not change that for HELLOs.
			g.forget(t)
			again := hello()
			expect("a HELLO", again, pass)
			moved := counted(t, g, func() {
				for range 20 {
					expect("sync of another incarnation", foreignSync(), pass)
				}
				for range 300 {
					_, _ = e.run(t, g, again, nil)
				}
			})
			if moved[FrameLimited] == 0 || moved[SyncLimited] != 0 {
				t.Errorf("a repeated HELLO was taken as fresh after SYNC frames: %v", moved)
			}
		})
	}
}

// foreignSync is a fresh SYNC frame of the sender's sync plane, whose incarnation is not the sealer's of HELLOs.
func foreignSync() []byte {
	sealer := ccp.NewSealer(testClusterKey, testSealedKeyNumber, testCluster, 0, senderIncarnation+1)
	now := Boottime()
	h := ccp.Header{
		Type: ccp.TypeSync, Target: testSelf, Sequence: uint64(now), EchoIncarnation: testIncarnation, EchoStamp: uint64(now - 1e6),
	}
	return sealer.Seal(build(ethernet(ownMAC, peerMAC, ccpEtherType)...)[:14], h, nil)
}

// TestReply checks every byte of a reply.
func TestReply(t *testing.T) {
	g := newTestGate(t, true)
	w := g.Words()
	for _, e := range entries {
		t.Run(e.name, func(t *testing.T) {
			g.forget(t)
			g.in(serves)
			w.SetAlone(0, Boottime())
			w.SetRestarting(Boottime() + 3600e9)
			w.word(0, offClosedRx).Store(5)
			w.word(3, offClosedRx).Store(6)
			w.u64(offHeard + 8*2).Store(uint64(Boottime() - 77e6))
			before := w.Snapshot()
			packet := ccpFrame{vlans: []uint16{10}, probe: ccp.Probe{Nonce: 0x0102030405060708, Bits: ccp.BitHearsYou}}.bytes()
			sequence := binary.BigEndian.Uint64(packet[18+24:])
			v, out := e.run(t, g, packet, nil)
			if v != answer {
				t.Fatalf("verdict %v, want answer", v)
			}
			now := binary.BigEndian.Uint64(out[18+24:])
			if int64(now) < before.Group[0].Alone || int64(now) > Boottime() {
				t.Errorf("answered at %d, which is not now", now)
			}
			want := ccpFrame{
				dst: peerMAC, vlans: []uint16{10},
				header: func(h *ccp.Header) {
					*h = ccp.Header{
						Version: 1, Type: ccp.TypeReply, Key: testKeyNumber, Cluster: testCluster, Source: testSelf, Target: 0,
						Incarnation: testIncarnation, Sequence: now, EchoIncarnation: senderIncarnation, EchoStamp: sequence,
					}
				},
				reply: &ccp.Reply{
					Nonce: 0x0102030405060708, Term: before.Group[0].Lease.Term(),
					Bits:       ccp.BitAnswer | ccp.BitForward | ccp.BitAlone | ccp.BitRestarting | ccp.BitWatched,
					LeaseAgeMs: uint16(before.Group[0].Lease.Age(int64(now)) / 1e6), FenceTerm: before.Group[0].Fence.Term,
					Grantee: before.Group[0].Fence.Grantee, Heard: [8]uint8{0, 0, uint8((int64(now) - before.Heard[2]) / 1e6), 255, 255, 255, 255, 255},
					Closed: 11,
				},
			}.bytes()
			copy(want[6:], ownMAC[:])
			checkBytes(t, out, want)
		})
	}
}
