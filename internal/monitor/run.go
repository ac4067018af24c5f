// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

const (
	// gap is the least time between two checks that events ask for: 20 a second are enough to follow anything. A check that takes long
	// gets restsFor times as long: however many events come, a monitor takes no more than that part of a processor.
	gap      = 50 * time.Millisecond
	restsFor = 20
	// grace is how long after its timeout a check may take to notice it.
	grace = 50 * time.Millisecond
	// leaving is how long a check that is told to end may take to.
	leaving = time.Second
)

// checker checks one thing. check is never called while it still runs; ctx ends at the timeout.
type checker interface {
	check(ctx context.Context) verdict.Result
	// changed is signalled when a check may find something else than the last one did; nil for what has no events.
	changed() <-chan struct{}
	// close lets go of everything once no check runs any more.
	close()
}

// polled is embedded by checkers that have no events and hold nothing.
type polled struct{}

func (polled) changed() <-chan struct{} { return nil }
func (polled) close()                   {}

// monitor is one that runs.
type monitor struct {
	spec  Spec
	set   *Set
	state *State // guarded by the set's lock
	hangs chan ended
	since time.Time // when the check began that hangs
}

// ended is the end of a check.
type ended struct {
	result verdict.Result
	took   time.Duration
}

// start is what times of monitors count from.
var start = time.Now()

func now() int64 { return int64(time.Since(start)) }

func (m *monitor) run(ctx context.Context) {
	c := m.set.tools.checker(m.spec)
	defer func() {
		if m.hangs == nil {
			c.close()
			return
		}
		hangs := m.hangs
		go func() { // a check that does not return keeps what it uses
			<-hangs
			c.close()
		}()
	}()
	began := m.set.read(m.state)
	v := verdict.New(now(), m.spec.Rise, m.spec.Fall, began.Status, began.Reason)
	if began.Status != verdict.Init { // whoever reads may know this monitor under another device
		if !m.report(ctx, v) {
			return
		}
	}
	schedule := verdict.NewSchedule(now(), int64(m.spec.Interval), int64(gap), m.shift())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Duration(schedule.Due() - now()))
		select {
		case <-ctx.Done():
			return
		case <-c.changed():
			schedule.Woken(now())
			continue
		case <-timer.C:
		}
		schedule.Began(now())
		e := m.once(ctx, c)
		if ctx.Err() != nil {
			return
		}
		if _, waits := m.spec.Check.(Unit); !waits { // for an answer, which costs nothing
			schedule.Gap(int64(max(gap, restsFor*e.took)))
		}
		changed := v.Observe(now(), e.result)
		m.set.note(m.state, v, e)
		if changed && !m.report(ctx, v) {
			return
		}
	}
}

// shift spreads monitors of the same interval.
func (m *monitor) shift() int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(m.spec.Name))
	return int64(m.spec.Interval)/64*int64(h.Sum32()%32) + 1
}

// once runs one check, or looks at the one that hangs.
func (m *monitor) once(ctx context.Context, c checker) ended {
	stopped := ctx.Done()
	ctx, cancel := context.WithTimeout(ctx, m.spec.Timeout)
	defer cancel()
	if m.hangs == nil {
		m.hangs, m.since = make(chan ended, 1), time.Now()
		done, began := m.hangs, m.since
		go func() {
			r := c.check(ctx)
			done <- ended{r, time.Since(began)}
		}()
	}
	patience := time.NewTimer(m.spec.Timeout + grace)
	defer patience.Stop()
	select {
	case e := <-m.hangs:
		m.hangs = nil
		return e
	case <-stopped:
		// Whoever stops a monitor waits for its check to let go of what it started, but not for one that hangs.
		patience.Reset(leaving)
		select {
		case e := <-m.hangs:
			m.hangs = nil
			return e
		case <-patience.C:
		}
	case <-patience.C:
	}
	took := time.Since(m.since)
	return ended{verdict.Wrong(fmt.Sprintf("the check hangs, beyond its timeout of %v", m.spec.Timeout)), took}
}

func (m *monitor) report(ctx context.Context, v *verdict.Verdict) bool {
	r := Report{Device: m.spec.Device, Monitor: m.spec.Name, Status: v.Status, Reason: v.Reason}
	select {
	case m.set.out <- r:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Set) read(st *State) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *st
}

// note keeps the end of a check for States.
func (s *Set) note(st *State, v *verdict.Verdict, e ended) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Status, st.Reason, st.Took = v.Status, v.Reason, e.took
	st.Checks++
	if e.result.Outcome == verdict.Bad {
		st.Failed++
	}
}
