// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/flow"
)

// still is a plane of three that does not run, with a current copy of member 1's table.
func still(t *testing.T) *Plane {
	t.Helper()
	p, err := New(Config{
		Cluster: 7, Self: 0, EtherType: ccp.DefaultEtherType, Members: 3, UseKey: 1, Keys: []ccp.Key{{Number: 1, Key: ccp.ClusterKey{1, 2, 3}}},
	}, slog.New(slog.DiscardHandler))
	must(t, err)
	for id := uint8(1); id < 3; id++ {
		p.peers[id].rebind(uint64(id))
	}
	p.takeStatus(0, &p.peers[1], ccp.SyncStatus{Role: ccp.SyncOwner, Term: 1})
	p.takeStatus(0, &p.peers[2], ccp.SyncStatus{Role: ccp.SyncCopy, Term: 1})
	if p.asker.source != 1 {
		t.Fatalf("copies member %d", p.asker.source)
	}
	p.asker.abandon()
	p.asker.current, p.asker.whole, p.asker.ownAt = true, false, 0
	return p
}

func (p *Plane) deliverFrom(id uint8) {
	q := &p.peers[id]
	p.deliver(1, q, []flow.Batch{{Lane: flow.LaneDelta, Log: q.bound, Sequence: 1, Payload: udp(1, record.OpNew).Append(nil)}})
}

// TestNewOwnerAtOnce: what a new owner says after it has said that it is one is applied, and what it said before makes the copy doubtful.
func TestNewOwnerAtOnce(t *testing.T) {
	owner := ccp.SyncStatus{Role: ccp.SyncOwner, Term: 2}
	t.Run("status first", func(t *testing.T) {
		p := still(t)
		p.takeStatus(1, &p.peers[2], owner)
		p.deliverFrom(2)
		if n := len(p.inject.lots); n != 1 || p.inject.lots[0].kind != lotDelta || !p.asker.current || p.asker.whole {
			t.Errorf("%d lots, current %v, whole %v", n, p.asker.current, p.asker.whole)
		}
	})
	t.Run("batch first", func(t *testing.T) {
		p := still(t)
		p.deliverFrom(2)
		if !p.asker.current {
			t.Error("a batch of a member that does not count makes the copy doubtful")
		}
		p.takeStatus(1, &p.peers[2], owner)
		if p.asker.source != 2 || p.asker.current || !p.asker.whole {
			t.Errorf("source %d, current %v, whole %v", p.asker.source, p.asker.current, p.asker.whole)
		}
	})
	t.Run("as a former owner", func(t *testing.T) {
		p := still(t)
		p.SetRole(true, 2)
		p.formerUntil = 0
		owner.Term = 3
		p.takeStatus(1, &p.peers[2], owner)
		p.deliverFrom(2)
		p.flushedAt = boottime()
		p.SetRole(false, 3)
		p.follow(1)
		if p.asker.source != 2 || p.asker.current || !p.asker.whole {
			t.Errorf("source %d, current %v, whole %v", p.asker.source, p.asker.current, p.asker.whole)
		}
	})
	t.Run("that has become a copy since", func(t *testing.T) {
		p := still(t)
		p.takeStatus(1, &p.peers[2], ccp.SyncStatus{Role: ccp.SyncOwner, Term: 0})
		p.deliverFrom(2)
		p.takeStatus(1, &p.peers[2], ccp.SyncStatus{Role: ccp.SyncCopy, Term: 1})
		p.takeStatus(1, &p.peers[2], owner)
		if p.asker.source != 2 || !p.asker.current {
			t.Errorf("source %d, current %v", p.asker.source, p.asker.current)
		}
	})
}

// TestStepBackUnflushed: only who has handed everything over knows that its copy is the new owner's table.
func TestStepBackUnflushed(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		p := still(t)
		p.SetRole(true, 2)
		if flushed {
			p.flushedAt = boottime()
		}
		p.SetRole(false, 3)
		if p.asker.current != flushed {
			t.Errorf("flushed %v: current %v", flushed, p.asker.current)
		}
	}
}

// TestGiveUpGoesToTheOldSource: who is asked no more is told so, and not who is asked next.
func TestGiveUpGoesToTheOldSource(t *testing.T) {
	p := still(t)
	p.do(1, p.asker.askWords(1))
	p.takeStatus(1, &p.peers[2], ccp.SyncStatus{Role: ccp.SyncOwner, Term: 2})
	if r := p.peers[1].request; r == nil || r.Want != ccp.SyncWantNothing {
		t.Errorf("the old source gets %+v", r)
	}
	if r := p.peers[2].request; r != nil {
		t.Errorf("the new source gets %+v", r)
	}
}

// TestReconfigureWhileEnding: a run that ends opens nothing.
func TestReconfigureWhileEnding(t *testing.T) {
	p := still(t)
	p.group, p.ctx = new(errgroup.Group), canceled()
	c := p.cfg
	c.Interfaces = []Interface{{Name: "lo", Index: 1, Up: true}}
	c.Services = []Service{{Name: "dns", Protocol: 17, From: 53, To: 53, Never: true}}
	must(t, p.Reconfigure(c))
	if len(p.ports) != 0 {
		t.Errorf("%d ports were opened", len(p.ports))
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestChosen: what is applied, of what comes.
func TestChosen(t *testing.T) {
	p := still(t)
	a := p.asker
	a.stage, a.session = stageRecords, 9
	bulk := &lot{kind: lotBulk, peer: 1, bound: 1, log: 9}
	expected := udp(1, record.OpNew)
	expected.Table = record.TableExpectations
	gone, here := record.Identity{Key: 1}, record.Identity{Key: 2}
	a.touch(gone.Key)
	if p.chosen(bulk, expected, gone) || !p.chosen(bulk, expected, here) {
		t.Error("of expectations in bulk, those that changes were about are to be left out, and no others")
	}
	c := p.cfg
	c.Services = []Service{{Name: "dns", Protocol: 17, From: 53, To: 53, Never: true}}
	must(t, p.Reconfigure(c))
	delta := &lot{kind: lotDelta, peer: 1, bound: 1, log: 1}
	if p.chosen(delta, udp(1, record.OpNew), here) || !p.chosen(delta, udp(1, record.OpDelete), here) {
		t.Error("of a service that is never synchronised, ends are to be applied, and nothing else")
	}
	p.count(udp(1, record.OpDelete), here, conntrack.Outcome{Result: conntrack.Deleted})
	if n := p.tally.Sum().Entries; n != 0 {
		t.Errorf("%d entries after the end of one that did not count", n)
	}
}

// TestHeldAtStepBack: what a copy's kernel has counts at once, delayed service or not.
func TestHeldAtStepBack(t *testing.T) {
	p := still(t)
	c := p.cfg
	c.Services = []Service{{Name: "dns", Protocol: 17, From: 53, To: 53, After: time.Hour}}
	must(t, p.Reconfigure(c))
	p.SetRole(true, 2)
	p.now = boottime()
	begin := func(n int) {
		r := udp(n, record.OpNew)
		id, v := p.judge.Examine(p.hasher, r)
		p.eventOf(r, id, v)
	}
	begin(1)
	if p.tally.Sum().Entries != 0 || p.held.Len() != 1 {
		t.Fatalf("%d entries, %d held", p.tally.Sum().Entries, p.held.Len())
	}
	p.SetRole(false, 3)
	begin(2)
	if n := p.tally.Sum().Entries; n != 2 || p.held.Len() != 0 {
		t.Errorf("%d entries, %d held", n, p.held.Len())
	}
}
