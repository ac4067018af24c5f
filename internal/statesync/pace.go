// SPDX-License-Identifier: Apache-2.0

package statesync

// pace limits something to a rate: it says how long to wait before the next n. It allows bursts of a fiftieth of a second, so that a
// paced dump sleeps fifty times a second and not for every record.
type pace struct {
	perSecond int64
	next      int64 // ns of CLOCK_BOOTTIME at which the next would be due
}

// burst is how far in ns a pace lets the work run ahead.
const burst = 20e6

// take counts n at time now and returns for how many ns to wait before doing more, 0 for not at all.
func (p *pace) take(now int64, n int) int64 {
	if p.perSecond <= 0 {
		return 0
	}
	p.next = max(p.next, now-burst) + int64(n)*1e9/p.perSecond
	if ahead := p.next - now; ahead > burst {
		return ahead
	}
	return 0
}
