// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/lab/prober"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/traffic"
)

// window waits until the traffic of the window from the mark to now can be judged; in a row of checks, to when the first one was made.
func (r *runner) window(ctx context.Context) (from, to time.Time, err error) {
	if r.judged.IsZero() {
		r.judged = time.Now()
	}
	return r.marked, r.judged, sleep(ctx, time.Until(r.judged.Add(settle)))
}

type udp struct {
	what string
	want compare
}

func (c udp) check(ctx context.Context, r *runner) (bool, string, error) {
	if r.udp == nil {
		return false, "", errors.New("no UDP runs: write udp into the traffic block")
	}
	from, to, err := r.window(ctx)
	if err != nil {
		return false, "", err
	}
	v := r.udp.Window(from, to, 0)
	sent, _, lost, duplicated, _ := v.Totals()
	if sent == 0 {
		return false, "nothing was sent", nil
	}
	switch c.what {
	case "lost":
		excused := r.excused(v)
		got := fmt.Sprintf("%d of %d", lost-excused, sent)
		if excused > 0 {
			got += fmt.Sprintf(", and %d as the host stood still", excused)
		}
		return c.want.holds(float64(lost - excused)), got, nil
	case "duplicated":
		return c.want.holds(float64(duplicated)), fmt.Sprintf("%d of %d", duplicated, sent), nil
	default:
		gap, flow := v.Longest()
		got := fmt.Sprintf("%s in %s", report.Ms(gap.Corrected), flow)
		r.add(report.Event{At: gap.From, Kind: report.Gap, Subject: flow, Text: "longest gap", Lasted: gap.Corrected})
		return c.want.holds(float64(gap.Corrected)), got, nil
	}
}

// recovered is how long after a standstill of the host packets may be lost: a member's lease is over then, another one has to find out, and its own
// first deadlines are over too.
const recovered = 100 * time.Millisecond

// span is a time in which a processor of the host could not be had.
type span struct{ from, to time.Time }

// excused counts the lost packets that were sent while the host stood still, or before members had recovered from it.
func (r *runner) excused(v traffic.Report) (count int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range v.Flows {
		for _, at := range f.LostAt {
			if slices.ContainsFunc(r.stood, func(s span) bool { return !at.Before(s.from) && at.Sub(s.to) <= recovered }) {
				count++
			}
		}
	}
	return count
}

type tcp struct{ want compare }

func (c tcp) check(ctx context.Context, r *runner) (bool, string, error) {
	v, got, err := r.stream(ctx)
	if err != nil || v.Received == 0 {
		return false, got, err
	}
	return c.want.holds(float64(v.LongestStall)), got, nil
}

type tcpResets struct{ want compare }

func (c tcpResets) check(ctx context.Context, r *runner) (bool, string, error) {
	v, got, err := r.stream(ctx)
	if err != nil || v.Received == 0 {
		return false, got, err
	}
	return c.want.holds(float64(v.Resets)), got, nil
}

// stream tells what became of the TCP stream since the mark, also in words.
func (r *runner) stream(ctx context.Context) (v traffic.StreamReport, got string, err error) {
	if r.tcp == nil {
		return v, "", errors.New("no TCP runs: write tcp into the traffic block")
	}
	from, to, err := r.window(ctx)
	if err != nil {
		return v, "", err
	}
	if v = r.tcp.Window(from, to); v.Received == 0 {
		return v, fmt.Sprintf("nothing arrived %v", v.Reasons), nil
	}
	return v, fmt.Sprintf("%s, %d connections reset", report.Ms(v.LongestStall), v.Resets), nil
}

type answers struct {
	what string
	want compare
}

func (c answers) check(ctx context.Context, r *runner) (bool, string, error) {
	if len(r.probers) == 0 {
		return false, "", errors.New("nobody asks for VIPs: write probe into the traffic block")
	}
	from, to, err := r.window(ctx)
	if err != nil {
		return false, "", err
	}
	var sum prober.Report
	for _, p := range r.probers {
		v := p.Window(from, to)
		sum.Probes += v.Probes
		sum.Unanswered += v.Unanswered
		sum.Contested += v.Contested
		sum.Interleaved += v.Interleaved
		sum.Missed += v.Missed
		sum.LongestDual = max(sum.LongestDual, v.LongestDual)
		for _, e := range v.Episodes {
			r.add(report.Event{At: e.From, Kind: report.Dual, Subject: e.VIP.String(), Text: fmt.Sprintf("answered by %v", e.Members), Lasted: e.To.Sub(e.From), Bad: true})
		}
	}
	got := fmt.Sprintf("%d of %d probes", sum.Contested+sum.Interleaved, sum.Probes)
	if sum.Probes == 0 || sum.Missed > 0 {
		return false, fmt.Sprintf("%s, and %d frames were not seen", got, sum.Missed), nil
	}
	if c.what == "dual" {
		return c.want.holds(float64(sum.LongestDual)), report.Ms(sum.LongestDual), nil
	}
	return c.want.holds(float64(sum.Contested + sum.Interleaved)), got, nil
}

type forwarded struct{ want compare }

func (c forwarded) check(ctx context.Context, r *runner) (bool, string, error) {
	if len(r.watches) == 0 {
		return false, "", errors.New("no UDP runs: write udp into the traffic block")
	}
	from, to, err := r.window(ctx)
	if err != nil {
		return false, "", err
	}
	twice, all := 0, 0
	var missed uint
	for _, w := range r.watches {
		v := w.Window(from, to)
		twice += v.TwiceCount
		missed += v.Missed
		for _, n := range v.Forwarded {
			all += n
		}
	}
	got := fmt.Sprintf("%d of %d packets", twice, all)
	if all == 0 || missed > 0 {
		return false, fmt.Sprintf("%s, and %d were not seen", got, missed), nil
	}
	return c.want.holds(float64(twice)), got, nil
}

type servedBy struct{ member string }

func (c servedBy) check(_ context.Context, r *runner) (bool, string, error) {
	if len(r.probers) == 0 {
		return false, "", errors.New("nobody asks for VIPs: write probe into the traffic block")
	}
	for _, p := range r.probers {
		if member, _ := p.Server(); member != c.member {
			return false, fmt.Sprintf("%q answers", member), nil
		}
	}
	return true, c.member, nil
}
