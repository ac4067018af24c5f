// SPDX-License-Identifier: Apache-2.0

package margin

import (
	"testing"
	"time"
)

const ms = time.Millisecond

var appliance = Timers{Probe: 10 * ms, Dead: 30 * ms, Soft: 20 * ms}

func TestReadings(t *testing.T) {
	for _, tt := range []struct {
		name   string
		timers Timers
		sample Sample
		used   [Kinds]int
	}{
		{"at rest", appliance, Sample{}, [Kinds]int{}},
		{"a late probe", appliance, Sample{Probe: 5 * ms}, [Kinds]int{Probe: 50}},
		{"later than a whole interval", appliance, Sample{Probe: 25 * ms}, [Kinds]int{Probe: 250}},
		{"a late lease", appliance, Sample{Lease: 3 * ms}, [Kinds]int{Lease: 30}},
		{"a late softirq", appliance, Sample{Softirq: 5 * ms}, [Kinds]int{Softirq: 25}},
		{"slow answers", appliance, Sample{Slow: 50, Path: "fw2 on ext"}, [Kinds]int{Answers: 50}},
		{"two probes to death", Timers{Probe: 10 * ms, Dead: 20 * ms, Soft: 10 * ms}, Sample{Lease: 5 * ms, Softirq: 5 * ms}, [Kinds]int{Lease: 100, Softirq: 50}},
		{"virtual", Timers{Probe: 50 * ms, Dead: 150 * ms, Soft: 100 * ms}, Sample{Probe: 5 * ms, Lease: 5 * ms, Softirq: 5 * ms},
			[Kinds]int{Probe: 10, Lease: 10, Softirq: 5}},
		{"no timers", Timers{}, Sample{Probe: ms}, [Kinds]int{}},
	} {
		var j Judge
		j.Take(tt.timers, tt.sample)
		for _, r := range j.Readings() {
			if r.Used != tt.used[r.Kind] {
				t.Errorf("%s: %s uses %d %%, want %d", tt.name, r.Kind.Measure(), r.Used, tt.used[r.Kind])
			}
		}
	}
	if r := new(Judge).Readings(); r != nil {
		t.Errorf("readings before the first sample: %v", r)
	}
}

// TestHysteresis feeds one second after the other; each line is how often a value comes and what it changes at its first time.
func TestHysteresis(t *testing.T) {
	type step struct {
		late    time.Duration
		seconds int
		thin    bool // afterwards
		changes int
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"short of it", []step{{49 * ms / 10, 100, false, 0}}},
		{"thin at once, well after a while", []step{{5 * ms, 1, true, 1}, {0, Calm - 1, true, 0}, {0, 1, false, 1}, {0, 100, false, 0}}},
		{"thin again in the while", []step{{5 * ms, 1, true, 1}, {0, Calm - 1, true, 0}, {9 * ms, 1, true, 0}, {0, Calm - 1, true, 0}, {0, 1, false, 1}}},
		{"in between, nothing changes", []step{{3 * ms, 100, false, 0}, {5 * ms, 1, true, 1}, {3 * ms, 100, true, 0}, {ms, Calm, false, 1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var j Judge
			for i, s := range tt.steps {
				changes := 0
				for range s.seconds {
					for _, r := range j.Take(appliance, Sample{Probe: s.late}) {
						changes++
						if r.Kind != Probe || r.Thin != s.thin {
							t.Errorf("step %d: changed %+v", i, r)
						}
					}
				}
				if got := j.Readings()[Probe].Thin; got != s.thin || changes != s.changes {
					t.Errorf("step %d: thin %t after %d changes, want %t after %d", i, got, changes, s.thin, s.changes)
				}
			}
		})
	}
}

func TestWords(t *testing.T) {
	var j Judge
	j.Take(appliance, Sample{Probe: 6 * ms, Lease: 7 * ms, Softirq: 12300 * time.Microsecond, Slow: 80, Path: "fw2 on ext"})
	want := []string{
		"a probe was sent 6.0 ms late, 60 % of the 10.0 ms that the timer probe bears",
		"the lease was renewed 7.0 ms late, 70 % of the 10.0 ms that the timer soft bears",
		"a received packet was handled 12.3 ms late, 61 % of the 20.0 ms that the timer dead bears",
		"80 of 1000 answers of fw2 on ext took longer than a probe interval, 80 % of what the timer dead bears",
	}
	for i, r := range j.Readings() {
		if got := r.String(); got != want[i] {
			t.Errorf("%q, want %q", got, want[i])
		}
	}
}

func TestWorst(t *testing.T) {
	var j Judge
	for _, late := range []time.Duration{ms, 6 * ms, 9 * ms, 7 * ms, 0, 0} {
		j.Take(appliance, Sample{Probe: late})
	}
	worst := j.Worst()
	if len(worst) != 1 || worst[0].Kind != Probe || worst[0].Value != 9*ms {
		t.Errorf("worst %v, want the probe that left 9 ms late", worst)
	}
	for range Calm {
		j.Take(appliance, Sample{})
	}
	if worst := j.Worst(); worst != nil {
		t.Errorf("worst %v although all is well again", worst)
	}
	j.Take(appliance, Sample{Probe: 5 * ms})
	if worst := j.Worst(); len(worst) != 1 || worst[0].Value != 5*ms {
		t.Errorf("worst %v, want that of this time", worst)
	}
}

// TestEnded: that the answers of a path were slow goes with it, and what another one's are stays.
func TestEnded(t *testing.T) {
	slow := func(path string, slow int) Sample { return Sample{Probe: 6 * ms, Slow: slow, Path: path} }
	for _, tt := range []struct {
		name    string
		samples []Sample
		ended   string
		changed bool
		worst   string // path of the slow answers that are still told
	}{
		{"the slow one", []Sample{slow("fw2 on ext", 80)}, "fw2 on ext", true, ""},
		{"another", []Sample{slow("fw2 on ext", 80)}, "fw3 on ext", false, "fw2 on ext"},
		{"the slow one, silent for a second", []Sample{slow("fw2 on ext", 80), {}}, "fw2 on ext", true, ""},
		{"the slower of two", []Sample{slow("fw2 on ext", 80), slow("fw3 on ext", 60)}, "fw2 on ext", false, "fw3 on ext"},
		{"a slow one of long ago", []Sample{slow("fw2 on ext", 80), slow("fw3 on ext", 10)}, "fw2 on ext", true, ""},
		{"one that is not slow", []Sample{slow("fw2 on ext", 10)}, "fw2 on ext", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var j Judge
			for _, s := range tt.samples {
				j.Take(appliance, s)
			}
			changed := j.Ended(tt.ended)
			if is := len(changed) == 1 && changed[0].Kind == Answers && !changed[0].Thin; is != tt.changed || len(changed) > 1 {
				t.Errorf("changed %+v, want that slow answers are well: %t", changed, tt.changed)
			}
			told := ""
			for _, r := range j.Worst() {
				if r.Kind == Answers {
					told = r.Path
				}
			}
			if told != tt.worst {
				t.Errorf("slow answers of %q are told, want %q", told, tt.worst)
			}
			if len(j.Worst()) == 0 || j.Worst()[0].Kind != Probe {
				t.Error("late probes, which are this member's own, are forgotten too")
			}
		})
	}
}
