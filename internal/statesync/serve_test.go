// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"io"
	"log/slog"
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
)

// newPure makes a plane that is not served: it decides, and sends nothing.
func newPure(t *testing.T) *Plane {
	t.Helper()
	p, err := New(Config{Cluster: 7, Members: 3, UseKey: 1, Keys: []ccp.Key{{Number: 1, Key: ccp.ClusterKey{1, 2, 3}}}}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	must(t, err)
	p.role, p.tallyGood = RoleOwner, true
	return p
}

// asks has member 1 ask for something, and returns what it is served.
func (p *Plane) asks(now int64, want ccp.SyncWant, limit uint64) *serving {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := &p.peers[1]
	if q.bound == 0 {
		p.bind(now, q, 77)
		q.key = 1
	}
	p.takeRequest(now, q, ccp.SyncRequest{Log: 5, Want: want, Limit: limit, Buckets: allBuckets})
	return q.serving
}

// TestServingEndsWithItsAsker: the dumper waits for a member that has no room; when that member is started again, or is not configured any
// more, it goes on at once.
func TestServingEndsWithItsAsker(t *testing.T) {
	for name, gone := range map[string]func(p *Plane){
		"started again":  func(p *Plane) { p.bind(boottime(), &p.peers[1], 78) },
		"not configured": func(p *Plane) { p.cfg.Members = 1; p.forgetPeers() },
		"says nothing": func(p *Plane) { // and the session is nobody's any more
			s := p.peers[1].serving
			p.peers[1].serving = nil
			p.giveUp(boottime(), s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPure(t)
			s := p.asks(boottime(), ccp.SyncWantRepair, 100)
			if !s.active() {
				t.Fatal("not served")
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- p.offer(ctx, []*serving{s}, 3, make([]byte, 120), p.jobs.roomFor) }()
			p.mu.Lock()
			gone(p)
			p.mu.Unlock()
			if err := <-done; err != nil || s.active() {
				t.Errorf("active %v, error %v", s.active(), err)
			}
		})
	}
}

// TestRoomWakesWhoWaitsForIt: each of those who offer records has a signal of its own, which the other cannot take.
func TestRoomWakesWhoWaitsForIt(t *testing.T) {
	for _, want := range []ccp.SyncWant{ccp.SyncWantRepair, ccp.SyncWantSets} {
		p := newPure(t)
		p.asks(0, want, 100)
		p.servedSome(1, &p.peers[1])
		if dump, sets := len(p.jobs.roomFor), len(p.sets.roomFor); dump+sets != 1 || (sets == 1) != (want == ccp.SyncWantSets) {
			t.Errorf("of what is wanted (%d) the dumper has %d signals, who tells sets %d", want, dump, sets)
		}
	}
}

// TestAskedInVain: that a member acknowledges none of what it asks for is said from the second time on, until it acknowledges something or has not
// asked for long.
func TestAskedInVain(t *testing.T) {
	p, now, log := newPure(t), int64(1e9), uint64(0)
	q := &p.peers[1]
	p.bind(now, q, 77)
	q.key, q.told = 1, Peer{ID: 1, Incarnation: 77}
	acks := func(a ccp.SyncAck) {
		a.Lane, a.Log = ccp.LaneBulk, log
		part, _, err := ccp.NextSync(a.Append(nil))
		must(t, err)
		must(t, p.takePart(now, q, part))
	}
	asks := func(waits int64, heeds bool) {
		t.Helper()
		log++
		p.takeRequest(now, q, ccp.SyncRequest{Log: log, Want: ccp.SyncWantWords, Limit: bulkCredit})
		last := uint64(0)
		for b, ok := q.serving.bulk.Next(now); ok; b, ok = q.serving.bulk.Next(now) {
			last = b.Sequence
		}
		acks(ccp.SyncAck{Next: 1, Ranges: []ccp.SyncRange{{First: last, Last: last}}}) // the last one is short
		now += waits
		if heeds {
			acks(ccp.SyncAck{Next: 2})
			now += waits
		}
		p.takeRequest(now, q, ccp.SyncRequest{Log: log, Want: ccp.SyncWantNothing})
		now += mostBackoff
	}
	said := func(want bool, when string) {
		t.Helper()
		if got := len(p.health(now).vain) != 0; got != want {
			t.Errorf("%s it is said: %v, want %v", when, got, want)
		}
		if at := q.showAt(now, false); want != (at > now && at != never) {
			t.Errorf("%s the state is looked at again at %d", when, at)
		}
	}
	asks(giveUpAfter, false)
	said(false, "after the first time")
	asks(10*ms, false)
	said(false, "after one that it thought better of")
	asks(giveUpAfter, false)
	said(true, "after the second time")
	asks(giveUpAfter, true)
	said(false, "after an acknowledgement")
	asks(giveUpAfter, false)
	asks(giveUpAfter, false)
	said(true, "after two more")
	now = q.vainAt + vainFor
	said(false, "long after")
}

// TestWaitingIsSaid: who waits for the one dumper is told so every second, until it has its turn.
func TestWaitingIsSaid(t *testing.T) {
	p := newPure(t)
	s := p.asks(0, ccp.SyncWantRepair, bulkCredit)
	q := &p.peers[1]
	said := 0
	for now := int64(0); now <= 10e9; now += 100 * ms {
		q.answer = nil
		if s.dumping = now > 5e9; s.waits() == s.dumping {
			t.Fatalf("waits %v", s.waits())
		}
		if p.sayAccepted(now, q); q.answer != nil {
			said++
			if q.answer.Result != ccp.SyncAccepted || q.answer.Log != 5 {
				t.Errorf("it is told %+v", q.answer)
			}
		}
	}
	if said != 5 {
		t.Errorf("said %d times in five seconds", said)
	}
	a := asked(t, stageRecords)
	for now := int64(0); now <= 10e9; now += 1e9 {
		a.answered(now, a.session, ccp.SyncAccepted, 7)
		if step := a.tick(now + 9e8); step != stepNone {
			t.Fatalf("the asker does %v at %d", step, now)
		}
	}
}

// TestFailedSweepIsRepeated: unless the role has changed since; and the problem is shown until the sweep succeeds.
func TestFailedSweepIsRepeated(t *testing.T) {
	p := newPure(t)
	p.jobs.sweep = true
	_, problem := p.nextJob()
	if p.jobs.sweep {
		t.Fatal("not taken")
	}
	p.sweepAgain(true)
	if p.jobs.lengthen {
		t.Error("an owner's entries get the copies' time-out")
	}
	p.sweepAgain(false)
	if !p.jobs.sweep {
		t.Error("not repeated")
	}
	p.jobDone(problem, io.ErrUnexpectedEOF)
	p.jobDone(&p.problem, nil)
	if h := p.health(boottime()); h.kernel != io.ErrUnexpectedEOF.Error() {
		t.Errorf("shown: %q", h.kernel)
	}
	p.jobDone(problem, nil)
	if h := p.health(boottime()); h.kernel != "" {
		t.Errorf("shown still: %q", h.kernel)
	}
}
