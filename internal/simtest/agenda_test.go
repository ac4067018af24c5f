// SPDX-License-Identifier: Apache-2.0

package simtest

import (
	"slices"
	"testing"
)

// TestAgenda: what comes first is given out first, and of one time what was entered first, however much is entered meanwhile.
func TestAgenda(t *testing.T) {
	var a Agenda[string]
	if _, ok := a.Next(); ok || a.Due(1<<62) {
		t.Error("an empty agenda has something")
	}
	for _, at := range []int64{30, 10, 20, 10, 30, 10} {
		a.Add(at, string(rune('a'+a.entered)))
	}
	if a.Due(9) || !a.Due(10) {
		t.Error("due before 10, or not at 10")
	}
	var got []string
	for last := int64(0); a.Due(1 << 62); {
		at, what := a.Take()
		if at < last {
			t.Errorf("%q of %d comes after %d", what, at, last)
		}
		if got = append(got, what); what == "d" {
			a.Add(at, "at once")
		}
		last = at
	}
	if want := []string{"b", "d", "f", "at once", "c", "a", "e"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
