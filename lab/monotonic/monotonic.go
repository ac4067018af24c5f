// SPDX-License-Identifier: Apache-2.0

// Package monotonic sleeps until absolute deadlines of CLOCK_MONOTONIC, which nobody steps: what is late once is not late ever after, and
// how late it was can be told. Go's timers take durations only, and wake through its scheduler.
package monotonic

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Now is the time in nanoseconds.
func Now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock and a valid pointer
	return ts.Nano()
}

// SleepUntil blocks the calling thread until the time of Now is deadline; it returns at once if that is past.
func SleepUntil(deadline int64) error {
	ts := unix.NsecToTimespec(deadline)
	for {
		err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
