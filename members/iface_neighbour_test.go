// SPDX-License-Identifier: Apache-2.0

package members

import "testing"

// TestWhatCountsAsProof: echo replies always do; ARP answers only where no echo request was answered lately, and what it is does
// not change while a question is open.
func TestWhatCountsAsProof(t *testing.T) {
	const s = int64(1e9)
	type answer struct {
		at     int64
		echo   bool
		open   bool // a question is open when it comes
		counts bool
	}
	for _, k := range []struct {
		name    string
		answers []answer
	}{
		{"hosts that answer no echo request", []answer{{1 * s, false, false, true}, {3 * s, false, false, true}, {4 * s, false, true, true}}},
		{"the first answer of all, with a question open", []answer{{1 * s, false, true, true}}},
		{"ARP after an echo reply", []answer{{1 * s, true, false, true}, {2 * s, false, false, false}, {3 * s, false, true, false}, {4 * s, true, true, true}}},
		{"a proxy while a question is open for long", []answer{{1 * s, true, false, true}, {2 * s, false, true, false}, {60 * s, false, true, false}}},
		{"echo replies have ended long ago", []answer{{1 * s, true, false, true}, {20 * s, false, false, false}, {22 * s, false, false, true}, {23 * s, false, true, true}}},
		{"and have come back", []answer{{1 * s, true, false, true}, {22 * s, false, false, true}, {23 * s, true, false, true}, {24 * s, false, true, false}}},
	} {
		m := New(Config{Names: []string{"fw1", "fw2"}, Interfaces: []Interface{{Name: "outside", Cluster: true}}}, Boot{Now: 1})
		f := &m.ifaces[0]
		for i, a := range k.answers {
			m.now, f.questionAt = a.at, 0
			if a.open {
				f.questionAt = a.at
			}
			m.neighbourAnswer(NeighbourAnswer{Answered: true, Echo: a.echo, Asked: a.at})
			if counts := f.neighbourAt == a.at; counts != a.counts {
				t.Errorf("%s: answer %d counts: %v, want %v", k.name, i, counts, a.counts)
			}
		}
	}
}
