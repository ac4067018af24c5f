// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"strings"
	"testing"
)

// TestObserve: g is a good check, b a bad one, p one that cannot tell; the verdict after each is o, i or P.
func TestObserve(t *testing.T) {
	for _, k := range []struct {
		name       string
		rise, fall int
		from       Status
		checks     string
		want       string
	}{
		{"first good decides", 3, 3, Init, "g", "o"},
		{"bad at the start takes all its time", 1, 3, Init, "bbb", "iiP"},
		{"a good one in between begins anew", 1, 3, Init, "bbgbb", "iiooo"},
		{"fall", 1, 3, OK, "bbb", "ooP"},
		{"no fall without a row", 1, 3, OK, "bbgbbgbb", "oooooooo"},
		{"rise", 3, 1, OK, "bggg", "PPPo"},
		{"no rise without a row", 2, 1, OK, "bgbgbgg", "PPPPPPo"},
		{"one is enough", 1, 1, OK, "bgbg", "PoPo"},
		{"counts of 0 are 1", 0, 0, OK, "bg", "Po"},
		{"pending counts neither way", 2, 2, OK, "bpbpp", "ooPPP"},
		{"pending at the start", 1, 1, Init, "ppg", "iio"},
		{"back to a problem at once", 2, 2, Problem, "gbgg", "PPPo"},
	} {
		t.Run(k.name, func(t *testing.T) {
			v := New(5, k.rise, k.fall, k.from, "")
			got := ""
			for i, c := range k.checks {
				r := map[rune]Result{'g': Fine(), 'b': Wrong("broken"), 'p': {Pending, "not yet"}}[c]
				before, reason := v.Status, v.Reason
				changed := v.Observe(int64(10+i), r)
				if changed != (before != v.Status || reason != v.Reason) {
					t.Errorf("check %d: changed %v, but %v %q to %v %q", i, changed, before, reason, v.Status, v.Reason)
				}
				if v.Status != before && v.Since != int64(10+i) || v.Status == before && v.Since == int64(10+i) {
					t.Errorf("check %d: since %d", i, v.Since)
				}
				if v.Status == OK && v.Reason != "" || v.Status == Problem && v.Reason == "" && strings.Contains(k.checks[:i+1], "b") {
					t.Errorf("check %d: %v with reason %q", i, v.Status, v.Reason)
				}
				got += map[Status]string{OK: "o", Init: "i", Problem: "P"}[v.Status]
			}
			if got != k.want {
				t.Errorf("got %s, want %s", got, k.want)
			}
		})
	}
}

func TestReasonFollowsTheCause(t *testing.T) {
	v := New(0, 1, 1, Init, "")
	v.Observe(1, Wrong("a"))
	if !v.Observe(2, Wrong("b")) || v.Reason != "b" || v.Since != 1 {
		t.Errorf("%+v", v)
	}
	if v.Observe(3, Wrong("b")) {
		t.Error("the same again is news")
	}
}

func TestOf(t *testing.T) {
	well := Target{Name: "a"}
	ill := func(n string) Target { return Target{n, "no answer"} }
	for _, k := range []struct {
		name    string
		all     bool
		targets []Target
		want    string
	}{
		{"all well", true, []Target{well, well}, ""},
		{"one of all", true, []Target{well, ill("b")}, "1 of 2 targets: b: no answer"},
		{"any", false, []Target{well, ill("b")}, ""},
		{"none of any", false, []Target{ill("a"), ill("b")}, "2 of 2 targets: a: no answer, b: no answer"},
		{"the only one", false, []Target{ill("a")}, "a: no answer"},
		{"many", true, []Target{ill("a"), ill("b"), ill("c"), ill("d"), ill("e")}, "5 of 5 targets: a: no answer, b: no answer, c: no answer, and 2 more"},
	} {
		if r := Of(k.all, k.targets); r.Reason != k.want || (r.Outcome == Good) != (k.want == "") {
			t.Errorf("%s: %+v, want %q", k.name, r, k.want)
		}
	}
}

// TestSchedule follows checks of a monitor with interval 100 and gap 10; w is an event, c a check that begins.
func TestSchedule(t *testing.T) {
	type step struct {
		at  int64
		do  byte
		due int64 // afterwards
	}
	for _, k := range []struct {
		name  string
		shift int64
		steps []step
	}{
		{"regular", 0, []step{{0, 'c', 100}, {100, 'c', 200}}},
		{"a late check does not move the others", 0, []step{{0, 'c', 100}, {130, 'c', 200}}},
		{"missed ones are not made up for", 0, []step{{0, 'c', 100}, {350, 'c', 450}}},
		{"spread", 30, []step{{0, 'c', 30}, {30, 'c', 130}, {130, 'c', 230}}},
		{"an event", 0, []step{{0, 'c', 100}, {50, 'w', 50}, {50, 'c', 150}}},
		{"events at once leave the gap", 0, []step{{0, 'c', 100}, {1, 'w', 10}, {2, 'w', 10}, {10, 'c', 110}, {11, 'w', 20}}},
		{"an event delays nothing", 0, []step{{0, 'c', 100}, {99, 'w', 99}, {100, 'w', 99}}},
	} {
		s := NewSchedule(0, 100, 10, k.shift)
		if s.Due() != 0 {
			t.Errorf("%s: the first check is due at %d", k.name, s.Due())
		}
		for i, st := range k.steps {
			if st.do == 'c' {
				s.Began(st.at)
			} else {
				s.Woken(st.at)
			}
			if s.Due() != st.due {
				t.Errorf("%s, step %d: due at %d, want %d", k.name, i, s.Due(), st.due)
			}
		}
	}
}

// TestGap: a check that was expensive keeps events waiting for longer, though never beyond the interval.
func TestGap(t *testing.T) {
	for gap, want := range map[int64]int64{10: 10, 60: 60, 1000: 100} {
		s := NewSchedule(0, 100, 10, 0)
		s.Began(0)
		s.Gap(gap)
		s.Woken(5)
		if s.Due() != want {
			t.Errorf("gap %d: due at %d, want %d", gap, s.Due(), want)
		}
	}
}
