// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"
)

func TestMoment(t *testing.T) {
	east := time.FixedZone("east", 3600)
	for _, k := range []struct {
		text string
		want time.Time
	}{
		{"24h", noon.Add(-24 * time.Hour)},
		{"7d", noon.Add(-7 * 24 * time.Hour)},
		{"1.5d", noon.Add(-36 * time.Hour)},
		{"0s", noon},
		{"2026-03-04T10:00:00Z", noon.Add(-2 * time.Hour)},
		{"2026-03-04T10:00:00+02:00", noon.Add(-4 * time.Hour)},
		{"2026-03-04 10:00", noon.Add(-3 * time.Hour)},
		{"2026-03-04", noon.Add(-13 * time.Hour)},
	} {
		if got, err := moment(k.text, noon, east); err != nil || !got.Equal(k.want) {
			t.Errorf("%s: %v %v, want %v", k.text, got, err, k.want)
		}
	}
	for _, bad := range []string{"", "-1h", "-1d", "yesterday", "24", "2026-13-01"} {
		if got, err := moment(bad, noon, east); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

func TestKeep(t *testing.T) {
	a := &app{environment: environment{now: func() time.Time { return noon }, zone: time.UTC}}
	hours := make([]int, 48) // 47 hours ago to now
	for i := range hours {
		hours[i] = 47 - i
	}
	at := func(h int) time.Time { return before(time.Duration(h) * time.Hour) }
	for _, k := range []struct {
		p           past
		first, last int
	}{
		{past{last: 20}, 19, 0},
		{past{last: 20, since: "30h"}, 30, 0},
		{past{last: 5, since: "30h", given: true}, 4, 0},
		{past{last: 0}, 47, 0},
	} {
		got, err := keep(a, k.p, hours, at)
		if err != nil || got[0] != k.first || got[len(got)-1] != k.last {
			t.Errorf("%+v: %v %v", k.p, got, err)
		}
	}
}
