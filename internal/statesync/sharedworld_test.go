// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// bySourcePort sorts connections as the tests here do: those without ports by the end of the source's address, a quarter of the buckets apart.
var bySourcePort = Slots{Rules: 0x5107, Of: func(o record.Tuple) uint16 {
	if o.SrcPort == 0 {
		b := o.Src.AsSlice()
		return uint16(b[len(b)-1]) * 256 % record.Buckets
	}
	return o.SrcPort % record.Buckets
}}

// sharedWorld is one of members that share the load.
type sharedWorld struct {
	*world
	mu    sync.Mutex
	table Owners
	next  uint8 // whom moving buckets go to
}

// newShared makes members with planes that run; the first so many take equal parts.
func newShared(t *testing.T, members, takers, links int, options ...option) *sharedWorld {
	t.Helper()
	w := &sharedWorld{world: newWorld(t, members, links, append(options, func(c *Config) { c.EtherType = sharingType })...)}
	w.table.Term, w.table.Commit = 7, true
	for b := range w.table.Takes {
		w.table.Takes[b] = uint8(b * takers / record.Buckets)
	}
	w.publish()
	return w
}

// publish tells all that run of the table.
func (w *sharedWorld) publish() {
	for _, m := range w.members {
		w.tell(m)
	}
	w.hello()
}

func (w *sharedWorld) tell(m *member) {
	if m.stop != nil {
		o := w.table
		o.Sharing = slices.Contains(o.Takes[:], m.id)
		if m.id == w.next {
			o.Coming = o.Moving
		}
		<-m.plane.SetOwners(o)
	}
}

// taker is who a connection's packets come to: of those that begin in a bucket that moves, its next owner.
func (w *sharedWorld) taker(n int, op record.Op) *member {
	if b := n % record.Buckets; !w.table.Moving[b] || op != record.OpNew {
		return w.members[w.table.Takes[b]]
	}
	return w.members[w.next]
}

// traffic gives each connection from..to-1 to the kernel of its taker.
func (w *sharedWorld) traffic(op record.Op, from, to int) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	of := map[*member][]record.Record{}
	for n := from; n < to; n++ {
		m := w.taker(n, op)
		of[m] = append(of[m], udp(n, op))
	}
	for m, rs := range of {
		m.gets(rs)
	}
}

// gets gives records to the kernel, as traffic would.
func (m *member) gets(rs []record.Record) {
	m.t.Helper()
	out := make([]conntrack.Outcome, len(rs))
	must(m.t, m.table.Apply(rs, out))
	for i, o := range out {
		if o.Result == conntrack.Refused {
			m.t.Errorf("flow: %v %s", o.Errno, record.Text(rs[i]))
		}
	}
}

// move gives buckets to another member, as the slot tables of a planned change do.
func (w *sharedWorld) move(to uint8, which func(b int, taker uint8) bool) {
	w.t.Helper()
	w.mu.Lock()
	w.next = to
	w.table.Number++
	w.table.Commit = false
	losers := map[uint8]bool{}
	for b, taker := range w.table.Takes {
		if taker != to && which(b, taker) {
			w.table.Moving[b] = true
			losers[taker] = true
		}
	}
	w.publish()
	w.mu.Unlock()
	<-time.After(30 * time.Millisecond)
	w.mu.Lock() // from the flush on nothing comes to who gives buckets away
	defer w.mu.Unlock()
	for id := range losers {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := w.members[id].plane.Flush(ctx); err != nil {
			w.t.Errorf("flush: %v", err)
		}
		cancel()
	}
	w.table.Commit = true
	for b, moving := range w.table.Moving {
		if moving {
			w.table.Takes[b], w.table.Moving[b] = to, false
		}
	}
	w.publish()
}

// reassign has a member lose all, without a word of its own; others share its buckets.
func (w *sharedWorld) reassign(id uint8, to ...uint8) {
	w.table.Number++
	n := 0
	for b, taker := range w.table.Takes {
		if taker == id {
			w.table.Takes[b] = to[n%len(to)]
			n++
		}
	}
}

func (w *sharedWorld) repairs() (all []uint64) {
	for _, m := range w.members {
		all = append(all, m.plane.Stats().Repairs)
	}
	return all
}

func (w *sharedWorld) differences() (n uint64) {
	for _, m := range w.members {
		n += m.plane.Stats().Differences
	}
	return n
}

// compared waits until every member has found the buckets of every other one that owns some equal.
func (w *sharedWorld) compared() {
	w.t.Helper()
	w.eventually("all have compared what others own", 12*time.Second, func() bool {
		for _, m := range w.members {
			if m.stop == nil {
				continue
			}
			for _, q := range m.plane.State().Peers {
				if q.Buckets > 0 && w.members[q.ID].stop != nil && !q.Equal {
					return false
				}
			}
		}
		return true
	})
}

// short is how many entries have their protocol's time-out.
func (m *member) short() (n int) {
	for _, s := range m.timeouts() {
		if s <= 600 {
			n++
		}
	}
	return n
}
