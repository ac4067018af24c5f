// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/policy/install"
)

const flushed = "flush chain inet filter.g2 input"

// mended is what undoes flushed.
const mended = "add rule inet filter.g2 input tcp dport 2 accept; add rule inet filter.g2 input ip saddr 10.0.0.1 counter"

func enforced(o *Options) { o.Enforce = true }

// between makes a member's nft a script: $in is its input, $* its arguments, $d a directory; it runs the real one by "real".
func between(t *testing.T, script string) (d string, cfg func(*Options)) {
	t.Helper()
	d = t.TempDir()
	command := filepath.Join(d, "nft")
	text := "#!/bin/sh\nd='" + d + "'\nin=$(cat)\nreal() { printf '%s\\n' \"$in\" | nft \"$@\"; }\n" + script
	if err := os.WriteFile(command, []byte(text), 0o700); err != nil { //nolint:gosec // it is to be executed
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(d, "go"), 0o600); err != nil {
		t.Fatal(err)
	}
	return d, func(o *Options) { o.Command = command }
}

func is(d, name string) func() bool {
	return func() bool {
		_, err := os.Stat(filepath.Join(d, name))
		return err == nil
	}
}

func mark(t *testing.T, d, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// whole waits until the policy in force is as it must be, and everybody knows.
func (m *member) whole(generation uint64) {
	m.w.t.Helper()
	m.w.within(10*time.Second, m.name+" is whole", func() bool {
		s := m.snap()
		return m.in() == generation && s.Status == StatusOK && s.Drift == "" && !s.BootFilter && !strings.Contains(m.tables(), "holdfast_boot")
	})
}

// TestRestoredBeforePrepare: an install comes while a broken policy is put back, so that no watch sees the repair, and is aborted.
func TestRestoredBeforePrepare(t *testing.T) {
	t.Parallel()
	d, cfg := between(t, `case "$in" in *"delete table inet filter.g2"*) : >"$d/restoring"; read -r x <"$d/go" ;; esac
real "$@"
`)
	w, m := one(t, cfg, enforced)
	m.nft(flushed)
	w.within(5*time.Second, "it is put back", is(d, "restoring"))
	b := bundle(t, 3)
	m.forget()
	w.server.order(3, b, PhasePrepare, time.Minute)
	w.within(5*time.Second, "the prepare waits", func() bool { return m.saw(Fetched) })
	w.within(5*time.Second, "a problem: it takes long", func() bool { return m.snap().Status == StatusProblem })
	if err := os.WriteFile(filepath.Join(d, "go"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.replied(3, install.Prepared)
	w.server.order(3, b, PhaseAbort, 0)
	w.replied(3, install.Aborted)
	m.whole(2)
	if c := m.snap().Counters; c.Drifts != 1 || c.Restored != 1 {
		t.Errorf("%d drifts, %d restored", c.Drifts, c.Restored)
	}
}

// TestMendedWhilePrepared: an operator mends the policy by hand while nobody looks. What differs all the time is told once.
func TestMendedWhilePrepared(t *testing.T) {
	t.Parallel()
	_, cfg := between(t, `case "$in" in *filter.g4*) nft '`+mended+`' 2>/dev/null ;; esac
real "$@"
`)
	w, m := one(t, cfg)
	m.nft(flushed)
	w.within(5*time.Second, "a problem", func() bool { s := m.snap(); return s.Status == StatusProblem && s.BootFilter })
	abort := func(number, generation uint64) {
		b := bundle(t, generation)
		w.server.order(number, b, PhasePrepare, time.Minute)
		w.replied(number, install.Prepared)
		w.server.order(number, b, PhaseAbort, 0)
		w.replied(number, install.Aborted)
	}
	abort(3, 3)
	abort(4, 4)
	m.whole(2)
	if c := m.snap().Counters; c.Drifts != 1 || c.Restored != 1 {
		t.Errorf("%d drifts, %d restored", c.Drifts, c.Restored)
	}
}

// TestHarmedAgain: somebody does the same again right after it was put back.
func TestHarmedAgain(t *testing.T) {
	t.Parallel()
	_, cfg := between(t, `real "$@" || exit
case "$in" in *"delete table inet filter.g2"*) if ! [ -e "$d/again" ]; then : >"$d/again"; nft '`+flushed+`'; fi ;; esac
`)
	_, m := one(t, cfg, enforced)
	m.nft(flushed)
	m.w.within(5*time.Second, "put back", func() bool { return m.snap().Counters.Restored >= 1 })
	m.whole(2)
	if c := m.snap().Counters; c.Drifts != 2 {
		t.Errorf("%d drifts", c.Drifts)
	}
}

// TestUnreadBaseline: what somebody changes before the policy in force was read is not taken for the policy.
func TestUnreadBaseline(t *testing.T) {
	t.Parallel()
	d, cfg := between(t, `case "$*" in *"list table inet filter.g2"*) if [ -e "$d/hold" ]; then : >"$d/held"; read -r x <"$d/go"; fi ;; esac
case "$in" in *filter.g3*) rm -f "$d/hold"; nft add rule inet filter.g2 input tcp dport 23 accept 2>/dev/null ;; esac
real "$@"
`)
	w := newWorld(t, 1, cfg)
	m := w.members[0].up()
	mark(t, d, "hold")
	w.install(2, bundle(t, 2))
	w.within(5*time.Second, "it is being read", is(d, "held"))
	w.server.order(3, bundle(t, 3), PhasePrepare, time.Minute)
	w.replied(3, install.Prepared)
	w.within(5*time.Second, "told", func() bool { return strings.Contains(m.snap().Drift, "dport 23") })
}

// TestRestartHarmed: a daemon that comes up does not take the boot filter away from a policy that somebody took out of force.
func TestRestartHarmed(t *testing.T) {
	t.Parallel()
	d, cfg := between(t, `case "$*" in *"list table inet filter.g2"*) if nft list table inet others >/dev/null 2>&1; then
	nft list table inet holdfast_boot >/dev/null 2>&1 || : >"$d/open"; fi ;; esac
real "$@"
`)
	w, m := one(t, cfg)
	m.nft(flushed)
	w.within(5*time.Second, "the boot filter", func() bool { return m.snap().BootFilter })
	m.down()
	m.nft("add table inet others")
	m.up()
	w.within(5*time.Second, "a problem", func() bool { s := m.snap(); return s.Status == StatusProblem && s.BootFilter && s.Drift != "" })
	if is(d, "open")() {
		t.Error("the boot filter was away")
	}
	m.down()
	m.nft(mended)
	m.up()
	m.whole(2)
}

// TestUnloadFails: the policy stays in force, and the boot filter does not.
func TestUnloadFails(t *testing.T) {
	t.Parallel()
	d, cfg := between(t, `real "$@" || exit
case "$in" in *holdfast_boot*) ! [ -e "$d/fail" ] ;; esac
`)
	_, m := one(t, cfg)
	mark(t, d, "fail")
	if err := m.plane.Unload(t.Context()); err == nil {
		t.Error("it is unloaded")
	}
	m.whole(2)
}

// TestRolledBackByHand: somebody went back by hand before it was told to; the boot filter that this brought goes.
func TestRolledBackByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	m := w.members[0].up()
	w.install(1, bundle(t, 1))
	b := bundle(t, 2)
	w.server.order(2, b, PhasePrepare, time.Minute)
	w.replied(2, install.Prepared)
	w.server.order(2, b, PhaseCommit, time.Minute)
	w.replied(2, install.Committed)
	m.nft("add table inet filter.g2 { flags dormant; }; add table inet filter.g1")
	w.within(5*time.Second, "the boot filter", func() bool { return m.snap().BootFilter })
	w.server.order(2, b, PhaseRolledBack, time.Minute)
	m.whole(1)
}
