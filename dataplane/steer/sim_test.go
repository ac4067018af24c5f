// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/internal/simtest"
)

const ms = int64(time.Millisecond)

// rng is SplitMix64.
type rng struct{ s uint64 }

func (r *rng) next() uint64 {
	r.s += 0x9e3779b97f4a7c15
	z := r.s
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *rng) n(n int64) int64 {
	if n <= 0 {
		return 0
	}
	return int64(r.next()>>1) % n
}

func (r *rng) chance(percent int64) bool { return r.n(100) < percent }

const (
	simSoft   = 20 * ms
	simHard   = 1000 * ms
	simWatch  = 25 * ms
	simLinger = 200 * ms
)

type world struct {
	excluded [Members]int // times
	r        *rng
	now      int64
	agenda   simtest.Agenda[func()]
	n        uint8
	mode     Mode
	nodes    []*simNode
	cut      [Members][Members]bool // from, to
	loss     int64                  // percent
	dup      int64
	slow     int64 // longest delay
	dead     int64 // silence
	trace    []string
	verbose  bool
	err      error
	weight   [Members]uint16
	frozen   bool
	lacks    [Members]bool

	flushFail int64 // percent
	flushSlow int64
	applySlow int64

	// checks
	pivot      *simNode
	quiet      int64 // since when no fault was
	sig        string
	zero, twin [Slots]int64
	worstZero  int64
	worstTwin  int64
	boundZero  int64
	boundTwin  int64
	tables     int
}

func newWorld(seed uint64, n uint8, mode Mode) *world {
	w := &world{r: &rng{seed}, n: n, mode: mode, now: 1000 * 1000 * ms, slow: ms, dead: 35 * ms, applySlow: 6 * ms, boundZero: 1 << 60, boundTwin: 1 << 60}
	for i := range n {
		w.weight[i] = 100
		nd := &simNode{w: w, id: i}
		w.nodes = append(w.nodes, nd)
	}
	for _, nd := range w.nodes {
		nd.boot()
	}
	w.after(ms, w.check)
	return w
}

func (w *world) logf(format string, args ...any) {
	if len(w.trace) > 4000 && !w.verbose {
		w.trace = w.trace[1000:]
	}
	w.trace = append(w.trace, fmt.Sprintf("%9.3f ", float64(w.now-1000*1000*ms)/1e6)+fmt.Sprintf(format, args...))
}

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %.3f ms: %s", float64(w.now-1000*1000*ms)/1e6, fmt.Sprintf(format, args...))
		w.logf("FAILED: %v", w.err)
	}
}

func (w *world) after(d int64, do func()) {
	w.agenda.Add(w.now+d, do)
}

func (w *world) run(d int64) {
	end := w.now + d
	for w.err == nil && w.agenda.Due(end) {
		at, do := w.agenda.Take()
		w.now = at
		do()
	}
	w.now = end
}

// frame carries something from one member to another, if it gets there. It runs at the receiver's kernel.
func (w *world) frame(from, to uint8, do func()) {
	times := 1
	if w.r.chance(w.dup) {
		times = 2
	}
	for range times {
		if w.cut[from][to] || w.r.chance(w.loss) {
			continue
		}
		epoch := w.nodes[to].epoch
		w.after(20_000+w.r.n(w.slow), func() {
			if nd := w.nodes[to]; nd.up && nd.epoch == epoch && !w.cut[from][to] {
				if nd.paused > w.now {
					w.after(nd.paused-w.now, func() {
						if nd.up && nd.epoch == epoch {
							do()
						}
					})
					return
				}
				do()
			}
		})
	}
}

// traced returns the end of the trace.
func (w *world) traced() string {
	t := w.trace
	if len(t) > 400 {
		t = t[len(t)-400:]
	}
	return strings.Join(t, "\n")
}
