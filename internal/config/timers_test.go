// SPDX-License-Identifier: Apache-2.0

package config

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestProfiles(t *testing.T) {
	const ms = time.Millisecond
	for _, k := range []struct {
		profile                                          Profile
		probe, dead, soft, watch, settle, courtesy, hard time.Duration
	}{
		{Appliance, 10 * ms, 30 * ms, 20 * ms, 25 * ms, 2 * ms, 100 * ms, time.Second},
		{Fast, 3 * ms, 9 * ms, 6 * ms, 7500 * time.Microsecond, 600 * time.Microsecond, 100 * ms, time.Second},
		{Virtual, 50 * ms, 150 * ms, 100 * ms, 125 * ms, 2 * ms, 150 * ms, time.Second},
	} {
		v := edit(t, "id: 7", "id: 7\nprofile: "+string(k.profile)).Timers
		got := []time.Duration{v.Probe, v.Dead, v.Soft, v.Watch, v.Settle, v.Courtesy, v.Hard}
		if want := []time.Duration{k.probe, k.dead, k.soft, k.watch, k.settle, k.courtesy, k.hard}; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", k.profile, got, want)
		}
		if !reflect.DeepEqual(v, DefaultTimers(k.profile)) {
			t.Errorf("%s: the file's %+v are not the profile's", k.profile, v)
		}
	}
}

// TestProbeAloneScalesDead: who only says how often to probe means the usual three of them.
func TestProbeAloneScalesDead(t *testing.T) {
	v := edit(t, "id: 7", "id: 7\ntimers: {probe: 4ms}").Timers
	if v.Dead != 12*time.Millisecond || v.Soft != 8*time.Millisecond {
		t.Errorf("dead %v soft %v", v.Dead, v.Soft)
	}
}

// TestTableIsWhole compares the table with the struct and with the grammar: a timer that nobody can see or set is a mistake.
func TestTableIsWhole(t *testing.T) {
	v := DefaultTimers(Appliance)
	rows := v.Table(Appliance)
	fields := reflect.TypeFor[Timers]().NumField() - 1 + len(v.Announce)
	if len(rows) != fields {
		t.Errorf("%d rows for %d timers", len(rows), fields)
	}
	settable := grammar(reflect.TypeFor[rawTimers]())
	for _, r := range rows {
		if r.Set != settable[r.Name] {
			t.Errorf("%s: settable in the table %v, in the file %v", r.Name, r.Set, settable[r.Name])
		}
		if r.Value != r.Default || r.Formula == "" || r.Meaning == "" {
			t.Errorf("%+v", r)
		}
	}
}
