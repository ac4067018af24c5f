// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// ErrClockForbidden says that a step of the wall clock was not allowed.
var ErrClockForbidden = errors.New("a step of the wall clock would hit the whole host: allow it with -allow-clock-step")

// StepClock moves the host's wall clock by d. Only CLOCK_REALTIME moves; what is measured with CLOCK_BOOTTIME must not
// notice. The caller steps it back.
func StepClock(d time.Duration) error {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("read the wall clock: %w", err)
	}
	ts = unix.NsecToTimespec(ts.Nano() + d.Nanoseconds())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("step the wall clock by %v: %w", d, err)
	}
	return nil
}
