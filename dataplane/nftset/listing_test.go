// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// keyOf is the key of an element with an address of four bytes.
func keyOf(b ...byte) []byte { return appendAttr(nil, 1, b) }

// with puts in an element.
func (l *Listing) with(t *testing.T, s Set, e element) *Listing {
	t.Helper()
	i := item{set: s, op: record.OpUpdate, round: 1, elem: e}
	if reason := l.Add(i.record(nil)); reason != ReasonNone {
		t.Fatal(reason)
	}
	return l
}

func TestCompare(t *testing.T) {
	blocked, other := Set{1, "filter", "blocked"}, Set{1, "filter", "other"}
	sets := []Set{blocked}
	const hour, day = 3600_000, 24 * 3600_000
	for _, c := range []struct {
		name        string
		here, there element
		same        bool
	}{
		{"for good", element{}, element{}, true},
		{"one for good", element{}, element{expires: hour}, false},
		{"an eighth of the default apart", element{expires: hour}, element{expires: 4 * hour}, true},
		{"further apart", element{expires: hour}, element{expires: 5 * hour}, false},
		{"the other way round", element{expires: 5 * hour}, element{expires: hour}, false},
		{"a time-out of its own", element{expires: 10_000, timeout: 60_000, hasTimeout: true}, element{expires: 25_000, timeout: 60_000, hasTimeout: true}, false},
		{"the default's said", element{expires: hour, timeout: day, hasTimeout: true}, element{expires: hour}, true},
		{"another time-out", element{expires: hour, timeout: hour, hasTimeout: true}, element{expires: hour}, false},
		{"another value", element{data: keyOf(1)}, element{data: keyOf(2)}, false},
	} {
		c.here.key, c.there.key = keyOf(192, 0, 2, 1), keyOf(192, 0, 2, 1)
		local, remote := NewListing(sets).with(t, blocked, c.here), NewListing(sets).with(t, blocked, c.there)
		local.timeouts[blocked] = day
		got := Compare(local, remote, nil, true)
		if (len(got) == 0) != c.same || !c.same && (got[0].Kind != Otherwise || !strings.HasPrefix(got[0].Text, "inet filter blocked: 0xc0000201 (192.0.2.1)")) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}

	local := NewListing(sets).with(t, blocked, element{key: keyOf(1, 1, 1, 1)}).with(t, blocked, element{key: keyOf(2)}).with(t, other, element{key: keyOf(9)})
	remote := NewListing(sets).with(t, blocked, element{key: keyOf(2)}).with(t, blocked, element{key: keyOf(3)}).with(t, other, element{key: keyOf(8)})
	first := Compare(local, remote, nil, true)
	kinds := []DifferenceKind{}
	for _, d := range first {
		kinds = append(kinds, d.Kind)
	}
	if !slices.Equal(kinds, []DifferenceKind{OnlyHere, OnlyThere}) || local.Len() != 2 {
		t.Fatalf("%+v", first)
	}
	// One goes on differing, one came meanwhile, and one differs the other way round.
	local.with(t, blocked, element{key: keyOf(7)}).with(t, blocked, element{key: keyOf(3)})
	delete(remote.elements, listed{blocked, (&element{key: keyOf(3)}).identity()})
	if again := Compare(local, remote, first, false); len(again) != 1 || again[0].Kind != OnlyHere || again[0].Text != "inet filter blocked: 0x01010101 (1.1.1.1)" {
		t.Errorf("%+v", again)
	}
	if reason := local.Add(record.Record{Table: record.TableSets, Op: record.OpNew, Family: 1}); reason != ReasonMalformed {
		t.Error(reason)
	}
}
