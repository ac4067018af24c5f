// SPDX-License-Identifier: Apache-2.0

package steer

import "time"

// Config is what an Agreement is made with.
type Config struct {
	Self, Members uint8
	Mode          Mode
	// Weight are the configured weights.
	Weight [Members]uint16
	Timing Timing
}

// Timing are the times of the agreement. DefaultTiming has them for the default probe interval.
type Timing struct {
	// Probe is the probe interval: how often what is not answered is repeated.
	Probe time.Duration
	// Confirm is how long a member with a share may take to confirm a table, and how old its share may become, before it is fenced off.
	Confirm time.Duration
	// Hello is the age of a member's last HELLO from which on its daemon counts as hung.
	Hello time.Duration
	// Flush is how long a planned change waits for those who give slots away to have told everything.
	Flush time.Duration
	// Linger is how long a gate goes on forwarding after another member was granted its group.
	Linger time.Duration
	// Orphan is how long a member keeps its share while nobody leads that it could follow.
	Orphan time.Duration
	// Hold is how long a member must have been fit before it is admitted again; it doubles with each exclusion, up to HoldMax, and is
	// forgotten after HoldMax without one.
	Hold, HoldMax time.Duration
	// Settle is how long a leader that found a table in its gate waits for the others to say what they hold.
	Settle time.Duration
}

// DefaultTiming returns the times for a probe interval, which is 10 ms by default.
func DefaultTiming(probe time.Duration) Timing {
	return Timing{
		Probe:   probe,
		Confirm: 10 * probe,
		Hello:   35 * probe,
		Flush:   5 * probe,
		Linger:  200 * time.Millisecond,
		Orphan:  1500 * time.Millisecond,
		Hold:    time.Second,
		HoldMax: time.Minute,
		Settle:  30 * probe,
	}
}
