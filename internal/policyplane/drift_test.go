// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
)

func one(t *testing.T, cfg ...func(*Options)) (*world, *member) {
	w := newWorld(t, 1, cfg...)
	m := w.members[0].up()
	w.install(1, bundle(t, 1))
	w.install(2, bundle(t, 2))
	return w, m
}

func TestDriftIsTold(t *testing.T) {
	t.Parallel()
	w, m := one(t)
	m.nft("add table inet others") // not ours
	m.nft("add rule inet filter.g2 input tcp dport 23 accept")
	w.within(5*time.Second, "told", func() bool { return m.snap().Drift != "" })
	if d := m.snap().Drift; !strings.Contains(d, "inet filter chain input: + tcp dport 23 accept") || !strings.Contains(d, "nft (") {
		t.Errorf("drift %q", d)
	}
	if s := m.snap(); s.Status != StatusOK {
		t.Errorf("a rule more is no problem: %v %s", s.Status, s.Reason)
	}
	m.nft("flush chain inet filter.g2 input")
	m.nft("add rule inet filter.g2 input tcp dport 2 accept")
	m.nft("add rule inet filter.g2 input ip saddr 10.0.0.1 counter")
	w.within(5*time.Second, "as it was", func() bool { return m.snap().Drift == "" && m.saw(Restored) })
}

// TestFlushed: somebody flushes everything. Without enforcement that is a problem, and the boot filter holds until an operator acts.
func TestFlushed(t *testing.T) {
	t.Parallel()
	w, m := one(t)
	m.nft("flush ruleset")
	w.within(5*time.Second, "a problem", func() bool { s := m.snap(); return s.Status == StatusProblem && s.BootFilter })
	if got := m.tables(); got != "holdfast_boot awake" || !strings.Contains(m.snap().Reason, "inet filter") {
		t.Errorf("the kernel has %s, reason %q", got, m.snap().Reason)
	}
	if err := m.plane.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.within(5*time.Second, "in force again", func() bool { s := m.snap(); return s.Status == StatusOK && !s.BootFilter })
	if got := m.tables(); got != "filter.g2 awake" {
		t.Errorf("the kernel has %s", got)
	}
}

func TestEnforced(t *testing.T) {
	t.Parallel()
	w, m := one(t, func(o *Options) { o.Enforce = true })
	m.nft("add table inet others")
	m.nft("add chain inet others own")
	before := m.nft("list", "table", "inet", "filter.g2")
	m.nft("add rule inet filter.g2 input tcp dport 23 accept")
	w.within(5*time.Second, "put back", func() bool { return m.snap().Counters.Restored == 1 })
	if after := m.nft("list", "table", "inet", "filter.g2"); after != before {
		t.Errorf("now\n%s\nwas\n%s", after, before)
	}
	m.nft("delete table inet filter.g2")
	w.within(5*time.Second, "put back", func() bool { return m.snap().Counters.Restored == 2 && !m.snap().BootFilter })
	if got := m.tables(); got != "filter.g1 asleep, others awake, filter.g2 awake" {
		t.Errorf("the kernel has %s", got)
	}
	if m.snap().Status != StatusOK {
		t.Errorf("status %v %s", m.snap().Status, m.snap().Reason)
	}
}

// TestEnforcedWaits: who flushes again and again has no open member for it while putting back waits, nor is that member fit.
func TestEnforcedWaits(t *testing.T) {
	t.Parallel()
	w, m := one(t, func(o *Options) { o.Enforce = true })
	waits := func() bool {
		s := m.snap()
		return s.Status == StatusProblem && s.BootFilter && strings.Contains(s.Reason, "again and again")
	}
	// The first is put back at once, and so is one that a host which stands still notices late; the time grows.
	for waited, restored := 0, uint64(0); waited < 2; {
		m.nft("flush ruleset")
		w.within(5*time.Second, "a problem and the boot filter, or put back", func() bool { return waits() || m.snap().Counters.Restored > restored })
		if waits() {
			if got := m.tables(); got != "holdfast_boot awake" && waits() {
				t.Errorf("the kernel has %s", got)
			}
			waited++
		}
		w.within(10*time.Second, "put back", func() bool { s := m.snap(); return s.Counters.Restored > restored && !s.BootFilter })
		restored = m.snap().Counters.Restored
	}
	if s := m.snap(); s.Status != StatusOK || m.tables() != "filter.g2 awake" {
		t.Errorf("%v %s, the kernel has %s", s.Status, s.Reason, m.tables())
	}
}

// TestFilterGone: the table that filters is away, another one is not.
func TestFilterGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	m := w.members[0].up()
	w.install(1, bundle(t, 1, func(b *policy.Bundle) {
		b.Ruleset += "table ip nat {\n\tchain post {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n\t}\n}\n"
	}))
	m.nft("delete table ip nat.g1")
	w.within(5*time.Second, "a problem", func() bool { return m.snap().Status == StatusProblem })
	if m.snap().BootFilter {
		t.Error("what filters is there, and the boot filter is loaded")
	}
	m.nft("delete table inet filter.g1")
	w.within(5*time.Second, "the boot filter", func() bool { return m.snap().BootFilter })
	if err := m.plane.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.within(5*time.Second, "as it was", func() bool { return m.snap().Status == StatusOK && !m.snap().BootFilter })
	m.nft("delete table inet filter.g1")
	w.within(5*time.Second, "the boot filter beside the nat", func() bool { return m.tables() == "nat.g1 awake, holdfast_boot awake" })
}

// TestBootFilterFlushed: without a policy it is put back whenever somebody takes it away.
func TestBootFilterFlushed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	m := w.members[0].up()
	w.within(5*time.Second, "the boot filter", func() bool { return m.snap().BootFilter })
	m.nft("flush ruleset")
	w.within(5*time.Second, "again", func() bool { return m.tables() == "holdfast_boot awake" && m.saw(Drifted) })
	w.install(1, bundle(t, 1))
	w.within(5*time.Second, "no filter", func() bool { return m.tables() == "filter.g1 awake" })
	if err := m.plane.Unload(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.nft("flush ruleset")
	w.within(5*time.Second, "again", func() bool { return m.tables() == "holdfast_boot awake" })
}

// TestRestart: the daemon finds what it left; what somebody changed meanwhile is told, since what the kernel has is not taken for right.
func TestRestart(t *testing.T) {
	t.Parallel()
	w, m := one(t)
	m.down()
	m.nft("add rule inet filter.g2 input tcp dport 23 accept")
	m.forget()
	p, err := New(m.options())
	if err != nil {
		t.Fatal(err)
	}
	if s := p.Snapshot(); s.InForce == nil || s.InForce.Generation != 2 || s.Status != StatusOK || s.Previous.Generation != 1 {
		t.Errorf("before it runs: %+v", s)
	}
	m.up()
	w.within(5*time.Second, "told", func() bool { return strings.Contains(m.snap().Drift, "dport 23") })
	if m.saw(Installed) {
		t.Error("nothing was installed")
	}
}

// TestDefinitions: the policy in force is loaded again when what it refers to changes.
func TestDefinitions(t *testing.T) {
	t.Parallel()
	w, m := one(t)
	o := m.options()
	o.Definitions[0].Value = "10.0.0.9"
	m.plane.Reconfigure(o.Config)
	w.within(5*time.Second, "loaded again", func() bool { return m.saw(Reloaded) })
	if got := m.nft("list", "table", "inet", "filter.g2"); !strings.Contains(got, "10.0.0.9") {
		t.Errorf("in force\n%s", got)
	}
	// The same while the daemon is down.
	m.down()
	m.own = "10.0.0.10"
	m.forget()
	m.up()
	w.within(5*time.Second, "loaded again", func() bool { return m.saw(Reloaded) })
	if m.saw(Drifted) {
		t.Error("nobody changed anything")
	}
	if got := m.nft("list", "table", "inet", "filter.g2"); !strings.Contains(got, "10.0.0.10") {
		t.Errorf("in force\n%s", got)
	}
}

// TestBootFilterChanged: not only the whole of it is looked after, but each of its chains and rules.
func TestBootFilterChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	m := w.members[0].up()
	w.within(5*time.Second, "the boot filter", func() bool { return m.snap().BootFilter })
	want := m.nft("list", "table", "inet", "holdfast_boot")
	for _, harm := range []string{"flush chain inet holdfast_boot input; delete chain inet holdfast_boot input", "insert rule inet holdfast_boot forward accept"} {
		m.forget()
		m.nft(harm)
		w.within(5*time.Second, "again: "+harm, func() bool { return m.nft("list", "table", "inet", "holdfast_boot") == want && m.saw(Drifted) })
	}
}

// TestChainGone: a table whose chain filters nothing any more is as good as gone.
func TestChainGone(t *testing.T) {
	t.Parallel()
	w, m := one(t)
	for _, harm := range []string{"flush chain inet filter.g2 input; delete chain inet filter.g2 input", "flush table inet filter.g2",
		"add chain inet filter.g2 input { policy drop; }"} {
		m.nft(harm)
		w.within(5*time.Second, "a problem, and the boot filter: "+harm, func() bool { s := m.snap(); return s.Status == StatusProblem && s.BootFilter })
		if err := m.plane.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.within(5*time.Second, "put back", func() bool { s := m.snap(); return s.Status == StatusOK && !s.BootFilter && s.Drift == "" })
	}
	m.nft("flush chain inet filter.g2 input")
	w.within(5*time.Second, "the boot filter", func() bool { return m.snap().BootFilter })
	m.nft("add rule inet filter.g2 input accept")
	w.within(5*time.Second, "somebody filters by rules of his own", func() bool { s := m.snap(); return s.Status == StatusOK && !s.BootFilter && s.Drift != "" })
}

// TestTouchedWhilePrepared: another program changes what an install has loaded, before it is decided. What wakes is the policy all the same,
// and what it had become is not taken for right.
func TestTouchedWhilePrepared(t *testing.T) {
	t.Parallel()
	w, m := one(t)
	for i, harm := range []string{"flush chain inet filter.g%d input", "delete table inet filter.g%d", "add rule inet filter.g%d input tcp dport 23 accept"} {
		g := uint64(3 + i)
		b := bundle(t, g)
		w.server.order(g, b, PhasePrepare, time.Minute)
		w.replied(g, install.Prepared)
		m.nft(fmt.Sprintf(harm, g))
		w.server.order(g, b, PhaseCommit, time.Minute)
		w.replied(g, install.Committed)
		w.server.order(g, b, PhaseConfirmed, time.Minute)
		w.replied(g, install.Confirmed)
		if got := m.nft("list", "table", "inet", fmt.Sprintf("filter.g%d", g)); !strings.Contains(got, fmt.Sprintf("tcp dport %d accept", g)) || strings.Contains(got, "dport 23") {
			t.Errorf("%s: in force\n%s", harm, got)
		}
	}
}

// TestTouchedWhileAsleep: what a rollback goes back to was changed while it slept: that is told, though it was the kernel's when it woke.
func TestTouchedWhileAsleep(t *testing.T) {
	t.Parallel()
	w, m := one(t)
	m.nft("add rule inet filter.g1 input tcp dport 23 accept")
	b := bundle(t, 3)
	w.server.order(3, b, PhasePrepare, time.Minute)
	w.replied(3, install.Prepared)
	w.server.order(3, b, PhaseCommit, time.Minute)
	w.replied(3, install.Committed)
	m.nft("add rule inet filter.g2 input tcp dport 24 accept")
	w.server.order(3, b, PhaseRolledBack, time.Minute)
	w.within(10*time.Second, "back, and told", func() bool { return m.in() == 2 && strings.Contains(m.snap().Drift, "dport 24") })
}
