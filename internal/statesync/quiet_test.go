// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// TestDumpEndsBetweenApplies: what an Apply has created, and a dump has seen, is counted once, though its outcome is counted after the dump.
func TestDumpEndsBetweenApplies(t *testing.T) {
	p := newPure(t)
	id, err := p.hasher.Identify(udp(5, record.OpNew))
	must(t, err)
	p.tally.BeginDump(1)
	p.inject.busy = true // the entry is in the kernel's table, and its outcome not counted
	p.tally.Seen(id)
	p.whenQuiet(func(now int64) { p.endTally(now, keySet{}, 0) })
	p.tally.Add(id)
	if len(p.inject.lots) != 1 || p.made != 0 {
		t.Fatal("the dump ended while something was applied")
	}
	p.injectLot(&p.inject.lots[0], nil)
	if n := p.tally.Sum().Entries; n != 1 || p.made != 1 {
		t.Errorf("%d entries after %d dumps, want 1 after 1", n, p.made)
	}
}

// TestAllWhoWaitForEventsHear: one who waits does not take the signal of another.
func TestAllWhoWaitForEventsHear(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1)
	w.ready()
	p := w.members[0].plane
	done := make(chan error, 20)
	for range cap(done) {
		go func() { done <- p.drainEvents(t.Context()) }()
	}
	for range cap(done) {
		must(t, <-done)
	}
}
