// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/bootfilter"
	"github.com/holdfast-project/holdfast/policy/install"
)

// cameFrom waits until a policy came into force from a source.
func (w *world) cameFrom(m *member, generation uint64, source string) {
	w.t.Helper()
	w.within(5*time.Second, fmt.Sprintf("%s has %d from %s", m.name, generation, source), func() bool { return m.source(generation) == source })
}

// source is where the policy in force came from, by the event.
func (m *member) source(generation uint64) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.events) - 1; i >= 0; i-- {
		if e := m.events[i]; e.Kind == Installed && e.Policy.Generation == generation {
			return e.Source
		}
	}
	return ""
}

// TestAbsentTakesFromPeer: a member was away for two installs; management is down when it comes back.
func TestAbsentTakesFromPeer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.upAll()
	w.install(1, bundle(t, 1))
	a, c := w.members[0], w.members[2]
	c.reboot()
	// Not to be compressed away: the transfer takes some frames, of which some are lost.
	w.install(2, bundle(t, 2))
	w.install(3, bundle(t, 3, noise(200<<10)))
	w.server.set(func() { w.server.away = true })
	w.mu.Lock()
	w.loss = 0.05
	w.mu.Unlock()
	c.forget()
	c.up()
	w.all(3)
	w.cameFrom(c, 3, a.name)
	if got := c.tables(); got != "filter.g3 awake" {
		t.Errorf("the kernel has %s", got)
	}
	if n := c.snap().Counters.Fetched[a.name]; n != 1 {
		t.Errorf("fetched %v", c.snap().Counters.Fetched)
	}
}

// noise makes the bundle longer by a comment that does not compress.
func noise(n int) func(*policy.Bundle) {
	return func(b *policy.Bundle) {
		var s strings.Builder
		for r := rand.New(rand.NewPCG(1, 1)); s.Len() < n; {
			s.WriteString("# ")
			for range 60 {
				s.WriteByte(byte('0' + r.IntN(64)))
			}
			s.WriteString("\n")
		}
		b.Ruleset += s.String()
	}
}

// TestAbsentTakesFromManagement: peers are not there, or have an older one.
func TestAbsentTakesFromManagement(t *testing.T) {
	t.Parallel()
	for _, peers := range []string{"away", "older"} {
		t.Run(peers, func(t *testing.T) {
			w := newWorld(t, 2)
			w.upAll()
			w.install(1, bundle(t, 1))
			a, b := w.members[0], w.members[1]
			b.reboot()
			if peers == "away" {
				a.down()
			} else {
				w.sever("a", "management", true)
			}
			w.server.order(1, bundle(t, 1), PhaseConfirmed, 0)
			w.server.has(bundle(t, 2))
			b.up()
			w.within(5*time.Second, "the newest", func() bool { return b.in() == 2 && b.source(2) == "management" })
			if peers == "older" { // then it is taken from there
				w.all(2)
				w.cameFrom(a, 2, "b")
			}
		})
	}
}

// TestOwnIsNewest: it offers it to the others.
func TestOwnIsNewest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.upAll()
	w.install(1, bundle(t, 1))
	a, b := w.members[0], w.members[1]
	a.down()
	w.install(2, bundle(t, 2))
	b.reboot()
	w.server.set(func() { w.server.away = true })
	b.forget()
	a.up()
	b.up()
	w.all(2)
	w.cameFrom(b, 2, "local")
	w.cameFrom(a, 2, "b")
}

// TestNoneAnywhere: init while it is not known, then a problem that says why, and the boot filter.
func TestNoneAnywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.server.set(func() { w.server.away = true })
	m := w.members[0]
	o := m.options()
	o.Management = &line{m: m, orders: make(chan Orders, 1)}
	p, err := New(o) // does not run, so that nothing follows
	if err != nil {
		t.Fatal(err)
	}
	if s := p.Snapshot(); s.Status != StatusInit {
		t.Errorf("at first %v", s.Status)
	}
	m.up()
	w.within(5*time.Second, "a problem", func() bool {
		s := m.snap()
		return s.Status == StatusProblem && strings.Contains(s.Reason, "connection refused") && s.BootFilter
	})
	for range 50 { // it stays one while it asks again
		w.within(5*time.Second, "a problem", func() bool { return m.snap().Status == StatusProblem })
	}
	w.server.set(func() { w.server.away = false })
	w.server.has(bundle(t, 5))
	w.within(5*time.Second, "it has it", func() bool { return m.in() == 5 && m.snap().Status == StatusOK && !m.snap().BootFilter })
}

// TestForged: management gives what it did not offer; a peer has the right one.
func TestForged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.server.set(func() { w.server.forged = true })
	w.upAll()
	a := w.members[0]
	b := bundle(t, 1)
	w.server.order(1, b, PhasePrepare, time.Minute)
	w.replied(1, install.Refused)
	w.within(5*time.Second, "told, and counted", func() bool {
		return a.saw(Forged) && a.snap().Counters.Forged > 0 && strings.Contains(a.snap().Attempt.Why, "not what was offered")
	})
	if good, staged := a.plane.loop.disk.entries(); len(good)+len(staged) > 0 {
		t.Error("it was kept")
	}
}

// TestTampered: somebody changes files while the daemon is down: they are set aside and fetched again.
func TestTampered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.upAll()
	w.install(1, bundle(t, 1))
	w.install(2, bundle(t, 2))
	w.server.set(func() { w.server.away = true })
	b := w.members[1]
	b.down()
	files, _ := filepath.Glob(filepath.Join(b.dir, "policies", "*.policy"))
	more, _ := filepath.Glob(filepath.Join(b.dir, "policies", "staged", "*.policy"))
	for _, f := range append(files, more...) {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)/2] ^= 1
		if err := os.WriteFile(f, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(b.dir, "policies", ".new-half"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(b.dir, "policies", stateFile)
	text, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, []byte(strings.Replace(string(text), `"highest": 2`, `"highest": 1`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.forget()
	b.up()
	w.within(5*time.Second, "it has the policy in force on its disk again", func() bool {
		g := b.snap().InForce
		return b.saw(Damaged) && b.saw(Fetched) && g != nil && g.Generation == 2 && g.Author == "anna"
	})
	if n := b.snap().Counters.Damaged; n < 3 {
		t.Errorf("%d files damaged, want those of both policies and the state", n)
	}
	// The same with an empty kernel.
	b.reboot()
	for _, f := range files {
		_ = os.WriteFile(f, []byte("nothing"), 0o600)
	}
	b.up()
	w.all(2)
}

// TestDamagedWhileUp: an old policy's file that is damaged while the daemon runs is set aside, and does not stand in the way of the next install.
func TestDamagedWhileUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.upAll()
	w.install(1, bundle(t, 1))
	w.install(2, bundle(t, 2))
	w.all(2)
	b := w.members[1]
	files, _ := filepath.Glob(filepath.Join(b.dir, "policies", "*.policy"))
	more, _ := filepath.Glob(filepath.Join(b.dir, "policies", "staged", "*.policy"))
	for _, f := range append(files, more...) {
		if err := os.WriteFile(f, []byte("nothing"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.install(3, bundle(t, 3))
	w.all(3)
	if !b.saw(Damaged) {
		t.Error("nothing tells of the damage")
	}
}

func TestUnload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, func(o *Options) {
		o.BootFilter = &bootfilter.Filter{SSHPort: 2222}
	})
	w.upAll()
	w.install(1, bundle(t, 1))
	m := w.members[0]
	if err := m.plane.Unload(t.Context()); err != nil {
		t.Fatal(err)
	}
	unloaded := func() bool {
		s := m.snap()
		return s.Status == StatusProblem && s.Unloaded && strings.Contains(s.Reason, "unloaded by an operator") && s.BootFilter && m.tables() == "holdfast_boot awake"
	}
	w.within(5*time.Second, "unloaded", unloaded)
	m.down()
	m.up()
	w.within(5*time.Second, "still unloaded after the daemon's restart", unloaded)
	if err := m.plane.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := m.snap(); m.in() != 1 || s.Status != StatusOK || m.tables() != "filter.g1 awake" {
		t.Errorf("after that: %+v, %s", s, m.tables())
	}
	// An install brings one, whatever was before; and none is interrupted.
	if err := m.plane.Unload(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.server.order(2, bundle(t, 2), PhasePrepare, time.Minute)
	w.replied(2, install.Prepared)
	if err := m.plane.Unload(t.Context()); !errors.Is(err, ErrInstalling) {
		t.Errorf("during an install: %v", err)
	}
	w.server.order(2, bundle(t, 2), PhaseCommit, time.Minute)
	w.server.order(2, bundle(t, 2), PhaseConfirmed, time.Minute)
	w.all(2)
	if m.snap().Unloaded {
		t.Error("still unloaded")
	}
}

func TestLoadFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, func(o *Options) { o.Management = nil })
	w.upAll()
	m := w.members[0]
	o, err := m.plane.Load(t.Context(), bundle(t, 3).Encode())
	if err != nil || o.Generation != 3 {
		t.Fatal(o, err)
	}
	w.all(3) // the other one takes it from this one
	other, err := policy.Seal(&policy.Bundle{Cluster: 8, Generation: 9, Ruleset: "table ip t {\n}\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		file []byte
		want error
	}{
		{"older", bundle(t, 2).Encode(), policy.ErrOlder},
		{"of another cluster", other.Encode(), policy.ErrCluster},
		{"the same generation with other content", bundle(t, 3, noise(100)).Encode(), policy.ErrConflict},
		{"no policy", []byte("nothing"), policy.ErrMagic},
	} {
		if _, err := m.plane.Load(t.Context(), c.file); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	if m.in() != 3 {
		t.Errorf("in force %d", m.in())
	}
}

// TestConflict: two of the same generation are told, and nobody gives way.
func TestConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, func(o *Options) { o.Management = nil })
	w.sever("a", "b", true)
	w.upAll()
	a, b := w.members[0], w.members[1]
	if _, err := a.plane.Load(t.Context(), bundle(t, 3).Encode()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.plane.Load(t.Context(), bundle(t, 3, noise(100)).Encode()); err != nil {
		t.Fatal(err)
	}
	w.sever("a", "b", false)
	w.within(5*time.Second, "told", func() bool { return a.saw(Conflict) && b.saw(Conflict) })
	if _, err := a.plane.Load(t.Context(), bundle(t, 4).Encode()); err != nil {
		t.Fatal(err)
	}
	w.all(4)
}

// TestKeyRemoved: a key that the policies here need is missed before it goes; if it goes all the same they stay on the disk, for when it comes back.
func TestKeyRemoved(t *testing.T) {
	t.Parallel()
	_, m := one(t)
	other := ed25519.NewKeyFromSeed([]byte("01234567890123456789012345678901")).Public().(ed25519.PublicKey)
	o := m.options()
	if err := m.plane.Trusts(append(o.Keys, other)); err != nil {
		t.Error(err)
	}
	if err := m.plane.Trusts([]ed25519.PublicKey{other}); err == nil || !strings.Contains(err.Error(), "generation 2") {
		t.Errorf("%v", err)
	}
	keys := o.Keys
	o.Keys = []ed25519.PublicKey{other}
	m.plane.Reconfigure(o.Config)
	m.w.within(5*time.Second, "nothing that verifies", func() bool { return len(m.snap().History) == 0 })
	o.Keys = keys
	m.plane.Reconfigure(o.Config)
	m.w.within(5*time.Second, "all again", func() bool { return len(m.snap().History) == 2 })
	if s := m.snap(); s.InForce == nil || s.InForce.Generation != 2 || s.Counters.Damaged != 0 {
		t.Errorf("%+v", s)
	}
}

// TestRollbackWithoutTheDisk: the state and the policies of the disk are lost, and an install is not confirmed: it goes back to what sleeps in
// the kernel.
func TestRollbackWithoutTheDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	m := w.members[0].up()
	w.install(1, bundle(t, 1))
	m.down()
	w.server.set(func() { w.server.orders = Orders{}; clear(w.server.files) })
	if err := os.RemoveAll(filepath.Join(m.dir, "policies")); err != nil {
		t.Fatal(err)
	}
	m.up()
	b := bundle(t, 2)
	w.server.order(2, b, PhasePrepare, 300*time.Millisecond)
	w.replied(2, install.Prepared)
	w.server.order(2, b, PhaseCommit, 300*time.Millisecond)
	w.replied(2, install.RolledBack)
	w.within(5*time.Second, "the one before is awake", func() bool { return strings.Contains(m.tables(), "filter.g1 awake") && m.in() == 1 })
}
