// SPDX-License-Identifier: Apache-2.0

package node

import (
	"sync/atomic"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
)

// wallClock says when something was by the clock on the wall. Everything is measured in boot time, which nobody sets; the wall clock may
// be set at any moment (a machine without a battery gets its time from NTP, long after the daemon has started), so how far it is from boot
// time is looked up anew each time. It is safe for concurrent use.
type wallClock struct {
	read func() (wall time.Time, boot int64) // both at the same moment
	away atomic.Int64                        // ns from boot time to the wall clock, as last used
}

// wallSteady is how much the wall clock may drift before a time that has been shown is shown differently: the same event shall have the
// same time as long as nobody has set the clock.
const wallSteady = int64(time.Millisecond)

func newWallClock() *wallClock { return &wallClock{read: readClocks} }

// readClocks reads both clocks, again if something came in between.
func readClocks() (time.Time, int64) {
	for range 3 {
		before := bpf.Boottime()
		wall := time.Now()
		if after := bpf.Boottime(); after-before < wallSteady/10 {
			return wall, after
		}
	}
	return time.Now(), bpf.Boottime()
}

// at is when something that happens at the boot time ns is by the wall clock as it goes now.
func (c *wallClock) at(ns int64) time.Time {
	wall, boot := c.read()
	away := wall.UnixNano() - boot
	if old := c.away.Load(); old != 0 && away-old < wallSteady && old-away < wallSteady {
		away = old
	} else {
		c.away.Store(away)
	}
	return time.Unix(0, away+ns)
}
