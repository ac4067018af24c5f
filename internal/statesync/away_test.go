// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// strict counts TCP connections whose windows the kernel minds.
func (m *member) strict() (n int) {
	m.t.Helper()
	must(m.t, m.table.Dump(context.Background(), conntrack.DumpOptions{}, func(msg conntrack.Message) error {
		if bytes.Contains(msg.Payload, attr(4, []byte{0, 0})) { // CTA_PROTOINFO_TCP_FLAGS_ORIGINAL
			n++
		}
		return nil
	}))
	return n
}

// minds gives the kernel a TCP connection as if it had seen it begin.
func (m *member) minds(n int) {
	m.t.Helper()
	r := tcp(n, time.Hour)
	m.gets([]record.Record{r})
	r.Op = record.OpUpdate
	i := bytes.Index(r.Attrs, attr(4, []byte{10, 10}))
	r.Attrs = bytes.Clone(r.Attrs)
	copy(r.Attrs[i:], append(attr(4, []byte{0, 10}), attr(5, []byte{0, 10})...))
	m.gets([]record.Record{r})
	if got := m.strict(); got != 1 {
		m.t.Fatalf("%d connections whose windows count: this test shows nothing", got)
	}
}

// TestBackAtOnce: connections that go on elsewhere for a moment, and come back before this member's table was made a copy of theirs, are not held to
// what its kernel has seen of them.
func TestBackAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1)
	w.ready()
	w.members[0].minds(100)
	p := w.members[0].plane
	p.mu.Lock()
	p.stepBack(boottime())
	p.takeOver(boottime())
	p.mu.Unlock()
	w.eventually("nothing is minded", 5*time.Second, func() bool { return w.members[0].strict() == 0 })
}

// TestBucketsBackAtOnce: likewise in load sharing.
func TestBucketsBackAtOnce(t *testing.T) {
	t.Parallel()
	w := newShared(t, 2, 2, 1)
	w.ready()
	w.members[0].minds(100)
	gone, back := w.table, w.table
	gone.Number, gone.Sharing, gone.Takes[100] = 1, true, 1
	back.Number, back.Sharing = 2, true
	p := w.members[0].plane
	p.mu.Lock()
	p.takeOwners(boottime(), &gone)
	p.takeOwners(boottime(), &back)
	p.mu.Unlock()
	w.eventually("nothing is minded", 5*time.Second, func() bool { return w.members[0].strict() == 0 })
}
