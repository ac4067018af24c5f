// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"

	"github.com/holdfast-project/holdfast/members"
)

// own tells the plane that this member is the owner from now on, and returns a channel that is closed once the kernel's table has all
// that came in.
func (s *syncing) own(term uint32) <-chan struct{} {
	if s.owner == term {
		return s.opening // nil, or what is waited for already
	}
	s.owner = term
	return s.plane.SetRole(true, term)
}

// disown ends that.
func (s *syncing) disown() {
	s.opening, s.openBy = nil, 0
	if s.owner != 0 {
		s.owner = 0
		s.plane.SetRole(false, 0)
	}
}

// lease has the pulse renew the lease, which opens the gate: the table first, then forwarding, then announcements.
func (n *node) lease(now int64, e members.Lease) error {
	if n.cfg.Sharing() { // whose table counts is the business of the table of slots
		return n.pulse.Lease(e.Group, e.Term, e.Alone)
	}
	applied := n.sync.own(e.Term)
	if applied == nil || n.serve.open {
		return n.pulse.Lease(e.Group, e.Term, e.Alone)
	}
	select {
	case <-applied:
		n.sync.opening = nil
		return n.pulse.Lease(e.Group, e.Term, e.Alone)
	default:
	}
	if n.sync.opening == nil {
		n.sync.openBy = now + int64(applyWithin)
	}
	n.sync.opening = applied
	return nil
}

// tableReady opens the gate that has waited for the table.
func (n *node) tableReady(late bool) {
	if n.sync.opening == nil {
		return
	}
	n.sync.opening, n.sync.openBy = nil, 0
	if late {
		n.log.Warn("the gate opens before all records that came in are in the connection table", "waited", applyWithin)
	}
	if l := n.serve.lease; l.Term != 0 {
		if err := n.pulse.Lease(l.Group, l.Term, l.Alone); err != nil {
			n.log.Error("cannot do what the state machine wants", "effect", "members.Lease", "error", err)
		}
	}
}

// flush lets the others have all of this member's records, beside the loop, and says so when they do. What is not out in time comes
// behind.
func (n *node) flush(id uint32) {
	n.tasks.start(task{name: "flush", run: func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, flushWithin)
		defer cancel()
		if err := n.sync.plane.Flush(ctx); err != nil {
			return nil // whoever asked waits no longer than this has
		}
		select {
		case n.sync.flushed <- id:
		case <-ctx.Done():
		}
		return nil
	}})
}
