// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestHeld(t *testing.T) {
	var h held
	if h.Wake() != never {
		t.Error("wakes without anything held")
	}
	for key, at := range []int64{30, 10, 20, 40} {
		h.Put(uint64(key), 0, at, []byte{byte(key)})
	}
	h.Put(0, 7, 99, []byte{9}) // its time stays
	if !h.Drop(2) || h.Drop(2) || !h.Update(3, []byte("new")) || h.Update(2, nil) || !h.Has(1) || h.Has(2) {
		t.Error("drop, update, has")
	}
	var got []uint64
	for now := int64(0); now <= 40; now += 5 {
		for e := h.Due(now); e != nil; e = h.Due(now) {
			if e.at > now || e.key == 3 && string(e.data) != "new" || e.key == 0 && e.print != 7 {
				t.Errorf("%+v at %d", e, now)
			}
			got = append(got, e.key)
		}
	}
	if !slices.Equal(got, []uint64{1, 0, 3}) || h.Len() != 0 {
		t.Errorf("came out as %v, %d left", got, h.Len())
	}
}

func TestKeySet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var s keySet
	want := map[uint64]bool{}
	for range 20_000 {
		key := r.Uint64N(1 << 15) // many twice, and zero
		if r.IntN(8) == 0 {
			key = r.Uint64()
		}
		s.Add(key)
		want[key] = true
	}
	if s.Len() != len(want) {
		t.Fatalf("%d keys, want %d", s.Len(), len(want))
	}
	for range 20_000 {
		if key := r.Uint64N(1 << 16); s.Has(key) != want[key] {
			t.Fatalf("key %d: %v", key, s.Has(key))
		}
	}
	s.Reserve(1 << 20)
	for key := range want {
		if !s.Has(key) {
			t.Fatalf("key %d went with the growing", key)
		}
	}
	if s.Clear(); s.Len() != 0 || s.Has(0) {
		t.Error("not empty")
	}
}

func TestPace(t *testing.T) {
	p := pace{perSecond: 1000}
	now, n := int64(0), 0
	for now < 10e9 {
		n += 10
		now += p.take(now, 10)
	}
	if n < 9_900 || n > 10_100 {
		t.Errorf("%d in ten seconds at 1000 a second", n)
	}
	now += 60e9
	if p.take(now, 20) != 0 || p.take(now, 30) == 0 {
		t.Error("a rest allows no more than a moment's burst")
	}
	if (&pace{}).take(0, 1<<30) != 0 {
		t.Error("no rate is no limit")
	}
}
