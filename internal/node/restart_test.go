// SPDX-License-Identifier: Apache-2.0

package node

import (
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/members/gate"
)

// TestRestartEndsOnceTheLeaseIsRenewed: a daemon that has adopted its gate is no longer waited for when it renews what it found there, and
// has been on time for as long as one must be that is trusted with another member's lease.
func TestRestartEndsOnceTheLeaseIsRenewed(t *testing.T) {
	const ms, began, now = int64(time.Millisecond), int64(10 * time.Second), int64(12 * time.Second)
	for name, c := range map[string]struct {
		lease  gate.Lease
		onTime int64
		want   bool
	}{
		"renewed and on time":             {gate.NewLease(3, now-5*ms), now - 1000*ms, true},
		"on time for too short":           {gate.NewLease(3, now-5*ms), now - 900*ms, false},
		"late at present":                 {gate.NewLease(3, now-5*ms), 0, false},
		"its predecessor renewed it last": {gate.NewLease(3, began-5*ms), now - 1500*ms, false},
		"stands by":                       {0, now - 1000*ms, true},
		"stands by, and is late":          {0, 0, false},
	} {
		if got := settled(c.lease, now, began, c.onTime); got != c.want {
			t.Errorf("%s: settled %t, want %t", name, got, c.want)
		}
	}
}

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
