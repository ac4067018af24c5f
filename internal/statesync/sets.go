// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/flow"
	"github.com/holdfast-project/holdfast/dataplane/nftset"
)

// Times of sets, in ns, and bounds.
const (
	// setsEvery is how often an owner reads its sets, and setsShare how many times as long it rests at least as reading them took.
	setsEvery = 1e9
	setsShare = 20
	// roundEvery is how often it lists all elements, so that what a copy lacks or has too many of heals.
	roundEvery = 300e9
	// setsRetry is how long it waits when the kernel cannot be asked.
	setsRetry = 5e9
	// setsAtOnce is how many elements are put into the lane before others have their turn for setsTurn: connections go first.
	setsAtOnce = 128
	setsTurn   = 1e6
	// setsBytes is how many bytes of records may wait on a copy. A round makes good what is left out.
	setsBytes = 8 << 20
)

// sets is what the plane knows of the nftables sets that it keeps equal. One goroutine does the work, because the kernel takes its time
// for them and no connection is to wait; another tells the elements to who compares, because that one may take its time too.
type sets struct {
	wake    chan struct{}
	asked   chan struct{} // a peer wants the elements
	roomFor chan struct{} // one that is told them has taken something

	// Under the plane's lock.
	queue    []byte // records for a copy
	round    bool   // all elements are to be listed
	elements uint64
	problem  string

	// The goroutine's own.
	names   []string
	tables  map[string]string // as names were translated last
	reader  *nftset.Reader
	applier *nftset.Applier
	counts  nftset.Counts
	spare   []byte
	buf     []byte
	failed  error
	rounded int64 // when all elements were listed last
	turn    int   // elements put into the lane since the others had theirs
}

func (s *sets) init() {
	s.wake, s.asked, s.roomFor = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
}

// signal wakes who keeps the sets equal.
func (s *sets) signal() { token(s.wake) }

// token wakes the one who waits for c, or who comes to wait for it next.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// listAll has the owner list all elements, for somebody who may not have them.
func (s *sets) listAll() {
	s.round = true
	s.signal()
}

// takeElement queues a record of an element, under the plane's lock.
func (p *Plane) takeElement(r []byte) {
	if len(p.sets.queue)+len(r) > setsBytes {
		p.refused["set: queue full"]++
		return
	}
	p.sets.queue = append(p.sets.queue, r...)
	p.sets.signal()
}

// runSets keeps the sets equal.
func (p *Plane) runSets(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer p.sets.close()
	for next := int64(0); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-p.sets.wake:
		case <-timer.C:
		}
		now := boottime()
		if again := p.keepSets(now, now >= next); again != 0 {
			next = again
		}
		if next == never {
			timer.Stop() // nothing is to be kept equal: the next configuration wakes
			next = 0
			continue
		}
		timer.Reset(time.Duration(max(next-boottime(), leastWait)))
	}
}

// keepSets applies what a copy has got, and reads the owner's sets if that is due. It returns when they are due again, 0 if they were
// not read.
func (p *Plane) keepSets(now int64, due bool) int64 {
	s := &p.sets
	p.mu.Lock()
	names, tables, owner := p.cfg.Sets, p.cfg.Tables, p.ownsSets()
	if p.cfg.Disabled {
		names = nil
	}
	var records []byte
	records, s.queue, s.spare = s.queue, s.spare[:0], nil
	heard := p.heardAnybody()
	p.mu.Unlock()
	if !slices.Equal(names, s.names) {
		s.close()
		s.names = slices.Clone(names)
	}
	var next int64
	s.failed = nil
	if !maps.Equal(tables, s.tables) {
		s.failed = s.translate(now, tables)
	}
	if len(names) > 0 {
		// What came before a takeover counts: it is applied first.
		if len(records) > 0 {
			s.failed = errors.Join(s.failed, p.applyElements(now, records))
		}
		switch {
		case owner && due && heard:
			next = p.readElements(now)
		case owner && due:
			next = now + setsEvery
		case !owner && s.reader != nil:
			s.closeReader()
		}
	}
	if next == 0 && due {
		next = now + setsEvery
	}
	if s.failed != nil {
		next = now + setsRetry
	}
	if len(names) == 0 {
		next = never
	}
	s.spare = records[:0]
	p.showSets(now, owner)
	return next
}

// applyElements puts records into this member's sets.
func (p *Plane) applyElements(now int64, data []byte) error {
	s := &p.sets
	if s.applier == nil {
		if err := p.openSets(func(sets []nftset.Set) (err error) {
			if s.applier, err = nftset.NewApplier(sets); err != nil {
				return err
			}
			s.counts = nftset.Counts{}
			return s.applier.SetTables(now, parseTables(s.tables))
		}); err != nil {
			return err
		}
	}
	var rs []record.Record
	for len(data) > 0 {
		r, rest, err := record.Parse(data)
		if err != nil {
			p.refuse(record.ReasonOf(err).String())
			break
		}
		rs, data = append(rs, r), rest
	}
	err := s.applier.Apply(now, rs)
	counts := s.applier.Counts()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, n := range counts.Refused {
		if n -= s.counts.Refused[i]; n > 0 {
			p.refused["set: "+nftset.Reason(i).String()] += n
		}
	}
	s.counts = counts
	return err
}

// readElements tells the copies what has changed in this member's sets, and returns when to look again.
func (p *Plane) readElements(now int64) int64 {
	s := &p.sets
	first := s.reader == nil
	if first {
		s.closeApplier()
		if s.failed = p.openSets(func(sets []nftset.Set) (err error) {
			if s.reader, err = nftset.NewReader(sets, uint32(random())); err != nil {
				return err
			}
			s.reader.SetTables(parseTables(s.tables))
			return nil
		}); s.failed != nil {
			return now + setsRetry
		}
	}
	p.mu.Lock()
	all := s.round || first || now-s.rounded > roundEvery
	s.round = false
	p.mu.Unlock()
	if all {
		s.rounded = now
	}
	s.failed = s.reader.Poll(now, all, func(c nftset.Change) { p.tellElement(now, c) })
	if errors.Is(s.failed, nftset.ErrAbsent) {
		s.failed = nil // said with the set
	}
	p.mu.Lock()
	p.sender.Flush()
	p.transmit(now)
	p.rearm(now)
	p.mu.Unlock()
	end := boottime()
	return end + max(setsEvery, setsShare*(end-now))
}

// tellElement puts an element into the delta lane.
func (p *Plane) tellElement(now int64, c nftset.Change) {
	s := &p.sets
	s.buf = c.Record.Append(s.buf[:0])
	i := flow.Item{Key: c.Key, Class: flow.Change, Data: s.buf}
	switch {
	case c.Record.Op == record.OpDelete:
		i.Class = flow.Delete
	case c.Refresh:
		i.Class = flow.Refresh
	}
	p.mu.Lock()
	err := p.sender.Add(now, i)
	p.stats.Records++
	s.turn++
	rest := s.turn >= setsAtOnce
	if rest {
		s.turn = 0
		p.sender.Flush()
		p.transmit(now)
	}
	p.mu.Unlock()
	if err != nil {
		p.log.Error("element of a set", "error", err)
	}
	if rest {
		time.Sleep(setsTurn)
	}
}

// openSets calls open, in the plane's network namespace, with the sets that the configuration names.
func (p *Plane) openSets(open func([]nftset.Set) error) error {
	var list []nftset.Set
	for _, name := range p.sets.names {
		s, err := nftset.ParseSet(name)
		if err != nil {
			return err
		}
		list = append(list, s)
	}
	return p.within(func() error { return open(list) })
}

// translate goes over to other names of tables: another generation of the policy is in force.
func (s *sets) translate(now int64, tables map[string]string) error {
	if s.reader != nil {
		s.reader.SetTables(parseTables(tables))
	}
	if s.applier != nil {
		if err := s.applier.SetTables(now, parseTables(tables)); err != nil {
			return err // tried again
		}
	}
	s.tables = maps.Clone(tables)
	return nil
}

// parseTables leaves out what is no name of a table.
func parseTables(tables map[string]string) nftset.Tables {
	all := nftset.Tables{}
	for table, name := range tables {
		if t, err := nftset.ParseTable(table); err == nil {
			all[t] = name
		}
	}
	return all
}

// showSets says how the sets are.
func (p *Plane) showSets(now int64, owner bool) {
	s := &p.sets
	var statuses []nftset.Status
	switch {
	case owner && s.reader != nil:
		statuses = s.reader.Statuses()
	case !owner && s.applier != nil:
		statuses = s.applier.Statuses()
	}
	problem, elements := "", uint64(0)
	for _, st := range statuses {
		elements += uint64(st.Elements)
		if st.Err != nil && problem == "" {
			problem = "set " + st.Set.String() + ": " + st.Err.Error()
			if errors.Is(st.Err, nftset.ErrAbsent) {
				problem = fmt.Sprintf("there is no set %v on this member", st.Set)
			}
		}
	}
	if s.failed != nil && problem == "" {
		problem = s.failed.Error()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.elements = elements
	if problem != s.problem {
		s.problem = problem
		p.show(now)
	}
}

func (s *sets) closeReader() {
	if s.reader != nil {
		_ = s.reader.Close()
		s.reader = nil
	}
}

func (s *sets) closeApplier() {
	if s.applier != nil {
		_ = s.applier.Close()
		s.applier = nil
	}
}

func (s *sets) close() {
	s.closeReader()
	s.closeApplier()
}
