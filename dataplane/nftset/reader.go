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
}

// source is one set as the copies have been told of it.
type source struct {
	set     Set
	told    map[string]*told
	problem error
}

// told is an element as the copies were told last.
type told struct {
	element
	// until is when it expires, ns, 0 never; at is when it was told.
	until, at int64
	missing   bool
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
		r.sets = append(r.sets, &source{set: s, told: map[string]*told{}})
	}
	return r, nil
}

// Close closes the Reader.
func (r *Reader) Close() error { return r.sock.close() }

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
	info, all, err := read(r.sock, s.set)
	if err != nil {
		return err
	}
	seen := make(map[string]*element, len(all))
	for i := range all {
		if e := &all[i]; e.expires == 0 || e.expires >= leastLeft {
			seen[e.identity()] = e
		}
	}
	// What is gone first: an interval may overlap one that is no more.
	r.gone(s, info, now, full, seen, emit)
	for id, e := range seen {
		r.compare(s, info, now, full, id, e, emit)
	}
	if full {
		end := item{set: s.set, op: record.OpUpdate, round: r.round, ends: true, count: uint32(len(seen))}
		r.emit(&end, fmt.Sprintf("end of round %d", r.round), false, emit)
	}
	return nil
}

// read reads a set's elements, again if the ruleset changes under it.
func read(sock *socket, set Set) (info setInfo, all []element, err error) {
	for range tries {
		if info, err = sock.info(set); err == nil {
			all, err = sock.elements(set, info)
		}
		if !errors.Is(err, errInterrupted) {
			break
		}
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		return setInfo{}, nil, fmt.Errorf("%w: %v", ErrAbsent, set)
	case err != nil:
		return setInfo{}, nil, fmt.Errorf("nftset: read %v: %w", set, err)
	}
	return info, all, nil
}

// compare tells of an element that is there, if there is anything to tell.
func (r *Reader) compare(s *source, info setInfo, now int64, full bool, id string, e *element, emit func(Change)) {
	var until int64
	if e.expires != 0 {
		until = now + int64(e.expires)*1e6 //nolint:gosec // the kernel's longest is some centuries
	}
	old, op, refresh := s.told[id], record.OpUpdate, false
	switch {
	case old == nil:
		op = record.OpNew
	case full, !old.sameValue(e):
	case moved(old.until, until) > slack(e, info):
	case now-old.at >= RefreshEvery && !bytes.Equal(old.exprs, e.exprs):
		refresh = true
	default:
		old.missing = false
		return
	}
	s.told[id] = &told{element: *e, until: until, at: now}
	r.emit(&item{set: s.set, op: op, round: r.round, elem: *e}, id, refresh, emit)
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
func (r *Reader) gone(s *source, info setInfo, now int64, full bool, seen map[string]*element, emit func(Change)) {
	for id, t := range s.told {
		switch {
		case seen[id] != nil:
		case t.until != 0 && t.until-leastLeft*1e6 <= now:
			delete(s.told, id) // the copies' have expired too
		case t.missing || full || info.flags&flagInterval != 0:
			delete(s.told, id)
			r.emit(&item{set: s.set, op: record.OpDelete, round: r.round, elem: t.bareKey()}, id, false, emit)
		default:
			t.missing = true
		}
	}
}

func (r *Reader) emit(i *item, id string, refresh bool, emit func(Change)) {
	var h maphash.Hash
	h.SetSeed(r.seed)
	_, _ = h.Write([]byte{i.set.Family, byte(len(i.set.Table))})
	_, _ = h.WriteString(i.set.Table)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(i.set.Name)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(id)
	rec := i.record(r.buf[:0])
	r.buf = rec.Attrs
	if rec.Len() > record.MaxLen {
		return // a key, data, comment and names of the greatest length together: no frame takes it
	}
	emit(Change{Record: rec, Key: h.Sum64(), Refresh: refresh})
}
