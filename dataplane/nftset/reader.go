// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// What is told when: see the package comment.
const (
	// RefreshSlack is by how many ns an expiry must have moved at least to be told again.
	RefreshSlack = 1e9
	// RefreshEvery is how often in ns the state of an element's expressions is told at most.
	RefreshEvery = 10e9
	// leastLeft is how long in ms an element must have left to be worth telling.
	leastLeft = 1000
	// tries is how often a set is read that changes meanwhile.
	tries = 3
)

// Change is one thing to tell the copies.
type Change struct {
	Record record.Record
	// Key identifies the element among all that this Reader tells of; it is a hash with all bits well mixed.
	Key uint64
	// Refresh says that the next change of the element makes up for the loss of this one.
	Refresh bool
}

// Status is what is to be said of one set.
type Status struct {
	Set Set
	// Elements is how many are known, intervals counted once.
	Elements int
	// Err is why the set could not be read or written lately; it wraps ErrAbsent where there is none.
	Err error
}

// ErrAbsent says that this member's ruleset does not have the set.
var ErrAbsent = errors.New("nftset: no such set")

// Reader finds out what changes in the owner's sets. Not safe for concurrent use.
type Reader struct {
	sock  *socket
	sets  []*source
	round uint32
	seed  maphash.Seed
	buf   []byte
	id    []byte
}

// source is one set as the copies have been told of it.
type source struct {
	set     Set
	kernel  Set // as the kernel knows it
	told    map[string]*told
	turn    uint64 // of reading
	timeout uint64 // the set's own, ms
	problem error
}

// told is an element as the copies were told last.
type told struct {
	element
	// until is when it expires, ns, 0 never; at is when it was told.
	until, at int64
	// turn is when it was seen last.
	turn    uint64
	missing bool
}

// NewReader opens a Reader of sets in the network namespace of the calling thread. round should be random: the numbers of rounds begin
// there, and no other owner should use the same.
func NewReader(sets []Set, round uint32) (*Reader, error) {
	sock, err := dial()
	if err != nil {
		return nil, fmt.Errorf("nftset: %w", err)
	}
	r := &Reader{sock: sock, round: round, seed: maphash.MakeSeed()}
	for _, s := range sets {
		r.sets = append(r.sets, &source{set: s, kernel: s, told: map[string]*told{}})
	}
	return r, nil
}

// Close closes the Reader.
func (r *Reader) Close() error { return r.sock.close() }

// SetTables says how tables are called from now on. What is different in a set's new table is told by the next Poll, as any change is.
func (r *Reader) SetTables(t Tables) {
	for _, s := range r.sets {
		s.kernel = t.kernel(s.set)
	}
}

// Poll reads all sets and calls emit with what has changed since the last time, or with everything, as a round, if full. A Change's
// record is good until emit returns. The error joins those of the sets that could not be read, of which nothing is said this time.
func (r *Reader) Poll(now int64, full bool, emit func(Change)) error {
	if full {
		r.round++
	}
	var failed error
	for _, s := range r.sets {
		s.problem = r.poll(s, now, full, emit)
		failed = errors.Join(failed, s.problem)
	}
	return failed
}

// Statuses returns what there is to say of the sets after the last Poll.
func (r *Reader) Statuses() []Status {
	var all []Status
	for _, s := range r.sets {
		all = append(all, Status{s.set, len(s.told), s.problem})
	}
	return all
}

func (r *Reader) poll(s *source, now int64, full bool, emit func(Change)) error {
	var info setInfo
	var listed uint32
	var intervals []element
	err := read(r.sock, s.kernel, func(i setInfo) {
		info, listed, intervals = i, 0, nil
		s.timeout = i.timeout
		s.turn++
	}, func(e *element) {
		if e.expires != 0 && e.expires < leastLeft {
			return
		}
		r.id = e.appendIdentity(r.id[:0])
		t := s.told[string(r.id)]
		if t != nil {
			t.turn = s.turn
		}
		if info.flags&flagInterval != 0 {
			intervals = append(intervals, e.clone())
			return
		}
		if r.compare(s, info, now, full, t, e, emit) {
			listed++
		}
	})
	if err != nil {
		return err
	}
	// Of intervals what is gone comes first: a new one may overlap one that is no more.
	r.gone(s, info, now, full, emit)
	for i := range intervals {
		r.id = intervals[i].appendIdentity(r.id[:0])
		if r.compare(s, info, now, full, s.told[string(r.id)], &intervals[i], emit) {
			listed++
		}
	}
	if full {
		end := item{set: s.set, op: record.OpUpdate, round: r.round, ends: true, count: listed}
		r.emit(&end, fmt.Appendf(nil, "end of round %d", r.round), false, emit)
	}
	return nil
}

// read reads a set's elements, again if the ruleset changes under it: each time it calls begin, and then visit for each element,
// which must copy what it keeps.
func read(sock *socket, set Set, begin func(setInfo), visit func(*element)) error {
	var err error
	for range tries {
		var info setInfo
		if info, err = sock.info(set); err == nil {
			begin(info)
			err = sock.elements(set, info, visit)
		}
		if !errors.Is(err, errInterrupted) {
			break
		}
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: %v", ErrAbsent, set)
	case err != nil:
		return fmt.Errorf("nftset: read %v: %w", set, err)
	}
	return nil
}

// compare tells of an element that is there, if there is anything to tell; old is what was told of it, and r.id its identity. It
// reports whether it told, which in a round it does of every element that a record has room for.
func (r *Reader) compare(s *source, info setInfo, now int64, full bool, old *told, e *element, emit func(Change)) bool {
	var until int64
	if e.expires != 0 {
		until = now + int64(e.expires)*1e6 //nolint:gosec // the kernel's longest is some centuries
	}
	op, refresh := record.OpUpdate, false
	switch {
	case old == nil:
		op = record.OpNew
	case full, !old.sameValue(e):
	case moved(old.until, until) > slack(e, info):
	case now-old.at >= RefreshEvery && !bytes.Equal(old.exprs, e.exprs):
		refresh = true
	default:
		old.missing = false
		return false
	}
	s.told[string(r.id)] = &told{element: e.clone(), until: until, at: now, turn: s.turn}
	return r.emit(&item{set: s.set, op: op, round: r.round, elem: *e}, r.id, refresh, emit)
}

func moved(a, b int64) int64 { return max(a-b, b-a) }

// slack is by how much the expiry of e may move without a word.
func slack(e *element, info setInfo) int64 {
	timeout := info.timeout
	if e.hasTimeout {
		timeout = e.timeout
	}
	return max(RefreshSlack, int64(timeout)*1e6/8) //nolint:gosec // as above
}

// gone tells of the elements that are not there any more. Sets of intervals are no hash tables, so nothing of them is ever left out.
func (r *Reader) gone(s *source, info setInfo, now int64, full bool, emit func(Change)) {
	for id, t := range s.told {
		switch {
		case t.turn == s.turn:
		case t.until != 0 && t.until-leastLeft*1e6 <= now:
			delete(s.told, id) // the copies' have expired too
		case t.missing || full || info.flags&flagInterval != 0:
			delete(s.told, id)
			r.emit(&item{set: s.set, op: record.OpDelete, round: r.round, elem: t.bareKey()}, []byte(id), false, emit)
		default:
			t.missing = true
		}
	}
}

// emit reports whether the record went out.
func (r *Reader) emit(i *item, id []byte, refresh bool, emit func(Change)) bool {
	var h maphash.Hash
	h.SetSeed(r.seed)
	_, _ = h.Write([]byte{i.set.Family, byte(len(i.set.Table))})
	_, _ = h.WriteString(i.set.Table)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(i.set.Name)
	_ = h.WriteByte(0)
	_, _ = h.Write(id)
	rec := i.record(r.buf[:0])
	r.buf = rec.Attrs
	if rec.Len() > record.MaxLen {
		return false // a key, data, comment and names of the greatest length together: no frame takes it
	}
	emit(Change{Record: rec, Key: h.Sum64(), Refresh: refresh})
	return true
}
