// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/lab/prober"
	"github.com/holdfast-project/holdfast/lab/traffic"
)

// Window is what was seen in a time.
type Window struct {
	From     time.Time              `json:"from"`
	To       time.Time              `json:"to"`
	Traffic  traffic.Report         `json:"traffic"`
	Probes   []prober.Report        `json:"probes,omitempty"`
	Forwards []prober.ForwardReport `json:"forwards,omitempty"`
}

// Window tells what was seen from from until to. Wait 300 ms after to for a complete answer.
func (ob *Observer) Window(from, to time.Time) Window {
	w := Window{From: from, To: to, Traffic: ob.traffic.Window(from, to, 0)}
	for _, p := range ob.probers {
		w.Probes = append(w.Probes, p.Window(from, to))
	}
	for _, fw := range ob.watches {
		w.Forwards = append(w.Forwards, fw.Window(from, to))
	}
	return w
}

// Gap returns the longest gap of all flows, less what the sender stalled, and the flow's name.
func (w Window) Gap() (time.Duration, string) {
	g, flow := w.Traffic.Longest()
	return g.Corrected, flow
}

// Lost returns how many packets were lost in all flows.
func (w Window) Lost() int {
	_, _, lost, _, _ := w.Traffic.Totals()
	return lost
}

// Dual returns the longest time in which two members answered for one address.
func (w Window) Dual() time.Duration {
	var longest time.Duration
	for _, p := range w.Probes {
		longest = max(longest, p.LongestDual)
	}
	return longest
}

// Contested returns how many probes found two members answering, by either rule of the prober.
func (w Window) Contested() int {
	n := 0
	for _, p := range w.Probes {
		n += p.Contested + p.Interleaved
	}
	return n
}

// Twice returns how many packets two members forwarded.
func (w Window) Twice() int {
	n := 0
	for _, f := range w.Forwards {
		n += f.TwiceCount
	}
	return n
}

// Missed returns how many frames the taps lost; with more than 0 Contested and Twice may be too low.
func (w Window) Missed() uint {
	var n uint
	for _, p := range w.Probes {
		n += p.Missed
	}
	for _, f := range w.Forwards {
		n += f.Missed
	}
	return n
}

// Server returns the one member that answered for every address in the window, or why there is none.
func (w Window) Server() (string, error) {
	server := ""
	for _, p := range w.Probes {
		if p.Unanswered > 0 || p.Contested+p.Interleaved > 0 || len(p.Services) == 0 {
			return "", fmt.Errorf("segment %s: %d of %d probes unanswered, %d answered by two", p.Segment, p.Unanswered, p.Probes, p.Contested+p.Interleaved)
		}
		for _, s := range p.Services {
			if server == "" {
				server = s.Member
			}
			if s.Member != server {
				return "", fmt.Errorf("segment %s: %s answers for %s, %s elsewhere", p.Segment, s.Member, s.VIP, server)
			}
		}
	}
	return server, nil
}

// Flowing tells why not all traffic of the window arrived; nil when it did.
func (w Window) Flowing() error {
	var bad []string
	for _, f := range w.Traffic.Flows {
		if f.Lost > 0 || f.Received == 0 {
			bad = append(bad, fmt.Sprintf("%s: %d of %d lost", f.Flow, f.Lost, f.Sent))
		}
	}
	if bad != nil {
		return fmt.Errorf("%s", strings.Join(bad, ", "))
	}
	return nil
}

// Times of Steady.
const (
	steadyPoll  = 50 * time.Millisecond
	steadyDelay = 350 * time.Millisecond // a packet that has not arrived by then is lost
)

// Steady waits until for the time d one member has answered for all addresses and no packet has been lost, and returns the
// member. When ctx ends first, the error says what was wrong last.
func (ob *Observer) Steady(ctx context.Context, d time.Duration) (string, error) {
	ticker := time.NewTicker(steadyPoll)
	defer ticker.Stop()
	begin := time.Now()
	for {
		now := time.Now()
		reason := fmt.Errorf("observed for %v only", now.Sub(begin).Round(time.Millisecond))
		if now.Sub(begin) >= d+steadyDelay {
			w := ob.Window(now.Add(-d-steadyDelay), now.Add(-steadyDelay))
			// What goes on since must not have broken down either.
			recent := ob.Window(now.Add(-steadyDelay), now.Add(-2*steadyPoll))
			var server, still string
			if server, reason = w.Server(); reason == nil {
				still, reason = recent.Server()
			}
			if reason == nil && server != still {
				reason = fmt.Errorf("%s serves, a moment ago %s did", still, server)
			}
			if reason == nil {
				reason = w.Flowing()
			}
			if reason == nil {
				return server, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the gateway does not come to rest: %w (%w)", reason, ctx.Err())
		case <-ticker.C:
		}
	}
}
