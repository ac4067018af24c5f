// SPDX-License-Identifier: Apache-2.0

package pulse

import "time"

// Upper bounds of the histogram buckets; what is above the last counts in one bucket more.
var (
	RTTBounds = [...]time.Duration{
		20 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 200 * time.Microsecond, 500 * time.Microsecond,
		time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	}
	LateBounds = [...]time.Duration{
		10 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 500 * time.Microsecond, time.Millisecond,
		2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	}
)

// Histogram counts durations by the bounds it is used with; all counts are since the pulse's start.
type Histogram struct {
	Count   uint64
	Sum     time.Duration
	Buckets [12]uint64 // not cumulative; the last is "above all bounds"
}

// observe adds d.
func (h *Histogram) observe(bounds *[11]time.Duration, d time.Duration) {
	h.Count++
	h.Sum += d
	for i, b := range bounds {
		if d <= b {
			h.Buckets[i]++
			return
		}
	}
	h.Buckets[len(bounds)]++
}

// Stats comes once a second. Counters and histograms are since the pulse's start, unless they say something else.
type Stats struct {
	At           int64
	Ticks        uint64        // probe deadlines kept
	Skipped      uint64        // probe deadlines passed over, because the pulse was later than a whole interval
	Late         Histogram     // lateness of probe deadlines, by LateBounds
	WorstLate    time.Duration // of a probe deadline, since the last Stats
	MaxLate      time.Duration // since start
	Renewals     uint64        // of leases
	WorstRenewal time.Duration // longest time between two renewals of one lease since the last Stats
	Softirq      time.Duration // longest wait for the receiving softirq since the last Stats, as a datagram to itself found it; 0: not measured
	MaxSoftirq   time.Duration // since start
	OnTimeSince  int64         // as in Health
	Held         uint64        // events held back because main's socket was full
	Realtime     bool          // SCHED_FIFO is on
	Locked       bool          // memory is locked
	Faults       uint64        // page faults since the loop began, major and minor
	Dropped      [DropCount]uint64
	Links        []LinkStats
}

// LinkStats is what is known of one peer on one interface.
type LinkStats struct {
	Peer, Slot uint8
	Silent     bool
	Sent       uint64 // probes that left
	Unsent     uint64 // probes that could not leave
	Answered   uint64 // probes answered
	RTT        Histogram

	// How near the round trip is to what would look like death, now rather than since the start: of the last second are
	AnswersLastSecond uint64 // answers
	SlowAnswers       uint64 // and those among them that took longer than a probe interval
}

// Drop is why a received frame was not used; an index of Stats.Dropped.
type Drop uint8

// Drop reasons. Append only.
const (
	DropMalformed Drop = iota // not a gate reply
	DropCluster               // of another cluster, or not for this member
	DropKey                   // of a key that is not known
	DropTag                   // forged
	DropSource                // of a member that is not a peer
	DropNonce                 // answers nothing that was asked, or too late
	DropCount                 // how many reasons there are
)

// String returns the reason's name.
func (d Drop) String() string {
	return [...]string{"malformed", "cluster", "key", "tag", "source", "nonce"}[min(d, DropCount-1)]
}
