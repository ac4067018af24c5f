// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"testing"
	"time"
)

// TestHeld: a report is held for hardly less than it may be, and answered together with others.
func TestHeld(t *testing.T) {
	for _, hold := range []time.Duration{time.Second, 100 * time.Millisecond, 10, 1} {
		tick := max(hold/ticks, 1)
		moments := map[time.Duration]bool{}
		for i := range 1000 {
			since := time.Duration(i) * hold / 1000
			d := held(since, hold)
			if d > hold || d <= hold-tick {
				t.Errorf("after %v: %v of %v", since, d, hold)
			}
			moments[since+d] = true
		}
		if len(moments) > ticks+1 {
			t.Errorf("of %v: %d moments", hold, len(moments))
		}
	}
}
