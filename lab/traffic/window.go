// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"sort"
	"time"
)

// gapIntervals is the default threshold for listing a gap, in sending intervals.
const gapIntervals = 3

// history is one flow as it was at one moment, ready to be judged. Times are ns since the start of the run.
type history struct {
	interval int64
	// horizon is the newest moment about which everything is known: arrivals before it have been read, and if the flow has
	// ended, it is the end. Packets sent after judged may still arrive.
	horizon, judged            int64
	sent, got, errors, skipped view
}

// Window judges the packets sent from from until to, and the gaps that overlap that time. It may be called while the traffic
// runs; packets sent less than 300 ms before the call are then not judged yet. Gaps whose Arrival is above threshold are listed;
// 0 means three sending intervals.
func (r *Run) Window(from, to time.Time, threshold time.Duration) Report {
	if threshold == 0 {
		threshold = gapIntervals * r.cfg.interval()
	}
	out := Report{From: from, To: to, Threshold: threshold}
	for _, f := range r.flows {
		h := r.history(f)
		rep := h.judge(int64(from.Sub(r.start)), int64(to.Sub(r.start)), int64(threshold), r.start)
		rep.Flow, rep.Family, rep.Forward = f.name, f.family, f.forward
		rep.Corrupt = int(f.corrupt.Load())
		out.Flows = append(out.Flows, rep)
	}
	return out
}

// history takes the horizon before the logs: what arrived before it is then surely in them.
func (r *Run) history(f *flow) history {
	h := history{interval: int64(r.cfg.interval()), horizon: r.drained.Load()}
	h.judged = h.horizon - int64(settle)
	if ended := r.ended.Load(); ended != 0 {
		if h.horizon-ended >= int64(settle) {
			h.judged = ended
		}
		h.horizon = min(h.horizon, ended)
	}
	h.got, h.sent, h.errors, h.skipped = f.got.view(), f.sent.view(), f.errors.view(), f.skipped.view()
	return h
}

// judge counts what was sent in [from, to) and measures the gaps that overlap it. start is only added to times of the result.
func (h history) judge(from, to, threshold int64, start time.Time) FlowReport {
	var rep FlowReport
	h.count(&rep, from, to, start)
	for _, g := range h.gaps(from, to) {
		gap := g.export(start)
		if gap.Arrival > rep.LongestArrival.Arrival {
			rep.LongestArrival = gap
		}
		if gap.Corrected > rep.Longest.Corrected {
			rep.Longest = gap
		}
		if g.to-g.from > threshold {
			rep.Gaps = append(rep.Gaps, gap)
		}
	}
	return rep
}

// count fills in the numbers of packets.
func (h history) count(rep *FlowReport, from, to int64, start time.Time) {
	lo, hi := h.sent.search(from), h.sent.search(to)
	judged := max(lo, min(hi, h.sent.search(h.judged+1)))
	seen := make([]bool, hi-lo)
	var highest uint64
	// Nothing arrives before it was sent, so the scan starts at the window; a margin covers the jitter between the two clocks.
	for i := h.got.search(from - int64(time.Millisecond)); i < h.got.n; i++ {
		seq := h.got.at(i).seq
		if seq < uint64(lo) || seq >= uint64(hi) {
			continue
		}
		switch {
		case seen[seq-uint64(lo)]:
			rep.Duplicated++
			continue
		case seq < highest:
			rep.Reordered++
		}
		highest = max(highest, seq)
		seen[seq-uint64(lo)] = true
		rep.Received++
	}
	for i := lo; i < hi; i++ {
		rep.SenderLate = max(rep.SenderLate, time.Duration(h.sent.at(i).late))
		switch {
		case seen[i-lo]:
		case i < judged:
			rep.Lost++
			rep.LostAt = append(rep.LostAt, start.Add(time.Duration(h.sent.at(i).at)))
		default:
			rep.Unjudged++
		}
	}
	rep.Sent = hi - lo
	rep.SendErrors = h.errors.search(to) - h.errors.search(from)
	for i := h.skipped.search(from); i < h.skipped.search(to); i++ {
		rep.Skipped += int(h.skipped.at(i).seq)
	}
}

// search returns the index of the first entry at or after moment at.
func (v view) search(at int64) int {
	return sort.Search(v.n, func(i int) bool { return v.at(i).at >= at })
}
