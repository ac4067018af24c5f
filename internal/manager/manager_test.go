// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// until waits for something that is about to happen.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("not within 30 s: ", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func run(t *testing.T, o Options) *Manager {
	t.Helper()
	o.Times = Times{First: 20 * time.Millisecond, Longest: 50 * time.Millisecond, Look: 20 * time.Millisecond}
	m, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestEnroll(t *testing.T) {
	authority := newAuthority(t)
	f := serve(t, authority, time.Now().Add(-time.Hour))
	dir := filepath.Join(t.TempDir(), "management")
	if _, err := ReadIdentity(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	dead := "https://127.0.0.1:1"
	e, err := Enroll(context.Background(), EnrollOptions{URLs: []string{dead, f.url}, Token: f.grant(), Dir: dir, Cluster: "edge", Member: "gw-a"})
	if err != nil || e.Cluster != "edge" || e.Member != "gw-a" || e.URL != f.url {
		t.Fatal(e, err)
	}
	if id, err := ReadIdentity(dir); err != nil || id != e.Identity {
		t.Error(id, err)
	}
	name := filepath.Join(dir, identityFile)
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	other := newAuthority(t)
	foreign := api.Grant{Token: strings.Split(f.grant(), ".")[0], Fingerprint: api.Fingerprint(other.Certificate())}.String()
	for what, c := range map[string]struct {
		o    EnrollOptions
		kind Kind
		text string
	}{
		"again":                {EnrollOptions{Token: f.grant()}, "", "enrolled already"},
		"no token":             {EnrollOptions{Token: "x", Replace: true}, Token, "TOKEN.FINGERPRINT"},
		"another authority":    {EnrollOptions{Token: foreign, Replace: true}, Untrusted, "check the address and the token"},
		"another member":       {EnrollOptions{Token: f.grant(), Replace: true, Member: "gw-b"}, "", "for member gw-a"},
		"nobody there":         {EnrollOptions{Token: f.grant(), Replace: true, URLs: []string{dead}}, Unreachable, "refused"},
		"no server in options": {EnrollOptions{Token: f.grant(), Replace: true, URLs: []string{}}, "", "no management server"},
	} {
		f.mu.Lock()
		f.token = strings.Split(c.o.Token, ".")[0]
		f.mu.Unlock()
		if c.o.Dir = dir; c.o.URLs == nil {
			c.o.URLs = []string{f.url}
		}
		_, err := Enroll(context.Background(), c.o)
		if err == nil || KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v (%s)", what, err, KindOf(err))
		}
		if what == "another authority" {
			f.mu.Lock()
			if f.token == "" {
				t.Error("the token was sent to a server of another authority")
			}
			f.mu.Unlock()
		}
	}
	used := f.grant()
	f.mu.Lock()
	f.token = "another"
	f.mu.Unlock()
	if _, err := Enroll(context.Background(), EnrollOptions{URLs: []string{f.url}, Token: used, Dir: dir, Replace: true}); KindOf(err) != Token {
		t.Error(err)
	}
	if after, err := os.ReadFile(name); err != nil || string(after) != string(before) {
		t.Error("what failed has changed the identity", err)
	}
	if err := os.Chmod(name, 0o640); err != nil { //nolint:gosec // that is what is tested
		t.Fatal(err)
	}
	if _, err := ReadIdentity(dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Error(err)
	}
}

// Reports go out, orders come in, what is urgent goes at once, and a change of the policy goes over a new connection.
func TestReports(t *testing.T) {
	f := serve(t, newAuthority(t), time.Now().Add(-time.Hour))
	dir := t.TempDir()
	m := run(t, Options{URLs: []string{"https://127.0.0.1:1", f.url}, Dir: dir, Cluster: "edge", Member: "gw-a"})
	if ok, why := m.Reachable(); ok || !strings.Contains(why, "not enrolled: holdfast enroll") {
		t.Error(ok, why)
	}
	if _, err := m.Fetch(context.Background(), policy.Offer{}); KindOf(err) != NotEnrolled {
		t.Error(err)
	}
	f.order(api.Orders{Serial: 5, Current: api.Offer{Generation: 3, Digest: policy.Digest{3}}})
	m.Report(policyplane.Report{Member: policyplane.Description{State: "ACTIVE"}, Peers: []policyplane.PeerReport{{Name: "gw-b", Heard: true, Generation: 2}}})
	f.enrol(dir)
	if o := <-m.Orders(); o.Current.Generation != 3 || o.Current.Source != "management" || o.Attempt.Number != 0 {
		t.Error(o)
	}
	if ok, why := m.Reachable(); !ok || why != "" {
		t.Error(ok, why)
	}
	until(t, "a report that has seen the orders", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		r := f.reports[len(f.reports)-1]
		return r.Serial == 5 && r.State == "ACTIVE" && len(r.Peers) == 1 && r.Run != ""
	})
	f.order(api.Orders{Serial: 6, Attempt: &api.Order{Number: 9, Policy: api.Offer{Generation: 4}, Phase: api.PhaseCommit, ConfirmWithinMs: 33000}})
	for o := range m.Orders() {
		if a := o.Attempt; a.Number == 9 {
			if a.Phase != policyplane.PhaseCommit || a.ConfirmWithin != 33*time.Second || a.Policy.Generation != 4 {
				t.Error(a)
			}
			break
		}
	}
	f.mu.Lock()
	conns := len(f.conns)
	f.mu.Unlock()
	m.Report(policyplane.Report{
		InForce: policy.Offer{Generation: 4, Digest: policy.Digest{4}}, Attempt: policyplane.Attempt{Number: 9, State: install.RollingBack, Why: "a\xffb"},
	})
	until(t, "the commit over a new connection", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		r := f.reports[len(f.reports)-1]
		return r.InForce.Generation == 4 && r.Attempt.State == "rolling-back" && r.Attempt.Why == "a?b" && len(f.conns) > conns
	})
	if b, err := m.Fetch(context.Background(), policy.Offer{Generation: 3, Digest: digestOf(3)}); err != nil || string(b) != "a policy" {
		t.Error(string(b), err)
	}
	if _, err := m.Fetch(context.Background(), policy.Offer{Generation: 4}); KindOf(err) != Declined && !strings.Contains(err.Error(), "/v1/member/policies/4/") {
		t.Error(err)
	}
	if id, ok := m.Identity(); !ok || id.Member != "gw-a" {
		t.Error(id, ok)
	}
}

// News go beside a report that is held, over a second connection that serves for all of them, and each says that it is newer.
func TestNews(t *testing.T) {
	f := serve(t, newAuthority(t), time.Now().Add(-time.Hour))
	dir := t.TempDir()
	f.enrol(dir)
	m := run(t, Options{URLs: []string{f.url}, Dir: dir})
	f.mu.Lock()
	enrolled := len(f.conns)
	f.mu.Unlock()
	const news = 12
	for i := range news {
		state := strings.Repeat("x", i+1)
		m.Report(policyplane.Report{Member: policyplane.Description{State: state}})
		until(t, "news "+state, func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return len(f.reports) > 0 && f.reports[len(f.reports)-1].State == state
		})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var last api.Report
	for _, r := range f.reports {
		if r.Seq < last.Seq || r.Seq == last.Seq && r.State != last.State {
			t.Errorf("%q has the number %d, after %q with %d", r.State, r.Seq, last.State, last.Seq)
		}
		last = r
	}
	// One more is taken where an older report is not answered in time.
	if n := len(f.conns) - enrolled; n >= news/2 {
		t.Errorf("%d connections for %d news", n, news)
	}
}

func digestOf(b byte) (d policy.Digest) {
	for i := range d {
		d[i] = b
	}
	return d
}

// What is wrong with certificates is told by its kind, and ends when it is put right.
func TestCertificates(t *testing.T) {
	authority := newAuthority(t)
	f := serve(t, authority, time.Now().Add(-time.Hour))
	early := serve(t, authority, time.Now().Add(time.Hour))
	stranger := serve(t, newAuthority(t), time.Now().Add(-time.Hour))
	dir := t.TempDir()
	f.enrol(dir)
	for _, c := range []struct {
		url  string
		text string
	}{{early.url, "set the clock"}, {stranger.url, "enrol again"}, {"https://127.0.0.1:1", "refused"}} {
		m := run(t, Options{URLs: []string{c.url}, Dir: dir})
		m.Report(policyplane.Report{})
		until(t, c.text, func() bool {
			ok, why := m.Reachable()
			return !ok && strings.Contains(why, c.text) && strings.Count(why, "https://") == 1
		})
	}
	if _, err := Enroll(context.Background(), EnrollOptions{URLs: []string{early.url}, Token: f.grant(), Dir: t.TempDir()}); KindOf(err) != Clock {
		t.Error(err)
	}
	m := run(t, Options{URLs: []string{f.url}, Dir: dir})
	m.Report(policyplane.Report{})
	until(t, "an answer", func() bool { ok, _ := m.Reachable(); return ok })
	f.say(&api.Error{Code: api.CodeCertificateRevoked, What: "the certificate is revoked", WayOut: "enrol again"})
	until(t, "the revocation", func() bool {
		ok, why := m.Reachable()
		return !ok && strings.Contains(why, "revoked; enrol again")
	})
	e := f.enrol(dir)
	until(t, "the file to be read", func() bool { id, _ := m.Identity(); return id.Serial == e.Serial })
	f.say(nil)
	until(t, "the new certificate", func() bool {
		id, _ := m.Identity()
		ok, _ := m.Reachable()
		return ok && id.Serial == e.Serial
	})
}

// TestIdentityWithAWrongMode: it is taken once its mode is right, which changes no date of it.
func TestIdentityWithAWrongMode(t *testing.T) {
	f := serve(t, newAuthority(t), time.Now().Add(-time.Hour))
	dir := t.TempDir()
	f.enrol(dir)
	m, err := Open(Options{URLs: []string{f.url}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := f.enrol(dir)
	file := filepath.Join(dir, identityFile)
	for _, mode := range []os.FileMode{0o644, 0o600} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		m.load()
	}
	if id, ok := m.Identity(); !ok || id.Serial != want.Serial {
		t.Errorf("goes on as %+v, %v, and the certificate there is %s", id, ok, want.Serial)
	}
}

// A certificate of which two thirds are over is renewed, over new connections, and kept.
func TestRenewal(t *testing.T) {
	f := serve(t, newAuthority(t), time.Now().Add(-time.Hour))
	dir := t.TempDir()
	f.life = 10 * time.Minute // 50 minutes of the hour are over
	old := f.enrol(dir)
	if !old.RenewAt.Before(time.Now()) {
		t.Fatal(old.RenewAt)
	}
	f.mu.Lock()
	f.life = time.Hour
	f.mu.Unlock()
	m := run(t, Options{URLs: []string{f.url}, Dir: dir})
	m.Report(policyplane.Report{})
	until(t, "the renewal", func() bool {
		id, err := ReadIdentity(dir)
		f.mu.Lock()
		defer f.mu.Unlock()
		return err == nil && id.Serial != old.Serial && len(f.serials) > 0 && f.serials[len(f.serials)-1] == id.Serial
	})
}

// A clock that is wrong, here or there, costs no certificate that is good: one that is not valid yet does not take its place, and one that
// would have to be renewed at once is not, again and again.
func TestRenewalByAnotherClock(t *testing.T) {
	f := serve(t, newAuthority(t), time.Now().Add(-time.Hour))
	dir := t.TempDir()
	f.life = 10 * time.Minute
	old := f.enrol(dir)
	m, err := Open(Options{URLs: []string{f.url}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := m.client()
	defer c.close()
	l := &loop{m: m}
	f.mu.Lock()
	f.life = 3 * time.Hour // from in two hours on
	f.mu.Unlock()
	l.renewal(t.Context(), c, 0)
	if id, err := ReadIdentity(dir); err != nil || id.Serial != old.Serial || time.Until(l.renew) > 2*time.Minute {
		t.Errorf("%+v, %v, renewed in %v", id, err, time.Until(l.renew))
	}
	f.mu.Lock()
	f.life = 10 * time.Minute // by this clock two thirds are over
	f.mu.Unlock()
	l.renew = time.Time{}
	l.renewal(t.Context(), c, 0)
	if id, err := ReadIdentity(dir); err != nil || id.Serial == old.Serial || time.Until(l.renew) < renewAgain/2 {
		t.Errorf("%+v, %v, renewed in %v", id, err, time.Until(l.renew))
	}
	if next, _ := m.client(); next != c {
		next.close()
	}
}

func TestPause(t *testing.T) {
	times := Times{}.filled()
	for rounds, want := range map[int]time.Duration{1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 3: 800 * time.Millisecond, 60: 5 * time.Second} {
		if low, high := pause(times, rounds, 0), pause(times, rounds, 1); low != want/2 || high != want/2+want {
			t.Error(rounds, low, high)
		}
	}
}
