// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/internal/pulse"
)

// shareDo carries out what the agreement wants, in its order. A table is in force once the sync plane has put what came in into the kernel's
// connection table; what follows it waits for that.
func (n *node) shareDo(now int64, effects []steer.Effect) {
	s := &n.share
	if s.applied != nil {
		for _, e := range effects {
			switch e.(type) {
			case steer.WakeAt:
				s.perform(now, e)
			case steer.DropShare: // what closes waits for nothing, and nothing that was wanted before opens again
				s.doing = slices.DeleteFunc(s.doing, func(e steer.Effect) bool { _, opens := e.(steer.Share); return opens })
				s.perform(now, e)
			default:
				s.doing = append(s.doing, e)
			}
		}
		return
	}
	for i, e := range effects {
		if a, is := e.(steer.Apply); is {
			if s.applied = s.own(a.Table); s.applied != nil {
				s.doneBy = now + int64(applyWithin)
				n.shareDo(now, effects[i:])
				return
			}
		}
		s.perform(now, e)
	}
	n.shareInForce(now)
}

// shareInForce tells the agreement which table is in force now, if it does not know: a leader goes on when its own gate has it.
func (n *node) shareInForce(now int64) {
	if s := &n.share; s.agreement != nil && s.applied == nil && s.table.Version != s.told.Version {
		n.shareStep(now)
	}
}

// ownSlots tells the sync plane who takes what, and returns a channel that is closed once what came in before is in the kernel's table; nil if
// it is already.
func (n *node) ownSlots(t *steer.Table) <-chan struct{} {
	applied := n.sync.plane.SetOwners(ownersOf(t, n.local.Self.ID, n.shareCarries(t)))
	select {
	case <-applied:
		return nil
	default:
		return applied
	}
}

// shareCarries reports whether this member carries traffic by a table, or may still: then what its kernel knows is news to the others.
func (n *node) shareCarries(t *steer.Table) bool {
	s, now := &n.share, bpf.Boottime()
	return t.Share[n.local.Self.ID] != 0 && (t != s.table || !s.gaveUp) || n.words.ShareOpen(now) || n.words.ShareLinger() > now
}

// closeAfter is how long after a share was dropped it is looked whether the gate still carries: it lingers a little longer than that.
const closeAfter = 250 * time.Millisecond

// closes tells the sync plane that nothing is carried any more, once that is so: there may be no further table that would.
func (s *sharing) closes(now int64, carries bool) {
	if carries || s.applied != nil {
		s.closeAt = now + int64(closeAfter)
		return
	}
	s.closeAt = 0
	s.own(s.table)
}

// reopens takes back that the share was dropped: what the kernel knows is news to the others again.
func (s *sharing) reopens() {
	if s.closeAt = 0; s.gaveUp {
		s.gaveUp = false
		s.own(s.table)
	}
}

// shareApplied goes on with what has waited for the sync plane.
func (n *node) shareApplied(late bool) {
	s := &n.share
	doing := s.doing
	s.doing, s.applied, s.doneBy = nil, nil, 0
	if late {
		n.log.Warn("a table of slots is taken before all records that came in are in the connection table", "waited", applyWithin)
	}
	now := bpf.Boottime()
	for i, e := range doing {
		if _, is := e.(steer.Apply); is && i > 0 { // another one, which may have to wait again
			n.shareDo(now, doing[i:])
			return
		}
		s.perform(now, e)
	}
	n.shareInForce(now)
}

// sharePerform carries out one effect. What fails is said; the agreement learns of it by what it does not hear. When a table has not come into
// the gate, neither its share is opened nor its slots are passed on: HELLOs go on telling of the older one, and the leader asks for the share.
func (n *node) sharePerform(now int64, e steer.Effect) {
	s := &n.share
	var err error
	switch e := e.(type) {
	case steer.DropShare:
		s.share, s.gaveUp, s.closeAt = 0, true, now+int64(closeAfter)
		err = n.pulse.DropShare(e.InOrder)
	case steer.Apply:
		if err = n.takeTable(now, e.Table); err == nil && s.share != 0 && s.share == e.Table.Share[n.local.Self.ID] {
			err = n.pulse.Share(s.share, e.Table.Number) // one that expires is given back by a newer table only
		}
	case steer.Drain:
		s.drained = e.On && s.inForce()
		n.gate.SetDrained(s.drained)
	case steer.Share:
		if !s.inForce() {
			break
		}
		s.share = e.Term
		s.reopens()
		err = n.pulse.Share(e.Term, s.table.Number)
	case steer.Flush:
		if s.inForce() {
			n.shareFlush(e.Version)
		}
	case steer.SendTable:
		w := tableToWire(e.Table, s.key)
		err = n.wire.sendSlots(now, e.To, &w)
	case steer.YieldShare:
		kind := ccp.YieldShare
		if e.Keeps {
			kind = ccp.YieldClaim
		}
		err = n.pulse.Yield(pulse.YieldRequest{Target: e.To, Group: gateway, Term: e.Term, Kind: kind})
	case steer.Restarted:
		if n.leave == staying { // else the word is for the daemon that follows
			n.words.SetRestarting(0)
		}
	case steer.Tell:
		err = n.wire.sendHello(now)
	case steer.Record:
		n.shareRecord(now, e)
	case steer.WakeAt:
		s.wakeAt = e.At
	}
	if err != nil {
		n.log.Error("cannot do what the agreement about slots wants", "effect", fmt.Sprintf("%T", e), "error", err)
	}
}

// inForce reports whether the gate goes by the agreement's table: by that which it was found with, or the newest.
func (s *sharing) inForce() bool {
	t := s.agreement.Table()
	return t.Leader == steer.Nobody || s.table.Version == t.Version
}

// takeTable puts a table into the gate, with the secret that came with it.
func (n *node) takeTable(now int64, t *steer.Table) error {
	s := &n.share
	key, came := s.offered[t]
	delete(s.offered, t)
	if was, rules := s.key, s.rules; came && key != was {
		s.key = key
		if err := n.steer(); err != nil {
			s.key, s.rules = was, rules
			return err
		}
		s.own(t) // by the new rules
	}
	if err := n.gate.SetSlots(tableToGate(t)); err != nil {
		return err
	}
	s.table, s.tableAt = t, now
	n.sync.state = n.syncState() // by which what HELLOs say next is judged
	return nil
}

// shareFlush lets the others have all of this member's records, beside the loop, and says whether they do.
func (n *node) shareFlush(v steer.Version) {
	n.tasks.start(task{name: "flush slots", run: func(ctx context.Context) error {
		within, cancel := context.WithTimeout(ctx, flushWithin)
		defer cancel()
		done := steer.FlushDone{Version: v, Complete: n.sync.plane.Flush(within) == nil}
		select {
		case n.share.flushed <- done:
		case <-ctx.Done():
		}
		return nil
	}})
}
