// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"testing"
)

// TestOwnGateIsWaitedFor: a leader that gains does not let go who loses before its own gate has the table.
func TestOwnGateIsWaitedFor(t *testing.T) {
	each(t, 3, func(_ *testing.T, w *world) {
		w.applySlow = 60 * ms
		for range 6 {
			w.boundZero, w.boundTwin = 10*ms, 10*ms
			w.nodes[0].step(SetWeight{Member: 0, Weight: uint16(1 + w.r.n(100))})
			w.guard(others(3), 10*ms, 400*ms)
		}
	})
}

// TestOrphans: a member that hears nobody lead gives its share up.
func TestOrphans(t *testing.T) {
	w := settledWorld(t, 1, 3, ModeMulticast)
	nd := w.nodes[2]
	nd.fit = false // it does not claim, and stays as it is
	w.quiet = 1 << 62
	w.cutting(10_000*ms, func(i, j int) bool { return i == 2 || j == 2 })
	w.run(60 * ms)
	nd.leaderless = 1 << 62
	w.run(1300 * ms)
	if !nd.open() {
		t.Error("the share is closed before there was time for another leader")
	}
	w.run(500 * ms)
	if nd.open() || nd.a.share != 0 {
		t.Error("nobody leads, and the share is still open")
	}
}

// TestNumbersEnd: when numbers run out, planned changes end before failures do, and nothing wraps.
func TestNumbersEnd(t *testing.T) {
	w := settledWorld(t, 1, 3, ModeMulticast)
	l := w.nodes[0].a.lead
	jump := func(number uint32) {
		w.nodes[0].a.publish(w.now, number, ptr(l.table.Owners()), l.table.sharers())
		w.nodes[0].a.out = nil
		w.nodes[0].gate.table = l.table
		w.run(200 * ms)
		if l.stage != stageIdle {
			t.Fatalf("not settled at number %d", number)
		}
	}
	jump(lastPlanned)
	w.nodes[0].step(SetWeight{Member: 1, Weight: 1})
	w.run(300 * ms)
	if l.table.Number != lastPlanned || !l.spent {
		t.Errorf("a planned change with number %d, spent %v", l.table.Number, l.spent)
	}
	w.nodes[2].crash()
	w.run(300 * ms)
	if now, _ := w.nodes[0].gate.table.Takes(); l.table.Number != lastPlanned+1 || now[2] != 0 {
		t.Errorf("a failure is not acted on: number %d", l.table.Number)
	}
	jump(maxNumber)
	w.nodes[1].crash()
	w.run(300 * ms)
	if l.table.Number != maxNumber {
		t.Errorf("numbers wrap to %d", l.table.Number)
	}
	done(t, w)
}

func ptr[T any](x T) *T { return &x }

// TestWeightsTravel: an order given at any member counts everywhere, the newest wins, and a reload ends it.
func TestWeightsTravel(t *testing.T) {
	w := settledWorld(t, 2, 3, ModeMulticast)
	w.nodes[2].step(SetWeight{Member: 1, Weight: 50})
	w.settle(1000*ms, "an order at member 2")
	w.nodes[1].step(SetWeight{Member: 0, Weight: 0})
	w.settle(1000*ms, "an order at member 1")
	for i, nd := range w.nodes {
		if got := nd.a.Weights(); got[0] != 0 || got[1] != 50 || got[2] != 100 {
			t.Errorf("member %d has weights %v", i, got[:3])
		}
	}
	w.nodes[2].step(Configured{Weight: [Members]uint16{1, 2, 1}, Reset: true})
	w.nodes[0].step(Configured{Weight: [Members]uint16{1, 2, 1}})
	w.nodes[1].step(Configured{Weight: [Members]uint16{1, 2, 1}})
	w.settle(1000*ms, "after a reload")
	if takes, _ := w.nodes[0].a.table.Takes(); takes != [Members]int{256, 512, 256} {
		t.Errorf("after a reload: %v", takes)
	}
	done(t, w)
}

// TestReceived: which tables a member takes.
func TestReceived(t *testing.T) {
	table := func(term, number uint32, leader uint8, share uint32) *Table {
		t := &Table{Version: Version{Term: term, Number: number, Phase: PhaseCommit}, Leader: leader}
		for i := range t.Share {
			t.Share[i] = term
		}
		t.Share[1] = share
		return t
	}
	for _, tt := range []struct {
		name     string
		have     *Table
		fence    uint32
		grantee  uint8
		offered  *Table
		from     uint8
		want     bool
		wantOpen uint32
	}{
		{"the first", nil, 5, 0, table(5, 0, 0, 5), 0, true, 5},
		{"a newer one", table(5, 0, 0, 5), 5, 0, table(5, 1, 0, 5), 0, true, 5},
		{"an older one", table(5, 2, 0, 5), 5, 0, table(5, 1, 0, 5), 0, false, 5},
		{"of an older leader", table(5, 2, 0, 5), 8, 2, table(5, 3, 0, 5), 0, false, 5},
		{"of a newer leader", table(5, 2, 0, 5), 8, 2, table(8, 0, 2, 8), 2, true, 8},
		{"of a newer leader that never asked this gate", table(5, 2, 0, 5), 5, 0, table(8, 0, 2, 8), 2, true, 8},
		{"of another leader of the same term", table(5, 2, 0, 5), 5, 0, table(5, 3, 2, 5), 2, false, 5},
		{"somebody else's, passed on", table(5, 2, 0, 5), 5, 0, table(5, 3, 0, 5), 2, false, 5},
		{"below the fence, though the share is not", table(6, 2, 2, 6), 7, 0, table(5, 3, 0, 7), 0, true, 7},
		{"the share is below the fence", table(5, 2, 0, 5), 7, 0, table(5, 3, 0, 5), 0, false, 5},
		{"below the fence of who sends it, without a share", table(5, 2, 0, 5), 7, 0, table(5, 3, 0, 0), 0, true, 0},
		{"older, of the one who holds the fence", table(5, 3, 0, 7), 8, 0, table(5, 2, 0, 0), 0, false, 7},
		{"older, but the present one is void", table(6, 9, 2, 6), 7, 0, table(5, 0, 0, 7), 0, true, 7},
		{"older, and the present one is not void", table(6, 9, 2, 6), 6, 2, table(5, 0, 0, 7), 0, false, 6},
	} {
		a := New(Config{Self: 1, Members: 3, Mode: ModeMulticast, Timing: DefaultTiming(10e6)})
		if tt.have != nil {
			a.Step(1, Own{Grantee: tt.have.Leader, Fence: tt.have.Share[1]})
			a.Step(1, TableReceived{From: tt.have.Leader, Table: tt.have})
		}
		a.Step(2, Own{Fence: tt.fence, Grantee: tt.grantee})
		a.Step(3, TableReceived{From: tt.from, Table: tt.offered})
		if got := a.table == tt.offered; got != tt.want || a.share != tt.wantOpen {
			t.Errorf("%s: taken %v, share %d, want %v and %d", tt.name, got, a.share, tt.want, tt.wantOpen)
		}
	}
}

// TestUsable: who of those with a share may keep it when another member begins to lead.
func TestUsable(t *testing.T) {
	for _, tt := range []struct {
		name string
		peer Peer
		want bool
	}{
		{"has said nothing yet", Peer{ID: 1}, true},
		{"fit", Peer{ID: 1, HelloAt: 1, Fit: true}, true},
		{"leaving", Peer{ID: 1, HelloAt: 1, Leaving: true}, true},
		{"not fit", Peer{ID: 1, HelloAt: 1}, false},
		{"gave its share up", Peer{ID: 1, HelloAt: 1, Fit: true, Status: Status{Dropped: true}}, false},
		{"restarts, and its gate is open", Peer{ID: 1, HelloAt: 1, Restarting: true, Open: true}, true},
		{"restarts, and its gate is closed", Peer{ID: 1, HelloAt: 1, Restarting: true}, false},
	} {
		a := New(Config{Members: 2, Timing: DefaultTiming(10e6)})
		a.Step(1, tt.peer)
		if got := a.usable(1); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
