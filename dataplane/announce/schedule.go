// SPDX-License-Identifier: Apache-2.0

package announce

import "time"

// Implementation constants.
const (
	// defaultRefresh is the gap between rounds after the series. Switches forget a silent MAC after 300 s.
	defaultRefresh = 60 * time.Second
	// beaconEvery keeps the VMAC's port known: forwarded frames leave with the member's own MAC.
	beaconEvery = time.Second
)

// gaps are the times between the first rounds; the refresh follows.
var gaps = [...]time.Duration{100 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second}

// gapAfter is the time from round n (0 is the first) to the next.
func gapAfter(n int, refresh time.Duration) time.Duration {
	if n < len(gaps) {
		return gaps[n]
	}
	return refresh
}

// advertiser schedules the router advertisements of one interface (RFC 4861 section 6.2.4 to 6.2.6). Times are
// nanoseconds on any clock that does not jump; random numbers in [0,1) come in as arguments.
type advertiser struct {
	min, max time.Duration
	sent     int   // multicast advertisements so far
	last     int64 // time of the last one
	due      int64 // time of the next
}

// start begins a series: the first advertisement is due now.
func (a *advertiser) start(now int64) {
	*a = advertiser{min: a.min, max: a.max, due: now}
}

// advertised notes a multicast advertisement and plans the next.
func (a *advertiser) advertised(now int64, random float64) {
	a.sent++
	a.last = now
	gap := a.min + time.Duration(random*float64(a.max-a.min))
	if a.sent < initialAdverts {
		gap = min(gap, maxInitialInterval)
	}
	a.due = now + int64(gap)
}

// solicited brings the next multicast advertisement forward to answer a host without an address: after a random
// delay, and not within 3 s of the last one.
func (a *advertiser) solicited(now int64, random float64) {
	at := now + int64(random*float64(maxDelay))
	if a.sent > 0 {
		at = max(at, a.last+int64(minDelayBetween))
	}
	a.due = min(a.due, at)
}
