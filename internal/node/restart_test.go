// SPDX-License-Identifier: Apache-2.0

package node

import (
	"testing"
	"time"
)

// TestRestartIsAnnouncedForLessThanTheLeaseLasts: whoever waits for a daemon to come back may relieve it while its gate still serves.
func TestRestartIsAnnouncedForLessThanTheLeaseLasts(t *testing.T) {
	const ms = int64(time.Millisecond)
	for name, c := range map[string]struct{ announced, now, age, want int64 }{
		"just renewed":                   {5000 * ms, 2000 * ms, 0, 2800 * ms},
		"renewed a while ago":            {5000 * ms, 2000 * ms, 300 * ms, 2500 * ms},
		"announced for less":             {2500 * ms, 2000 * ms, 0, 2500 * ms},
		"not announced: a crash":         {0, 2000 * ms, 0, 0},
		"a lease that is over":           {5000 * ms, 2000 * ms, 1500 * ms, 1300 * ms},
		"an announcement that has ended": {1900 * ms, 2000 * ms, 0, 1900 * ms},
	} {
		if got := restartUntil(c.announced, c.now, c.age, 1000*ms); got != c.want {
			t.Errorf("%s: until %d ms, want %d ms", name, got/ms, c.want/ms)
		}
	}
}
