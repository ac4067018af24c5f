// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// TestMerging: what becomes of items that wait together. Items are CLASS KEY, the class by its first letter; "/" is a mark, "|" makes a batch of
// what waits, "+" and "-" switch KeepDeletes. A later item's data is its place in the list, so that the result shows which one is left.
func TestMerging(t *testing.T) {
	for _, tc := range []struct{ what, items, want string }{
		{"different keys", "Na Nb Ca Cb", "N2a N3b"},
		{"a change after a creation creates", "Na Ca", "N1a"},
		{"a refresh after a change is a change", "Ca Ra", "C1a"},
		{"a change after a refresh is a change", "Ra Ca", "C1a"},
		{"a creation nobody heard of, and its end", "Na Da", ""},
		{"with changes between", "Na Ca Ra Da", ""},
		{"the same again", "Na Da Na Da Na", "N4a"},
		{"an end displaces what it ends", "Ca Da", "D1a"},
		{"at its own place, because what is between may need it", "Ca Nb Da", "N1b D2a"},
		{"a change stays at its place, because what is between may need it", "Na Nb Ca", "N2a N1b"},
		{"an end twice", "Da Da", "D0a"},
		{"a creation never overtakes the end before it", "Da Na", "D0a N1a"},
		{"and is annulled alone", "Da Na Da", "D0a"},
		{"an end, then a change: the creation was lost", "Da Ca", "D0a C1a"},
		{"a creation of what is there: its end was lost", "Ca Na", "C0a N1a"},
		{"and then its end is not annulled", "Ca Na Da", "C0a N1a D2a"},
		{"nor if both are creations", "Na Na Da", "N0a N1a D2a"},
		{"a creation that was sent is not annulled", "Na | Da", "N0a | D2a"},
		{"nothing merges across a mark", "Na / Ca", "N0a / C2a"},
		{"nor is annulled", "Na / Da", "N0a / D2a"},
		{"after a mark as ever", "Na / Ca Ra Da Nb Db", "N0a / D4a"},
		{"a mark displaces the one that waits", "Na / Nb / Nc", "N0a N2b / N4c"},
		{"and what is before it still does not merge", "Na / Ca / Ca", "N0a C2a / C4a"},
		{"a creation before a mark means its end was lost", "Na / Na Da", "N0a / N2a D3a"},
		{"an end before a mark is one", "Da / Na Da", "D0a /"},
		{"no end is annulled while a repair reads", "+ Na Da", "D2a"},
		{"nor after it, if the creation waited then", "+ Na - Da", "D3a"},
		{"though created before it", "Na + - Da", "D3a"},
		{"what is created after it is annulled again", "+ - Na Da", ""},
	} {
		var n SenderCounters
		q := newQueue(SenderConfig{Created: func(b []byte) { b[0] = 'N' }}, &n)
		var out []string
		take := func() {
			for q.items > 0 {
				b, k := q.take(nil, 3)
				if k != 1 {
					t.Fatalf("%s: %d items of 3 bytes fit into 3 bytes", tc.what, k)
				}
				out = append(out, strings.TrimRight(string(b), " "))
			}
		}
		for i, f := range strings.Fields(tc.items) {
			switch f[0] {
			case '|':
				take()
				out = append(out, "|")
			case '+', '-':
				q.setKeepDeletes(f[0] == '+')
			case '/':
				q.add(0, Item{Class: Mark, Data: []byte("/  ")})
			default:
				class := map[byte]Class{'N': News, 'C': Change, 'R': Refresh, 'D': Delete}[f[0]]
				if class == Change || class == Refresh {
					f = "C" + f[1:]
				}
				q.add(0, Item{Key: uint64(f[1]), Class: class, Data: []byte{f[0], byte('0' + i), f[1]}})
			}
		}
		if ripe := q.items; ripe > 0 && q.oldest() != 0 {
			t.Errorf("%s: the oldest is of %d", tc.what, q.oldest())
		}
		take()
		if got := strings.Join(out, " "); got != tc.want {
			t.Errorf("%s: %s leaves %q; want %q", tc.what, tc.items, got, tc.want)
		}
		if q.items != 0 || q.bytes != 0 || q.byKey.used != 0 || q.mark != 0 {
			t.Errorf("%s: an empty queue has %d items, %d bytes, %d keys, mark %d", tc.what, q.items, q.bytes, q.byKey.used, q.mark)
		}
	}
}

// TestRefreshesGoFirst: under overload refreshes are given up, and nothing else.
func TestRefreshesGoFirst(t *testing.T) {
	var n SenderCounters
	q := newQueue(SenderConfig{}, &n)
	for i := range uint64(10_000) {
		q.add(0, Item{mix(3 * i), Refresh, []byte("r")})
		q.add(0, Item{mix(3*i + 1), News, []byte("n")})
	}
	q.add(0, Item{mix(0), Change, []byte("c")})
	q.giveUpRefreshes()
	if q.items != 10_001 || n.Refreshes != 9_999 {
		t.Errorf("%d items left, %d refreshes given up; want 10001 and 9999", q.items, n.Refreshes)
	}
	q.tight = true
	q.add(0, Item{mix(3), Refresh, []byte("r")})
	q.add(0, Item{mix(4), Refresh, []byte("later")})
	if q.items != 10_001 || n.Refreshes != 10_000 {
		t.Errorf("%d items, %d refreshes given up; want one more given up, and one merged with its creation", q.items, n.Refreshes)
	}
	for q.items > 0 {
		q.take(nil, 1000)
	}
	if len(q.entries) > entriesKept {
		t.Errorf("an empty queue keeps %d entries", len(q.entries))
	}
}

// TestIndex against a map.
func TestIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	x, m := newIndex(), map[uint64]int32{}
	for i := range 300_000 {
		// Few different low bits: long runs, also around the end.
		key := uint64(rng.IntN(40))<<40 | (uint64(rng.IntN(30)) - 15)
		if rng.IntN(3) == 0 {
			key = rng.Uint64N(3000)
		}
		e := m[key]
		if got := x.get(key); got != e {
			t.Fatalf("step %d: key %x has %d; want %d", i, key, got, e)
		}
		switch rng.IntN(5) {
		case 0, 1:
			x.put(key, int32(i+1))
			m[key] = int32(i + 1)
		case 2, 3:
			x.remove(key, e)
			delete(m, key)
		default:
			x.remove(key, e+1) // of another entry: nothing happens
		}
		if x.used != len(m) {
			t.Fatalf("step %d: %d used; want %d", i, x.used, len(m))
		}
	}
}

// TestMergeHook: what waits of a key and what comes are made one by the caller's word, unless no batch would carry it.
func TestMergeHook(t *testing.T) {
	var n SenderCounters
	q := newQueue(SenderConfig{Payload: 6, Created: func(b []byte) { b[0] = 'N' }, Merge: func(dst, older, newer []byte) []byte {
		return append(append(dst, older...), newer...)
	}}, &n)
	for _, it := range []Item{{1, News, []byte("na")}, {2, Change, []byte("xy")}, {1, Change, []byte("cb")}, {1, Refresh, []byte("rc")}, {1, Change, []byte("d")}} {
		q.add(0, it)
	}
	var out []string
	for q.items > 0 {
		b, k := q.take(nil, 6)
		if k == 0 {
			t.Fatal("an item that no batch carries")
		}
		out = append(out, string(b))
	}
	if got := strings.Join(out, " "); got != "Nacbrc xyd" || n.Coalesced != 2 {
		t.Errorf("%q, %d merged", got, n.Coalesced)
	}
}
