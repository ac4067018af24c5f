// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// gap is a Gap on the run's own clock.
type gap struct {
	from, to      int64
	open          bool
	after, before uint64
	lost          int
	corrected     int64
}

func (g gap) export(start time.Time) Gap {
	return Gap{
		From: start.Add(time.Duration(g.from)), To: start.Add(time.Duration(g.to)), Open: g.open,
		Arrival: time.Duration(g.to - g.from), Corrected: time.Duration(g.corrected),
		AfterSeq: g.after, BeforeSeq: g.before, Lost: g.lost,
	}
}

// gaps returns every gap between two arrivals that overlaps [from, to], the usual ones of one interval too, in order.
func (h history) gaps(from, to int64) []gap {
	to = min(to, h.horizon)
	if to <= from || h.sent.n == 0 {
		return nil
	}
	var out []gap
	arrivals := h.firsts()
	i := sort.Search(len(arrivals), func(i int) bool { return arrivals[i].at > from })
	prev := entry{at: max(0, h.sent.at(0).at)}
	if i > 0 {
		prev = arrivals[i-1]
	}
	none := i == 0 // nothing has arrived before the window: the flow is measured from its first send
	for ; i < len(arrivals) && prev.at < to; i++ {
		cur := arrivals[i]
		g := gap{from: prev.at, to: cur.at, after: prev.seq, before: cur.seq}
		h.correct(&g, none)
		out = append(out, g)
		prev, none = cur, false
	}
	if prev.at < to {
		g := gap{from: prev.at, to: h.horizon, open: true, after: prev.seq, before: uint64(h.sent.n)}
		h.correct(&g, none)
		out = append(out, g)
	}
	h.countLost(out)
	return out
}

// firsts returns the first arrival of each packet, in order of arrival.
func (h history) firsts() []entry {
	seen := make([]bool, h.sent.n)
	out := make([]entry, 0, h.got.n)
	for i := range h.got.n {
		e := h.got.at(i)
		if e.seq >= uint64(len(seen)) || seen[e.seq] {
			continue
		}
		seen[e.seq] = true
		out = append(out, e)
	}
	// The socket delivers in order; the translation of stamps to the run's clock may swap neighbours by microseconds.
	byTime := func(a, b entry) int { return cmp.Compare(a.at, b.at) }
	if !slices.IsSortedFunc(out, byTime) {
		slices.SortStableFunc(out, byTime)
	}
	return out
}

// correct takes from a gap what the sender stalled at its edges. A pause of the sender with a blocked packet on both sides is not
// taken: the path was dead before and after it. blocked means sent in the gap, and not the packet that ended it (unless that one
// was itself under way for longer than an interval).
func (h history) correct(g *gap, none bool) {
	g.corrected = g.to - g.from
	first := int(g.after)
	blocked := func(k int) bool {
		if k == first && !none {
			return false
		}
		return uint64(k) != g.before || g.to-h.sent.at(k).at > h.interval
	}
	for k := first; k < h.sent.n; k++ {
		begin, end := h.sent.at(k).at, g.to
		if begin >= g.to {
			break
		}
		last := k+1 >= h.sent.n
		if !last {
			end = min(end, h.sent.at(k+1).at)
		}
		if blocked(k) && !last && blocked(k+1) {
			continue
		}
		if excess := end - max(begin, g.from) - h.interval; excess > 0 {
			g.corrected -= excess
		}
	}
	g.corrected = max(0, g.corrected)
}

// countLost fills in how many packets between a gap's edges never arrived. Only gaps longer than an interval are worth it.
func (h history) countLost(gaps []gap) {
	var arrived []bool
	for i := range gaps {
		g := &gaps[i]
		if g.before <= g.after+1 {
			continue
		}
		if arrived == nil {
			arrived = make([]bool, h.sent.n)
			for j := range h.got.n {
				if seq := h.got.at(j).seq; seq < uint64(len(arrived)) {
					arrived[seq] = true
				}
			}
		}
		for seq := g.after; seq < g.before; seq++ {
			if !arrived[seq] && h.sent.at(int(seq)).at <= h.judged {
				g.lost++
			}
		}
	}
}
