// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
)

// TestWallClockIsSet: after NTP has set the clock, what happens has the new time, and so has what is shown of the past.
func TestWallClockIsSet(t *testing.T) {
	boot, away := int64(40*time.Second), time.Duration(0) // a machine without a battery believes in 1970
	clock := &wallClock{read: func() (time.Time, int64) { return time.Unix(0, boot).Add(away), boot }}
	tr := openTrace(t.TempDir(), clock, "gw-a", slog.New(slog.DiscardHandler))
	b := &backend{&node{trace: tr}}
	if got := tr.at(boot); !got.Equal(time.Unix(40, 0)) {
		t.Errorf("before: %v", got)
	}
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	away = noon.Sub(time.Unix(0, 0)) // noon is the boot of the machine
	boot += int64(time.Second)
	if got := tr.at(boot); !got.Equal(noon.Add(41 * time.Second)) {
		t.Errorf("after the step: %v", got)
	}
	f, err := b.Failovers(context.Background())
	if err != nil || f.Why != "boot" || !f.Since.Equal(noon) {
		t.Errorf("counting since %v (%s), %v", f.Since, f.Why, err)
	}
	away += 300 * time.Microsecond // drift: what was shown stays
	if got := tr.at(boot); !got.Equal(noon.Add(41 * time.Second)) {
		t.Errorf("after a drift: %v", got)
	}
	tr.Reset(true, false, tr.at(boot))
	tr.Failover(control.Failover{Time: tr.at(boot)})
	if f, _ := b.Failovers(context.Background()); !f.Since.Equal(f.History[0].Time) {
		t.Errorf("reset at %v by another clock than that of the events, %v", f.Since, f.History[0].Time)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
}

func TestWallClock(t *testing.T) {
	c := newWallClock()
	if off := time.Since(c.at(func() int64 { _, boot := readClocks(); return boot }())).Abs(); off > time.Minute {
		t.Errorf("now is %v away", off)
	}
}
