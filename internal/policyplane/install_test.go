// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/policy/install"
)

// upAll starts all members without a policy.
func (w *world) upAll() {
	for _, m := range w.members {
		m.up()
	}
}

func TestInstallOnThree(t *testing.T) {
	w := newWorld(t, 3)
	w.upAll()
	w.within(5*time.Second, "a problem without a policy", func() bool { return w.members[0].snap().Status == StatusProblem })
	if got := w.members[0].tables(); got != "holdfast_boot awake" {
		t.Errorf("without a policy the kernel has %s", got)
	}
	w.install(1, bundle(t, 1))
	w.install(2, bundle(t, 2))
	w.all(2)
	for _, m := range w.members {
		if got := m.tables(); got != "filter.g1 asleep, filter.g2 awake" {
			t.Errorf("%s has %s", m.name, got)
		}
		s := m.snap()
		if !s.Attempt.Confirmed || s.Highest != 2 || s.HighestAttempt != 2 || s.Previous.Generation != 1 || s.InForce.Author != "anna" || s.Frozen != 0 {
			t.Errorf("%s: %+v", m.name, s)
		}
		if !m.saw(Preparing) || !m.saw(Installed) || !m.saw(Confirmed) || !m.saw(Fetched) {
			t.Errorf("%s: events %v", m.name, m.events)
		}
	}
}

func TestOneRefuses(t *testing.T) {
	w := newWorld(t, 3)
	w.members[2].own = "not-an-address"
	w.upAll()
	b := bundle(t, 1)
	w.server.order(1, b, PhasePrepare, time.Minute)
	w.within(5*time.Second, "two prepared, one refused", func() bool {
		return w.members[0].line.last().Attempt.State == install.Prepared && w.members[1].line.last().Attempt.State == install.Prepared &&
			w.members[2].line.last().Attempt.State == install.Refused
	})
	if why := w.members[2].line.last().Attempt.Why; !strings.Contains(why, "edge.nft:5") && !strings.Contains(why, "holdfast_own") {
		t.Errorf("refused for %q", why)
	}
	w.server.order(1, b, PhaseAbort, 0)
	w.replied(1, install.Aborted)
	for _, m := range w.members {
		if got := m.tables(); got != "holdfast_boot awake" || m.in() != 0 {
			t.Errorf("%s has %s", m.name, got)
		}
	}
}
