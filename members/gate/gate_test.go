// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// at is the boot time of the tests: late enough that nothing lies before the boot.
const at = int64(time.Hour)

func words() Words {
	return Words{
		Incarnation: 77, Self: 1, Members: 3, GroupsInUse: 1,
		Soft: 20 * time.Millisecond, Hard: time.Second, Watch: 25 * time.Millisecond, Linger: 200 * time.Millisecond,
	}
}

func TestLease(t *testing.T) {
	tests := []struct {
		name     string
		term     uint32
		renewed  int64
		now      int64
		wantTerm uint32
		least    int64
		most     int64
	}{
		{"just now", 5, at, at, 5, 0, 0},
		{"20 ms ago", 5, at - 20*ms, at, 5, 20*ms - 65536, 20 * ms},
		{"a moment ahead", 5, at + ms, at, 5, 0, 0},
		{"ahead", 5, at + 2000*ms, at, 5, 1 << 55, 1 << 56},
		{"at the boot", 5, 0, at, 5, at - 65536, at},
		{"across the wrap of the stamp", 5, 1<<56 - ms, 1<<56 + ms, 5, 2*ms - 65536, 2*ms + 65536},
		{"highest term", MaxTerm, at, at, MaxTerm, 0, 0},
		{"term beyond the highest is cut", MaxTerm + 1, at, at, 0, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := NewLease(tt.term, tt.renewed)
			if got := l.Term(); got != tt.wantTerm {
				t.Errorf("term %d, want %d", got, tt.wantTerm)
			}
			if got := l.Age(tt.now); got < tt.least || got > tt.most {
				t.Errorf("age %d, want %d to %d", got, tt.least, tt.most)
			}
		})
	}
}

func TestFence(t *testing.T) {
	for _, f := range []Fence{{}, {Term: 1, Grantee: Nobody}, {Term: MaxTerm + 1, Grantee: 7}} {
		if got := FenceOf(f.Word()); got != f {
			t.Errorf("%+v comes back as %+v", f, got)
		}
	}
	f := Fence{Term: 5, Grantee: 2}
	tests := []struct {
		term    uint32
		member  uint8
		want    Fence
		granted bool
	}{
		{4, 2, f, false},
		{5, 2, f, true},
		{5, 1, f, false},
		{6, 1, Fence{Term: 6, Grantee: 1}, true},
	}
	for _, tt := range tests {
		if got, granted := f.Grant(tt.term, tt.member); got != tt.want || granted != tt.granted {
			t.Errorf("term %d to member %d: %+v %v, want %+v %v", tt.term, tt.member, got, granted, tt.want, tt.granted)
		}
	}
	if got, granted := (Fence{}).Grant(0, 0); granted || got != (Fence{}) {
		t.Error("term 0 was granted")
	}
}

func TestServing(t *testing.T) {
	tests := []struct {
		name  string
		words func(w *Words)
		want  Bits
	}{
		{"nothing", func(*Words) {}, 0},
		{"fresh", func(w *Words) { w.Renew(0, 5, at) }, Answer | Forward},
		{"late", func(w *Words) { w.Renew(0, 5, at-21*ms) }, 0},
		{"late, watched", func(w *Words) { w.Renew(0, 5, at-21*ms); w.Watched = at - 24*ms }, Answer | Forward | Watched},
		{"late, watched too long ago", func(w *Words) { w.Renew(0, 5, at-21*ms); w.Watched = at - 25*ms }, 0},
		{"very late, watched", func(w *Words) { w.Renew(0, 5, at-1001*ms); w.Watched = at }, Watched},
		{"late, alone", func(w *Words) { w.Renew(0, 5, at-21*ms); w.Group[0].Alone = at - ms }, Answer | Forward | Alone},
		{"late, single", func(w *Words) { w.Renew(0, 5, at-999*ms); w.Single = at - 2000*ms; w.Probed = at - 2001*ms }, Answer | Forward},
		{"late, single no more", func(w *Words) { w.Renew(0, 5, at-21*ms); w.Single = at - 2*ms; w.Probed = at - ms }, 0},
		{"too late, single", func(w *Words) { w.Renew(0, 5, at-1001*ms); w.Single = at - 2000*ms }, 0},
		{"late, alone no more", func(w *Words) { w.Renew(0, 5, at-21*ms); w.Group[0].Alone = at - ms; w.Probed = at }, Alone},
		{"very late, alone", func(w *Words) { w.Renew(0, 5, at-1001*ms); w.Group[0].Alone = at }, Alone},
		{"fenced off", func(w *Words) { w.Renew(0, 5, at); w.Grant(0, 6, 0, at) }, 0},
		{"granted to another", func(w *Words) { w.Renew(0, 5, at); w.Grant(0, 5, 0, at) }, 0},
		{"granted to us", func(w *Words) { w.Renew(0, 5, at); w.Grant(0, 5, 1, at) }, Answer | Forward},
		{"revoked", func(w *Words) { w.Renew(0, 5, at); w.Revoke(0) }, 0},
		{"lingers", func(w *Words) { w.Group[0].Linger = at + 1 }, Forward},
		{"lingered", func(w *Words) { w.Group[0].Linger = at }, 0},
		{"restarting", func(w *Words) { w.Restarting = at + 1 }, Restarting},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := words()
			tt.words(&w)
			if got := w.Serving(0, at); got != tt.want {
				t.Errorf("bits %06b, want %06b", got, tt.want)
			}
		})
	}
	w := words()
	for _, g := range []int{-1, Groups} {
		if got := w.Serving(g, at); got != 0 {
			t.Errorf("group %d: bits %06b, want none", g, got)
		}
	}
}

// TestWatchCountsFromTheStamp: a probe that was long on its way must not keep a late gate open for longer than its sender waits.
func TestWatchCountsFromTheStamp(t *testing.T) {
	w := words()
	w.Renew(0, 5, at-21*ms)
	w.Probe(at, Probe{Source: 0, EchoIncarnation: 77, EchoStamp: at - 40*ms, Bits: HearsYou})
	if w.Serving(0, at).Has(Answer) {
		t.Error("open because of a stamp older than the watch window")
	}
	w.Probe(at, Probe{Source: 0, EchoIncarnation: 77, EchoStamp: at - 10*ms, Bits: HearsYou})
	if !w.Serving(0, at).Has(Answer) || w.Serving(0, at+15*ms).Has(Answer) {
		t.Error("a stamp 10 ms old must keep the gate open for 15 ms more, not longer")
	}
}

// TestYieldRepeats: a lost reply must not cost the term, whatever the target has become since.
func TestYieldRepeats(t *testing.T) {
	w := words()
	w.Renew(0, 5, at-200*ms)
	w.Watched = at
	y := Yield{Source: 0, EchoIncarnation: 77, Term: 6, Kind: Courtesy, MinAgeMs: 100}
	for range 2 {
		if r := w.Yield(at, y); r.Result != Granted || !r.Bits.Has(Forward) || r.Bits.Has(Answer) {
			t.Fatalf("reply %+v, want granted and lingering", r)
		}
	}
	if r := w.Yield(at, Yield{Source: 2, EchoIncarnation: 77, Term: 6, Kind: Claim}); r.Result != Refused {
		t.Errorf("the same term for another member: result %d, want refused", r.Result)
	}
}

// TestFenceOnlyRises: no frame ever lowers a fence's term or keeps it when the fence changes.
func TestFenceOnlyRises(t *testing.T) {
	for _, alone := range []int64{0, at} {
		for mine := range uint32(4) {
			for fence := range uint32(4) {
				for theirs := range uint32(4) {
					for _, bits := range []Bits{Answer, Answer | Alone} {
						w := words()
						w.Group[0] = Group{Lease: NewLease(mine, at), Fence: Fence{Term: fence, Grantee: 1}, Alone: alone}
						before := w.Group[0].Fence
						w.Probe(at, Probe{Source: 2, EchoIncarnation: 77, Term: theirs, Bits: bits})
						if after := w.Group[0].Fence; after != before && after.Term <= before.Term {
							t.Errorf("lease %d, theirs %d, alone %v: fence went from %+v to %+v", mine, theirs, alone != 0, before, after)
						}
					}
				}
			}
		}
	}
}

func TestValid(t *testing.T) {
	if !(Probe{Source: 7, Group: 15, Term: MaxTerm}).Valid() || !(Yield{Source: 7, Group: 15, Term: MaxTerm, Kind: Graceful}).Valid() {
		t.Error("the highest values are refused")
	}
	for _, p := range []Probe{{Source: Members}, {Group: Groups}, {Term: MaxTerm + 1}} {
		if p.Valid() {
			t.Errorf("%+v is valid", p)
		}
	}
	ok := Yield{Term: 1, Kind: Claim}
	for _, f := range []func(*Yield){
		func(y *Yield) { y.Source = Members }, func(y *Yield) { y.Group = Groups }, func(y *Yield) { y.Term = 0 },
		func(y *Yield) { y.Term = MaxTerm + 1 }, func(y *Yield) { y.Kind = 0 }, func(y *Yield) { y.Kind = Surrender + 1 },
	} {
		y := ok
		if f(&y); y.Valid() {
			t.Errorf("%+v is valid", y)
		}
	}
}

// Whoever judges a lease may lose the CPU after it has read the clock, and find a lease that was renewed meanwhile.
func TestLeaseRenewedAfterTheClockWasRead(t *testing.T) {
	const now = int64(1e12)
	w := &Words{Self: 1, Members: 2, Soft: 20e6, Hard: 1e9, Watch: 25e6}
	w.Group[0].Fence = Fence{Term: 3, Grantee: 1}
	for _, later := range []int64{1e6, 50e6, 900e6} {
		w.Group[0].Lease = NewLease(3, now+later)
		if age := w.Group[0].Lease.Age(now); age != 0 || !w.Serving(0, now).Has(Answer) {
			t.Errorf("renewed %d ns after the clock was read: age %d, serving %v", later, age, w.Serving(0, now))
		}
	}
	w.Group[0].Lease = NewLease(3, now+10e9)
	if w.Serving(0, now).Has(Answer) {
		t.Error("a lease from ten seconds ahead serves")
	}
}

func TestServingOn(t *testing.T) {
	w := words()
	w.Renew(0, 5, at)
	w.Group[0].Fence = Fence{Term: 4}
	w.Quiet[3] = at + 30*ms
	for _, tt := range []struct {
		name string
		slot uint8
		now  int64
		want Bits
	}{
		{"another slot", 2, at, Answer | Forward},
		{"a slot that is none", Slots, at, Answer | Forward},
		{"listens", 3, at, 0},
		{"listens, almost to the end", 3, at + 30*ms - 1, 0},
		{"has listened", 3, at + 30*ms, Answer | Forward},
	} {
		w.Renew(0, 5, tt.now)
		if got := w.ServingOn(tt.slot, 0, tt.now); got != tt.want {
			t.Errorf("%s: %b, want %b", tt.name, got, tt.want)
		}
	}
	w.Revoke(0)
	w.Group[0].Linger, w.Group[0].Alone = at+time.Second.Nanoseconds(), 1
	if got := w.ServingOn(3, 0, at); got != Alone {
		t.Errorf("lingers on a port that listens: %b, want what explains it and nothing let through", got)
	}
}
