// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
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
	if p.askers[0].source != 1 {
		t.Fatalf("copies member %d", p.askers[0].source)
	}
	p.askers[0].abandon()
	p.askers[0].counts()
	p.askers[0].ownAt = 0
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
		if n := len(p.inject.lots); n != 1 || p.inject.lots[0].kind != lotDelta || !p.askers[0].current() || p.askers[0].whole {
			t.Errorf("%d lots, current %v, whole %v", n, p.askers[0].current(), p.askers[0].whole)
		}
	})
	t.Run("batch first", func(t *testing.T) {
		p := still(t)
		p.deliverFrom(2)
		if !p.askers[0].current() {
			t.Error("a batch of a member that does not count makes the copy doubtful")
		}
		p.takeStatus(1, &p.peers[2], owner)
		if p.askers[0].source != 2 || p.askers[0].current() || !p.askers[0].whole {
			t.Errorf("source %d, current %v, whole %v", p.askers[0].source, p.askers[0].current(), p.askers[0].whole)
		}
	})
	for _, flushed := range []bool{false, true} {
		t.Run(fmt.Sprintf("as a former owner, flushed %v", flushed), func(t *testing.T) {
			p := still(t)
			p.SetRole(true, 2)
			p.formerUntil = 0
			owner.Term = 3
			p.takeStatus(1, &p.peers[2], owner)
			p.deliverFrom(2)
			if flushed {
				p.flushedAt = boottime()
			}
			p.SetRole(false, 3)
			p.follow(1)
			if p.askers[0].source != 2 || p.askers[0].current() != flushed || !p.askers[0].whole {
				t.Errorf("source %d, current %v, whole %v", p.askers[0].source, p.askers[0].current(), p.askers[0].whole)
			}
		})
	}
	t.Run("that has become a copy since", func(t *testing.T) {
		p := still(t)
		p.takeStatus(1, &p.peers[2], ccp.SyncStatus{Role: ccp.SyncOwner, Term: 0})
		p.deliverFrom(2)
		p.takeStatus(1, &p.peers[2], ccp.SyncStatus{Role: ccp.SyncCopy, Term: 1})
		p.takeStatus(1, &p.peers[2], owner)
		if p.askers[0].source != 2 || !p.askers[0].current() {
			t.Errorf("source %d, current %v", p.askers[0].source, p.askers[0].current())
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
		if p.askers[0].current() != flushed {
			t.Errorf("flushed %v: current %v", flushed, p.askers[0].current())
		}
	}
}

// TestGiveUpGoesToTheOldSource: who is asked no more is told so, and not who is asked next.
func TestGiveUpGoesToTheOldSource(t *testing.T) {
	p := still(t)
	p.do(1, p.askers[0], p.askers[0].askWords(1))
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
	a := p.askers[0]
	a.stage, a.session = stageRecords, 9
	bulk := &lot{kind: lotBulk, peer: 1, bound: 1, log: 9}
	expected := udp(1, record.OpNew)
	expected.Table = record.TableExpectations
	gone, here := record.Identity{Key: 1}, record.Identity{Key: 2}
	a.touch(gone.Key)
	if p.chosen(bulk, expected, gone, record.Verdict{}) || !p.chosen(bulk, expected, here, record.Verdict{}) {
		t.Error("of expectations in bulk, those that changes were about are to be left out, and no others")
	}
	c := p.cfg
	c.Services = []Service{{Name: "dns", Protocol: 17, From: 53, To: 53, Never: true}}
	must(t, p.Reconfigure(c))
	delta := &lot{kind: lotDelta, peer: 1, bound: 1, log: 1}
	if p.chosen(delta, udp(1, record.OpNew), here, p.judge.Judge(udp(1, record.OpNew))) || !p.chosen(delta, udp(1, record.OpDelete), here, p.judge.Judge(udp(1, record.OpDelete))) {
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

// TestGapAtTakeover: what the former owner said before what was applied comes after all, and is taken where nothing later was about it.
func TestGapAtTakeover(t *testing.T) {
	p := still(t)
	q := &p.peers[1]
	q.receiver.Receive(1, flow.Batch{Lane: flow.LaneDelta, Log: 1, Sequence: 1, Floor: 1, Payload: udp(1, record.OpNew).Append(nil)})
	batch := func(seq uint64, r record.Record) ccp.SyncBatch {
		return ccp.SyncBatch{Lane: ccp.LaneDelta, Log: 1, Sequence: seq, Floor: 1, Records: r.Append(nil)}
	}
	p.takeBatch(1, q, batch(3, udp(2, record.OpDelete)))
	p.SetRole(true, 2)
	p.takeBatch(p.roleAt, q, batch(2, udp(2, record.OpNew)))
	p.takeBatch(p.roleAt, q, batch(4, udp(2, record.OpNew)))
	var applied []bool
	for i := range p.inject.lots {
		l := &p.inject.lots[i]
		if l.kind == lotDo {
			continue
		}
		for _, n := range []uint64{2, 9} {
			applied = append(applied, p.chosen(l, udp(int(n), record.OpNew), record.Identity{Key: n}, record.Verdict{}))
		}
		q.drained.keys.Clear()
		q.drained.keys.Add(2)
	}
	// Of batch 3 all; of 2, which is late, what 3 was not about; of 4 all.
	if want := []bool{true, true, false, true, true, true}; !slices.Equal(applied, want) {
		t.Errorf("applied: %v, want %v", applied, want)
	}
	if a, ok := q.receiver.Ack(p.roleAt + 1e9); !ok || a.Next != 5 {
		t.Errorf("acknowledges %+v, %v", a, ok)
	}
}

// TestLossIsTold: after a loss of events a copy reads everything again, also of an owner that it turns to later.
func TestLossIsTold(t *testing.T) {
	for _, id := range []uint8{1, 2} {
		p := still(t)
		s := p.peers[id].status
		s.Losses = 1
		p.takeStatus(1, &p.peers[id], s)
		if p.askers[0].whole != (id == 1) {
			t.Errorf("member %d: whole %v", id, p.askers[0].whole)
		}
		s.Role, s.Term = ccp.SyncOwner, 2
		p.takeStatus(1, &p.peers[id], s)
		if !p.askers[0].whole || !p.askers[0].current() {
			t.Errorf("member %d as the owner: whole %v, current %v", id, p.askers[0].whole, p.askers[0].current())
		}
	}
	p := still(t)
	p.SetRole(true, 2)
	p.lostEvents(1)
	if p.losses != 0 {
		t.Error("told before the table was read")
	}
	p.tellLosses(1)
	p.tellLosses(1)
	if p.losses != 1 {
		t.Errorf("%d losses", p.losses)
	}
}

// TestLossDuringARepair: what is missed while the records of a repair come is not made good by it.
func TestLossDuringARepair(t *testing.T) {
	a := asked(t, stageRecords)
	a.missed()
	a.ended(20*ms, ccp.SyncEnd{Position: 9, Complete: true})
	a.applied(30*ms, 9)
	if a.removed(40*ms, 0); !a.whole || a.current() {
		t.Errorf("whole %v, current %v", a.whole, a.current())
	}
	a = asked(t, stageWords)
	a.missed()
	if a.compared(1, &ccp.SyncBitmap{}, 0, 0); a.whole {
		a.ended(20*ms, ccp.SyncEnd{Position: 9, Complete: true})
		a.applied(30*ms, 9)
	}
	if a.removed(40*ms, 0); a.whole || !a.current() {
		t.Errorf("asked after it: whole %v, current %v", a.whole, a.current())
	}
}
