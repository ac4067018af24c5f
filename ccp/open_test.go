// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// daemon is one life of a member's daemon: what it seals with and opens with.
type daemon struct {
	self uint8
	s    *Sealer
	o    *Opener
}

const openCluster = 0x0304

var oldKey, newKey = Key{1, ClusterKey{1, 2, 3}}, Key{2, ClusterKey{4, 5, 6}}

func newDaemon(self uint8, incarnation uint64) *daemon {
	return &daemon{
		self: self,
		s:    NewSealer(oldKey.Key, oldKey.Number, openCluster, self, incarnation),
		o:    NewOpener(openCluster, self, incarnation, oldKey),
	}
}

// frame seals a HELLO at time now (ns) for target.
func (d *daemon) frame(now int64, target uint8, body string) []byte {
	plain := append(d.o.AppendEcho(nil, target), body...)
	return d.s.Seal(nil, Header{Type: TypeHello, Target: target, Sequence: uint64(now)}, plain)
}

// take opens f, which must succeed.
func (d *daemon) take(t *testing.T, now int64, f []byte) Opened {
	t.Helper()
	o, reason := d.o.Open(now, f, nil)
	if reason != DropNone {
		t.Fatalf("member %d dropped a good frame: %v", d.self, reason)
	}
	return o
}

const ms = int64(1e6)

// greet lets a and b exchange frames from now on until both are bound; it returns the time after.
func greet(t *testing.T, now int64, a, b *daemon) int64 {
	t.Helper()
	for i := 0; ; i++ {
		if i == 10 {
			t.Fatal("two members that hear each other do not get bound")
		}
		now += ms
		y := b.take(t, now, a.frame(now, All, "x"))
		now += ms
		x := a.take(t, now, b.frame(now, All, "y"))
		if x.Bound && y.Bound {
			return now
		}
	}
}

func TestSealedFrameGolden(t *testing.T) {
	d := newDaemon(5, 0x1011121314151617)
	f := d.s.Seal(nil, Header{
		Type: TypeHello, Flags: 1, Target: 6, Sequence: 0x2021222324252627, EchoIncarnation: 0x3031323334353637, EchoStamp: 0x4041424344454647,
	}, []byte("\x00body"))
	if err := checkGolden("sealed", f); err != nil {
		t.Fatal(err)
	}
	if !VerifyTag(f, oldKey.Key.GateKey(openCluster)) {
		t.Fatal("wrong tag")
	}
}

// checkGolden compares with what this version's first release put on the wire; a change here is another protocol.
func checkGolden(name string, b []byte) error {
	if got := fmt.Sprintf("%x", b); got != golden[name] {
		return fmt.Errorf("%s is\n%s\nand was\n%s", name, got, golden[name])
	}
	return nil
}

func TestKeysGolden(t *testing.T) {
	key := ClusterKey{1, 2, 3}
	gate := key.GateKey(openCluster)
	for name, b := range map[string][]byte{"gate key": gate[:], "seal key": key.sealKey(openCluster, 5, 0x1011121314151617)} {
		if err := checkGolden(name, b); err != nil {
			t.Error(err)
		}
	}
	if got := fmt.Sprintf("%016x", key.Fingerprint(openCluster)); got != golden["fingerprint"] {
		t.Errorf("fingerprint %s, want %s", got, golden["fingerprint"])
	}
}

func TestHandshake(t *testing.T) {
	a, b := newDaemon(0, 100), newDaemon(1, 200)
	// The steps that two daemons take when each answers at once what asks for an introduction.
	first := b.take(t, 1*ms, a.frame(1*ms, 1, ""))
	second := a.take(t, 2*ms, b.frame(2*ms, 0, ""))
	third := b.take(t, 3*ms, a.frame(3*ms, 1, ""))
	fourth := a.take(t, 4*ms, b.frame(4*ms, 0, ""))
	fifth := b.take(t, 5*ms, a.frame(5*ms, 1, ""))
	type verdict struct{ bound, isNew, introduce bool }
	for i, tc := range []struct {
		got  Opened
		want verdict
	}{
		{first, verdict{false, false, true}},  // nobody yet knows anybody
		{second, verdict{false, false, true}}, // echoes a, but only what a had sent before it heard of b
		{third, verdict{true, true, true}},    // echoes what b sent after it had heard of a
		{fourth, verdict{true, true, true}},   // and so does this
		{fifth, verdict{true, false, false}},  // bound and quiet from here on
	} {
		if got := (verdict{tc.got.Bound, tc.got.New, tc.got.Introduce}); got != tc.want {
			t.Errorf("frame %d: %+v, want %+v", i+1, got, tc.want)
		}
	}
	if fifth.Age != 1*ms {
		t.Errorf("age %d, want 1 ms: b's frame of 4 ms was the newest that a had heard", fifth.Age)
	}
	if inc, ok := b.o.Incarnation(0); inc != 100 || !ok {
		t.Errorf("b knows incarnation %d, %v", inc, ok)
	}
}

// TestReplay is the hostile segment: everything that was ever sent comes again, also from before restarts.
func TestReplay(t *testing.T) {
	a, b := newDaemon(0, 100), newDaemon(1, 200)
	now := greet(t, 0, a, b)
	var recorded [][]byte
	for range 20 {
		now += ms
		f := b.frame(now, All, "state of long ago")
		recorded = append(recorded, f)
		a.take(t, now, f)
		now += ms
		b.take(t, now, a.frame(now, All, ""))
	}
	replay := func(what string, want ...DropReason) {
		t.Helper()
		for i, f := range recorded {
			o, reason := a.o.Open(now, f, nil)
			if o.Bound || o.New {
				t.Fatalf("%s: frame %d is bound", what, i)
			}
			ok := false
			for _, w := range want {
				ok = ok || reason == w
			}
			if !ok {
				t.Fatalf("%s: frame %d: %v", what, i, reason)
			}
		}
	}
	replay("same lives", DropReplay)

	b = newDaemon(1, 201)
	now = greet(t, now, a, b)
	replay("sender restarted", DropRetired)

	a = newDaemon(0, 101)
	replay("receiver restarted", DropNone, DropReplay) // taken, not bound: it knows nobody yet
	now = greet(t, now, a, b)                          // and the recording keeps nobody out
	if inc, _ := a.o.Incarnation(1); inc != 201 {
		t.Fatalf("a took the recording's incarnation %d", inc)
	}
}

// TestForgottenLife replays frames that were bound once, of a life so long ago that it is not remembered as retired.
func TestForgottenLife(t *testing.T) {
	a, b := newDaemon(0, 100), newDaemon(1, 200)
	now := greet(t, 0, a, b)
	var recorded [][]byte
	for range 5 {
		now += ms
		recorded = append(recorded, b.frame(now, All, ""))
	}
	for life := range uint64(retiredKept + 1) {
		b = newDaemon(1, 201+life)
		now = greet(t, now, a, b)
	}
	for i, f := range recorded {
		now += ms
		if o := a.take(t, now, f); o.Bound || o.New {
			t.Fatalf("frame %d: %+v", i, o)
		}
	}
	if inc, _ := a.o.Incarnation(1); inc != 201+retiredKept {
		t.Fatalf("the current incarnation is %d", inc)
	}
}

// TestRecordingsDoNotKeepAPeerOut floods a fresh receiver with recordings of more lives of a peer than it has places for candidates.
func TestRecordingsDoNotKeepAPeerOut(t *testing.T) {
	var recorded [][]byte
	for life := range uint64(40) {
		former := newDaemon(1, 300+life)
		for i := range int64(100) {
			recorded = append(recorded, former.frame((i+1)*ms, All, ""))
		}
	}
	for _, fresh := range []bool{true, false} {
		t.Run(fmt.Sprint("gate echoed ", fresh), func(t *testing.T) {
			a, b := newDaemon(0, 100), newDaemon(1, 200)
			a.o.SetGate(77)
			now, limit := int64(1e9), int64(1e9)+300*ms
			if !fresh {
				limit = int64(60e9)
			}
			n := 0
			for ; now < limit; now += 10 * ms {
				for range 10 { // a recording each ms
					n += 997
					a.o.Open(now, recorded[n%len(recorded)], nil)
				}
				if now%(100*ms) != 0 {
					continue
				}
				h := Header{Type: TypeHello, Target: 0, Sequence: uint64(now)}
				if fresh {
					h.EchoIncarnation, h.EchoStamp = 77, uint64(now-ms)
				}
				o, _ := a.o.Open(now, b.s.Seal(nil, h, b.o.AppendEcho(nil, 0)), nil)
				if o.Bound {
					return
				}
				b.o.Open(now, a.frame(now+1, 1, ""), nil)
			}
			t.Fatalf("not bound within %d ms", (limit-1e9)/ms)
		})
	}
}

// TestFreshProof: what proves that a frame is no recording is a stamp of this very gate, of the last second, and not one that is still to come.
func TestFreshProof(t *testing.T) {
	now := int64(1e12)
	for name, k := range map[string]struct {
		gate, echoed uint64
		stamp        int64
		want         bool
	}{
		"just now":            {77, 77, now, true},
		"of the last second":  {77, 77, now - freshAge + 1, true},
		"a second ago":        {77, 77, now - freshAge, false},
		"still to come":       {77, 77, now + 1, false},
		"another gate's":      {77, 78, now, false},
		"a former gate's":     {77, 0, now, false},
		"no gate is known":    {0, 0, now, false},
		"none is, one echoed": {0, 77, now, false},
	} {
		o := NewOpener(openCluster, 0, 100, oldKey)
		o.SetGate(k.gate)
		if got := o.isFresh(now, Header{EchoIncarnation: k.echoed, EchoStamp: uint64(k.stamp)}); got != k.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestLottery: of more incarnations than there are places, the ones that deserve them most have them, in whatever order they come.
func TestLottery(t *testing.T) {
	const now, lives = int64(1e12), 50
	for seed := range uint64(20) {
		var p peer
		var merits []uint64
		for i := range uint64(lives) {
			inc := &incarnation{id: 1 + (i*31+seed*7)*0x9e3779b97f4a7c15}
			merits = append(merits, inc.merit(now))
			p.nominate(inc, now)
		}
		slices.Sort(merits)
		got := []uint64{p.candidates[0].merit(now), p.candidates[1].merit(now)}
		slices.Sort(got)
		if want := merits[lives-candidates:]; !slices.Equal(got, want) {
			t.Errorf("seed %d: merits %x, want %x", seed, got, want)
		}
		proved := &incarnation{id: 5, freshUntil: now + 1}
		if !p.nominate(proved, now) {
			t.Errorf("seed %d: who has proved to be no recording has no place", seed)
		}
	}
}

// TestNoKeyIsNoKey: where one key is held, the place of the other must not take what is sealed with nothing.
func TestNoKeyIsNoKey(t *testing.T) {
	a := newDaemon(0, 100)
	f := NewSealer(ClusterKey{}, 0, openCluster, 1, 200).Seal(nil, Header{Type: TypeHello, Target: 0, Sequence: 5}, []byte{0})
	if _, reason := a.o.Open(ms, f, nil); reason != DropKey {
		t.Errorf("%v, want %v", reason, DropKey)
	}
}

// TestRestartWhileBound: a peer that restarts takes over from its former life at once, and the former one never comes back.
func TestRestartWhileBound(t *testing.T) {
	a, b := newDaemon(0, 100), newDaemon(1, 200)
	now := greet(t, 0, a, b)
	late := b.frame(now+ms, All, "late")
	b2 := newDaemon(1, 201)
	start := now
	now = greet(t, now, a, b2)
	if now-start > 10*ms {
		t.Errorf("a restart took %d ms of frames each ms", (now-start)/ms)
	}
	if _, reason := a.o.Open(now, late, nil); reason != DropRetired {
		t.Errorf("late frame of the former life: %v", reason)
	}
	// A first frame of the new life that is delayed until after is no news either.
	if o, reason := a.o.Open(now, newDaemon(1, 201).frame(1, All, ""), nil); reason != DropOld || o.Bound {
		t.Errorf("older than the new life's proof: %v", reason)
	}
}

func TestOpenRefuses(t *testing.T) {
	a, b := newDaemon(0, 100), newDaemon(1, 200)
	now := greet(t, 0, a, b) + ms
	resealed := func(edit func(h *Header), mod func(s *Sealer)) []byte {
		s := NewSealer(oldKey.Key, oldKey.Number, openCluster, 1, 200)
		if mod != nil {
			mod(s)
		}
		h := Header{Type: TypeHello, Target: 0, Sequence: uint64(now)}
		if edit != nil {
			edit(&h)
		}
		return s.Seal(nil, h, append(b.o.AppendEcho(nil, All), make([]byte, 40)...)) // longer than the tag reaches
	}
	retag := func(f []byte) []byte { setTag(f, oldKey.Key.GateKey(openCluster)); return f }
	flip := func(f []byte, i int) []byte { f[i] ^= 1; return f }
	malformed := NewSealer(oldKey.Key, 1, openCluster, 1, 200).Seal(nil, Header{Type: TypeHello, Sequence: uint64(now)}, []byte{200})
	seen := map[DropReason]bool{DropNone: true, DropRetired: true, DropReplay: true, DropOld: true}
	for _, tc := range []struct {
		name string
		f    []byte
		want DropReason
	}{
		{"empty", nil, DropShort},
		{"cut", resealed(nil, nil)[:100], DropShort},
		{"version", flip(resealed(nil, nil), 0), DropVersion},
		{"type zero", resealed(func(h *Header) { h.Type = 0 }, nil), DropType},
		{"gate frame", AppendProbe(nil, Header{Cluster: openCluster, Source: 1}, Probe{}, oldKey.Key.GateKey(openCluster)), DropType},
		{"length", func() []byte { f := resealed(nil, nil); f[8] = 0xff; return f }(), DropLength},
		{"cluster", resealed(nil, func(s *Sealer) { s.cluster++ }), DropCluster},
		{"source", resealed(nil, func(s *Sealer) { s.self = 8 }), DropSource},
		{"no incarnation", resealed(nil, func(s *Sealer) { s.incarnation = 0 }), DropSource},
		{"own number", resealed(nil, func(s *Sealer) { s.self = 0 }), DropOwn},
		{"target", resealed(func(h *Header) { h.Target = 2 }, nil), DropTarget},
		{"key number", resealed(nil, func(s *Sealer) { s.key = 7 }), DropKey},
		{"tag", flip(resealed(nil, nil), TagOffset), DropTag},
		{"other key", resealed(nil, func(s *Sealer) { s.Rekey(newKey.Key, oldKey.Number) }), DropTag},
		{"body changed, tag made good", retag(flip(resealed(nil, nil), 70)), DropSeal},
		{"body's end changed", func() []byte { f := resealed(nil, nil); return flip(f, len(f)-1) }(), DropSeal},
		{"header changed, tag made good", retag(flip(resealed(nil, nil), 2)), DropSeal},
		{"another's incarnation", resealed(nil, func(s *Sealer) { s.incarnation = 999 }), DropSeal},
		{"echo list runs over", malformed, DropMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o, reason := a.o.Open(now, tc.f, nil)
			if reason != tc.want || o.Bound || o.Body != nil {
				t.Fatalf("%v (%+v), want %v", reason, o, tc.want)
			}
			seen[reason] = true
		})
	}
	for r := range DropReasons {
		if !seen[DropReason(r)] {
			t.Errorf("no case for %v", DropReason(r))
		}
	}
	if !a.take(t, now, resealed(nil, nil)).Bound {
		t.Error("after all that, the good frame is not bound")
	}
}

// TestPlaintextOddities are plaintexts that the fuzzer came upon: properly sealed, and of no use.
func TestPlaintextOddities(t *testing.T) {
	for _, tc := range []struct {
		name  string
		plain []byte
	}{
		{"an echo made of the padding", []byte{1}},
		{"nothing at all", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := newDaemon(0, 100), newDaemon(1, 200)
			now := greet(t, 0, a, b) + ms
			if a.take(t, now, b.s.Seal(nil, Header{Type: TypeHello, Target: 0, Sequence: uint64(now)}, tc.plain)).Bound {
				t.Fatal("bound")
			}
		})
	}
}

// TestUnboundWithoutOwnEcho: the proof is made per frame, not once per incarnation.
func TestUnboundWithoutOwnEcho(t *testing.T) {
	a, b := newDaemon(0, 100), newDaemon(1, 200)
	now := greet(t, 0, a, b) + ms
	f := b.s.Seal(nil, Header{Type: TypeHello, Target: 0, Sequence: uint64(now)}, []byte{0})
	if a.take(t, now, f).Bound {
		t.Fatal("bound without an echo")
	}
}

func TestSealerNeverRepeatsASequence(t *testing.T) {
	d := newDaemon(0, 100)
	var last uint64
	for _, now := range []int64{5, 5, 4, 1, 7, 7} {
		h, err := ParseHeader(d.frame(now, All, ""))
		if err != nil || h.Sequence <= last {
			t.Fatalf("sequence %d after %d, %v", h.Sequence, last, err)
		}
		last = h.Sequence
	}
	dst := []byte("before")
	if got := d.s.Seal(dst, Header{Type: TypeHello}, make([]byte, MaxPlainLen+1)); !bytes.Equal(got, dst) {
		t.Fatal("sealed more than a frame holds")
	}
	if got := d.s.Seal(nil, Header{Type: TypeHello}, make([]byte, MaxPlainLen)); len(got) != MaxFrameLen {
		t.Fatalf("the longest frame has %d bytes", len(got))
	}
}

func TestTwoKeysAtOnce(t *testing.T) {
	a, b := newDaemon(0, 100), newDaemon(1, 200)
	now := greet(t, 0, a, b) + ms
	old := b.frame(now, All, "under the old key")
	b.s.Rekey(newKey.Key, newKey.Number)
	if _, reason := a.o.Open(now, b.frame(now+1, All, ""), nil); reason != DropKey {
		t.Fatalf("a key not held: %v", reason)
	}
	a.o.SetKeys(oldKey, newKey)
	if !a.take(t, now, b.frame(now+2, All, "")).Bound || !a.take(t, now, old).Bound {
		t.Fatal("a change of key unbinds, or the old key is gone too early")
	}
	late := NewSealer(oldKey.Key, oldKey.Number, openCluster, 1, 200)
	a.o.SetKeys(newKey)
	if _, reason := a.o.Open(now, late.Seal(nil, Header{Type: TypeHello, Target: All, Sequence: uint64(now + 3)}, []byte{0}), nil); reason != DropKey {
		t.Fatalf("a key that was dropped: %v", reason)
	}
	if !a.take(t, now, b.frame(now+4, All, "")).Bound {
		t.Fatal("dropping the old key unbinds")
	}
}

func TestSealOpenAllocateNothing(t *testing.T) {
	a, b := newDaemon(0, 100), newDaemon(1, 200)
	now := greet(t, 0, a, b)
	h := fullHello()
	plain, frame, scratch := make([]byte, 0, MaxPlainLen), make([]byte, 0, MaxFrameLen), make([]byte, 0, MaxPlainLen)
	if n := testing.AllocsPerRun(3*WindowSize, func() {
		now += ms
		p := h.Append(b.o.AppendEcho(plain, All))
		f := b.s.Seal(frame, Header{Type: TypeHello, Target: All, Sequence: uint64(now)}, p)
		if o, reason := a.o.Open(now, f, scratch); reason != DropNone || !o.Bound {
			t.Fatal(reason)
		}
	}); n != 0 {
		t.Fatalf("%v allocations a frame", n)
	}
}

func BenchmarkSealOpen(b *testing.B) {
	x, y := newDaemon(0, 100), newDaemon(1, 200)
	plain, frame, scratch := make([]byte, 1000), make([]byte, 0, MaxFrameLen), make([]byte, 0, MaxPlainLen)
	for i := range b.N {
		f := y.s.Seal(frame, Header{Type: TypeHello, Target: All, Sequence: uint64(i + 1)}, plain)
		x.o.Open(int64(i), f, scratch)
	}
}
