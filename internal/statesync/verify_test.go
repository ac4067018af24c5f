// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

func TestDifferences(t *testing.T) {
	local := func() []entry { return []entry{{9, 1}, {1, 1}, {2, 1}, {2, 1}, {4, 4}} }
	remote := func() []entry { return []entry{{4, 5}, {3, 1}, {9, 1}, {2, 1}, {8, 0}} }
	first := differences(local(), remote(), nil, true)
	if want := []difference{{1, 0}, {3, 1}, {4, 2}, {8, 1}}; !slices.Equal(first, want) {
		t.Fatalf("%v, want %v", first, want)
	}
	// One goes on differing, one differs otherwise, one came, one went.
	again := differences([]entry{{1, 1}, {7, 7}, {8, 1}}, nil, first, false)
	if want := []difference{{1, 0}}; !slices.Equal(again, want) {
		t.Fatalf("%v, want %v", again, want)
	}
	if none := differences(local(), remote(), nil, false); len(none) != 0 {
		t.Fatalf("what was equal before differs: %v", none)
	}
}

// TestVerifyIsBounded: of entries that differ not more are put into words than are shown, and a peer cannot fill the memory.
func TestVerifyIsBounded(t *testing.T) {
	var differ []difference
	for k := range uint64(3000) {
		differ = append(differ, difference{k, uint8(k % 2)})
	}
	if n := len(toExplain(differ)); n != 4*verifyLines {
		t.Errorf("%d of %d differences are put into words", n, len(differ))
	}
	v := verify{running: true, most: 3, done: make(chan error, 1)}
	for k := range uint64(1000) {
		v.listed(udp(int(k), record.OpNew), record.Identity{Key: k})
	}
	if len(v.remote) != 3 || len(v.done) != 1 {
		t.Errorf("%d entries kept, %d errors", len(v.remote), len(v.done))
	}
}

// TestVerifyEnds: the peer is told that nothing is wanted any more.
func TestVerifyEnds(t *testing.T) {
	p := newPure(t)
	q := &p.peers[1]
	p.bind(boottime(), q, 77)
	p.verify = verify{running: true, peer: 1, session: 9, done: make(chan error, 1)}
	q.bulkIn.Open(boottime(), 9)
	p.endVerify()
	if q.request == nil || q.request.Log != 9 || q.request.Want != ccp.SyncWantNothing || p.verify.running {
		t.Errorf("request %+v", q.request)
	}
}

// TestVerifyNames: what one side has and the other has not is shown as the conntrack tool would.
func TestVerifyNames(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.ready()
	w.members[0].flows(record.OpNew, 0, 300)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(300))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var r Report
	for range 5 { // a repair may come in between, and makes good what was broken
		w.members[1].flows(record.OpNew, 1000, 1150)
		var err error
		if r, err = w.members[0].plane.Verify(ctx, 1); err == nil && r.Counted[1] == 150 {
			break
		}
		t.Logf("%v %v", r.Counted, err)
	}
	if r.Counted != [3]uint64{0, 150, 0} || len(r.OnlyRemote) != verifyLines || !strings.Contains(r.OnlyRemote[0], "dst=198.51.100.7") {
		t.Errorf("%v, %d lines: %.1q", r.Counted, len(r.OnlyRemote), r.OnlyRemote)
	}
}
