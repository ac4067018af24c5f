// SPDX-License-Identifier: Apache-2.0

package record

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTally(t *testing.T) {
	a, b := Identity{Key: 5 << 54, Print: 0xa}, Identity{Key: 5<<54 | 1, Print: 0xb}
	tally := NewTally()
	tally.Add(a)
	tally.Add(b)
	if got := tally.Sum(); got != (Sum{2, 0xa ^ 0xb}) {
		t.Errorf("%+v", got)
	}
	words := tally.Words()
	if words[5] != (Word{0xa ^ 0xb, 2}) || words.Sum() != tally.Sum() {
		t.Errorf("%+v", words[5])
	}
	other := NewTally()
	other.Add(a)
	if got := other.Diff(nil, &words); !slices.Equal(got, []uint16{5}) {
		t.Errorf("differ in %v", got)
	}
	other.Add(b)
	if got := other.Diff(nil, &words); got != nil {
		t.Errorf("differ in %v", got)
	}
	c := Identity{Key: 1023 << 54, Print: 0x30}
	tally.Add(c)
	if all, some := tally.SumOf(bucketMap(5, 1023)), tally.SumOf(bucketMap(5, 7, 1022)); all != tally.Sum() || some != words.Sum() {
		t.Errorf("%+v %+v", all, some)
	}
	tally.Remove(c)
	tally.Remove(a)
	tally.Remove(b)
	if tally.Sum() != (Sum{}) || tally.Words() != (Words{}) {
		t.Errorf("%+v", tally.Sum())
	}
	tally.Add(a)
	tally.Reset()
	if tally.Sum() != (Sum{}) {
		t.Errorf("%+v", tally.Sum())
	}
}

func bucketMap(of ...int) *[Buckets / 8]byte {
	var m [Buckets / 8]byte
	for _, i := range of {
		m[i/8] |= 1 << (i % 8)
	}
	return &m
}

// TestDump plays a table that changes while it is dumped. The dump walks it in an order of its own and tells some of it twice; events are
// read late, those from before the dump too. At the end the tally is that of the table.
func TestDump(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a simulation
		table := map[uint64]Identity{}        // by key
		var events []func(*Tally)             // not read yet
		change := func() {
			key := uint64(rng.IntN(60)) << 50
			if id, ok := table[key]; ok {
				delete(table, key)
				events = append(events, func(t *Tally) { t.Remove(id) })
				return
			}
			// The same tuples, or translated in another way.
			id := Identity{Key: key, Print: key ^ uint64(rng.IntN(2)) + 1}
			table[key] = id
			events = append(events, func(t *Tally) { t.Add(id) })
		}
		tally := NewTally()
		tally.Add(Identity{Key: 1, Print: rng.Uint64()}) // it was wrong
		for range 40 {
			change()
		}
		read := func(n int) {
			n = min(n, len(events))
			for _, e := range events[:n] {
				e(tally)
			}
			events = events[n:]
		}
		read(rng.IntN(40))
		tally.BeginDump(rng.IntN(10))
		walk := slices.Sorted(maps.Keys(table))
		for key := range 60 { // what begins meanwhile is where the walk comes by, or not
			if _, ok := table[uint64(key)<<50]; !ok {
				walk = append(walk, uint64(key)<<50)
			}
		}
		rng.Shuffle(len(walk), func(i, j int) { walk[i], walk[j] = walk[j], walk[i] })
		for _, key := range walk {
			if id, ok := table[key]; ok {
				for range 1 + rng.IntN(5)/4 {
					tally.Seen(id)
				}
			}
			if rng.IntN(3) == 0 {
				change()
			}
			read(rng.IntN(3))
		}
		read(len(events))
		tally.EndDump()
		want := NewTally()
		for _, id := range table {
			want.Add(id)
		}
		if tally.Words() != want.Words() || tally.Sum() != want.Sum() || tally.Dumping() {
			t.Fatalf("seed %d: %+v, want %+v", seed, tally.Sum(), want.Sum())
		}
		// And it stays right.
		for range 20 {
			change()
		}
		read(len(events))
		want = NewTally()
		for _, id := range table {
			want.Add(id)
		}
		if tally.Words() != want.Words() {
			t.Fatalf("seed %d: wrong after the dump", seed)
		}
	}
}

func TestDumpEdges(t *testing.T) {
	tally := NewTally()
	id := Identity{Key: 7 << 54, Print: 0} // zero is a hash as any other
	if tally.Seen(id) || tally.EndDump() != nil {
		t.Error("a dump that did not begin")
	}
	tally.Add(Identity{Key: 9 << 54, Print: 4})
	tally.BeginDump(-1)
	if !tally.Dumping() || !tally.Seen(id) || tally.Seen(id) {
		t.Error("found twice")
	}
	if tally.Sum() != (Sum{1, 4}) {
		t.Errorf("the old tally is gone before the dump's end: %+v", tally.Sum())
	}
	if wrong := tally.EndDump(); !slices.Equal(wrong, []uint16{7, 9}) || tally.Sum() != (Sum{1, 0}) {
		t.Errorf("wrong %v, sum %+v", wrong, tally.Sum())
	}
	tally.BeginDump(0)
	tally.Seen(Identity{Print: 1})
	tally.AbandonDump()
	if tally.Dumping() || tally.Sum() != (Sum{1, 0}) {
		t.Errorf("%+v", tally.Sum())
	}
}

func TestPrintSetGrows(t *testing.T) {
	s := newPrintSet(0)
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	seen := map[uint64]bool{}
	for range 20000 {
		p := rng.Uint64() >> 50 // many twice
		if s.add(p) == seen[p] {
			t.Fatalf("%x", p)
		}
		seen[p] = true
	}
	for p := range seen {
		if !s.has(p) {
			t.Fatalf("%x is lost", p)
		}
	}
}
