// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/recovery"
	"github.com/holdfast-project/holdfast/policy/store"
	"github.com/holdfast-project/holdfast/policy/transfer"
)

// fetches are the policies that are on their way.
type fetches struct {
	jobs map[policy.Digest]*job
	from map[policy.Digest]string // whom a policy of the disk came from, as far as this process fetched it
}

// job is one policy that is fetched, from one source after another.
type job struct {
	what    policy.Offer
	staged  bool
	sources []string // that are left to ask
	source  string   // that is asked
	errs    []error
	asker   *transfer.Asker // what peers gave of it
	done    []func(error)
}

// got ends the question to one source.
type got struct {
	digest policy.Digest
	source string
	sealed *policy.Sealed
	err    error
}

const (
	// managementTime bounds a fetch from management.
	managementTime = time.Minute
	// keepFrom is how many policies' sources are remembered.
	keepFrom = 64
)

var errNoSource = errors.New("nobody that can be reached has it")

// errForged: what came was not what was offered, or was signed by somebody else.
var errForged = errors.New("what came is not what was offered")

// fetch gets a policy for recovery, from one source.
func (l *loop) fetch(what policy.Offer) {
	l.acquireFrom(what, false, []string{what.Source}, func(err error) {
		if err == nil {
			l.p.tell(recovery.Event(recovery.Fetched{What: what}))
			return
		}
		l.p.tell(recovery.Event(recovery.Failed{Source: what.Source, What: what, Why: err.Error(), Forged: errors.Is(err, errForged)}))
	})
}

// acquire gets a policy onto the disk from wherever it can be had: from management, if it named it, or else from peers.
func (l *loop) acquire(what policy.Offer, staged bool, done func(error)) {
	var sources []string
	if l.o.Management != nil {
		sources = append(sources, recovery.Management)
	}
	for _, m := range l.cfg.Members {
		if _, heard := l.peers[m.ID]; heard {
			sources = append(sources, m.Name)
		}
	}
	l.acquireFrom(what, staged, sources, done)
}

func (l *loop) acquireFrom(what policy.Offer, staged bool, sources []string, done func(error)) {
	if there, good := l.disk.has(what); there {
		var err error
		if !good && !staged { // an install brought it
			var s *policy.Sealed
			if s, err = l.disk.get(what); err == nil {
				err = l.keep(s, false)
			}
		}
		if err == nil {
			done(nil)
			return
		}
		l.damaged(what, err)
	}
	if j := l.fetches.jobs[what.Digest]; j != nil {
		j.done = append(j.done, done)
		j.staged = j.staged && staged
		for _, s := range sources {
			if s != j.source && !slices.Contains(j.sources, s) {
				j.sources = append(j.sources, s)
			}
		}
		return
	}
	j := &job{what: what, staged: staged, sources: sources, done: []func(error){done}}
	l.fetches.jobs[what.Digest] = j
	l.nextSource(j)
}

// nextSource asks the next one, or gives up.
func (l *loop) nextSource(j *job) {
	if len(j.sources) == 0 {
		err := errors.Join(j.errs...)
		if err == nil {
			err = errNoSource
		}
		l.endJob(j, fmt.Errorf("generation %d cannot be fetched: %w", j.what.Generation, err))
		return
	}
	j.source, j.sources = j.sources[0], j.sources[1:]
	if j.source == recovery.Management {
		l.fromManagement(j)
		return
	}
	l.fromPeer(j)
}

func (l *loop) endJob(j *job, err error) {
	delete(l.fetches.jobs, j.what.Digest)
	l.at(transferAlarm(j.what.Digest), 0, nil)
	for _, done := range j.done {
		done(err)
	}
}

func (l *loop) fromManagement(j *job) {
	m := l.o.Management
	if m == nil {
		l.p.tell(got{j.what.Digest, j.source, nil, errors.New("there is no management")})
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, managementTime)
	p, what, trust := l.p, j.what, l.trust()
	l.group.Go(func() error {
		defer cancel()
		file, err := m.Fetch(ctx, what)
		var s *policy.Sealed
		if err == nil {
			s, err = verified(file, what, trust)
		}
		p.tell(got{what.Digest, recovery.Management, s, err})
		return nil
	})
}

// verified opens a file that must be just the policy that was offered.
func verified(file []byte, what policy.Offer, t policy.Trust) (*policy.Sealed, error) {
	s, err := policy.Open(file, t)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errForged, err)
	}
	if s.Head().Digest() != what.Digest || s.Head().Generation != what.Generation {
		return nil, fmt.Errorf("%w: it is generation %d, digest %s", errForged, s.Head().Generation, s.Head().Digest().Short())
	}
	return s, nil
}

func (l *loop) trust() policy.Trust { return policy.Trust{Cluster: l.o.Cluster, Keys: l.cfg.Keys} }

// got takes in what one source gave.
func (l *loop) got(g got) {
	j := l.fetches.jobs[g.digest]
	if j == nil || j.source != g.source {
		return
	}
	err := g.err
	if err == nil {
		err = l.keep(g.sealed, j.staged)
	}
	if err == nil {
		l.count.Fetched = withOne(l.count.Fetched, g.source)
		l.remember(g.digest, g.source)
		l.event(Event{Kind: Fetched, Policy: j.what, Source: g.source})
		l.endJob(j, nil)
		return
	}
	if errors.Is(err, errForged) {
		l.count.Forged++
		l.event(Event{Kind: Forged, Policy: j.what, Source: g.source, Text: err.Error()})
	}
	j.errs = append(j.errs, fmt.Errorf("%s: %w", g.source, err))
	if isFull(err) {
		j.sources = nil // the next one's would have no room either
	}
	l.nextSource(j)
}

// withOne counts in a copy: what was published stays as it was.
func withOne(m map[string]uint64, key string) map[string]uint64 {
	next := map[string]uint64{key: 0}
	for k, n := range m {
		next[k] = n
	}
	next[key]++
	return next
}

func (l *loop) remember(d policy.Digest, source string) {
	if len(l.fetches.from) >= keepFrom {
		clear(l.fetches.from)
	}
	l.fetches.from[d] = source
}

// mend fetches the policy in force when the disk does not have it: it is in the kernel, and nobody could tell what it should be, nor give it on.
func (l *loop) mend() {
	h := l.held
	if h == nil || h.sealed != nil {
		return
	}
	l.acquire(h.offer, false, func(err error) {
		if l.held == nil || l.held.offer.Digest != h.offer.Digest {
			return
		}
		if err != nil {
			l.in("mend", max(l.o.Times.Retry, time.Second), l.mend)
			return
		}
		since := l.held.since
		l.hold(h.offer, false, nil)
		l.held.since = since
		l.watch()
	})
}

const verifyEach = 5 * time.Minute

// verify reads all policies of the disk again; what is not what it was is set aside then.
func (l *loop) verify() {
	l.in("verify", verifyEach, l.verify)
	d, p := l.disk, l.p
	l.group.Go(func() error {
		if err := d.check(); err != nil {
			p.tell(diskBad{})
		}
		return nil
	})
}

// diskBad says that something on the disk cannot be read.
type diskBad struct{}

// damaged looks at the disk again if something of it could not be read.
func (l *loop) damaged(what policy.Offer, err error) {
	if there, _ := l.disk.has(what); !there || isFull(err) {
		return
	}
	if _, err := l.disk.get(what); err != nil {
		l.reopen()
	}
}

// reopen verifies all policies of the disk, tells what was set aside, and gets the one in force again if it was among that.
func (l *loop) reopen() {
	bad, err := l.disk.open(l.o.Cluster, l.cfg.Keys)
	if err != nil {
		l.event(Event{Kind: Failed, Text: err.Error()})
	}
	l.unusable(bad)
	if l.held == nil || l.held.sealed == nil {
		return
	}
	if there, _ := l.disk.has(l.held.offer); !there {
		// What is in force was read when it was whole.
		_ = l.wrote(l.held.sealed, l.put(l.held.sealed, false))
	}
}

// unusable tells what of the disk cannot be used.
func (l *loop) unusable(bad []store.Bad) {
	for _, b := range bad {
		kind := Damaged
		if errors.Is(b.Err, policy.ErrKey) {
			kind = Failed // it stays where it is
		} else {
			l.count.Damaged++
		}
		l.event(Event{Kind: kind, Text: b.Path + ": " + b.Err.Error()})
	}
}
