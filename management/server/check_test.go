// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/policy/nft"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// checkedBy makes a server whose check is c: one that runs must not get another.
func checkedBy(c Checker) func(*Options) { return func(o *Options) { o.Check = c } }

// TestKernelCheck has rulesets loaded for real, with what deploy/cluster.yaml's like defines.
func TestKernelCheck(t *testing.T) {
	labtest.Require(t)
	if err := TryCheck(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := newStand(t, checkedBy(KernelCheck))
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	q := api.InstallRequest{File: "edge.nft", InstallOptions: api.InstallOptions{CheckOnly: true}}
	for _, c := range []struct{ name, rule, detail string }{
		{"good", "iifname $holdfast_dev_inside ip saddr $holdfast_net4_inside accept", ""},
		{"what nft does not know", "ip saddr 10.0.0.0/33 accept", "edge.nft:4"},
		{"on one member only", "ip saddr $holdfast_own4_inside . tcp dport accept", "(on gw-a, gw-b)"},
	} {
		q.Ruleset = strings.Replace(rulesetText, "ct state", c.rule+"\n\t\tct state", 1)
		lines, err := s.install(admin, "installs", q)
		if c.detail == "" {
			if err != nil || len(lines) != 1 || len(lines[0].Checked.Members) != 2 {
				t.Errorf("%s: %+v, %v", c.name, lines, err)
			}
			continue
		}
		var e *api.Error
		if !errors.As(err, &e) || e.Code != api.CodeRuleset || !strings.Contains(strings.Join(e.Details, "\n"), c.detail) {
			t.Errorf("%s: %v %+v", c.name, err, e)
		}
	}
}

// Members for which a ruleset is the same have one trial of it, others one each.
func TestTrials(t *testing.T) {
	var tried atomic.Int32
	s := newStand(t, checkedBy(func(context.Context, *nft.Policy, []nft.Link) error {
		tried.Add(1)
		return &nft.RulesetError{Problems: []nft.Problem{{File: "edge.nft", Line: 4, What: "not liked"}}}
	}))
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	for rule, want := range map[string]int32{
		"iifname $holdfast_dev_inside accept": 1, // both have the same devices
		"ip saddr $holdfast_own4_inside drop": 2,
	} {
		tried.Store(0)
		q := api.InstallRequest{File: "edge.nft", Ruleset: strings.Replace(rulesetText, "ct state", rule+"\n\t\tct state", 1)}
		_, err := s.install(admin, "installs", q)
		var e *api.Error
		if !errors.As(err, &e) || len(e.Details) != 1 || !strings.HasSuffix(e.Details[0], "(on gw-a, gw-b)") {
			t.Errorf("%s: %v %+v", rule, err, e)
		}
		if n := tried.Load(); n != want {
			t.Errorf("%s: loaded %d times, want %d", rule, n, want)
		}
	}
}

var errEnough = errors.New("enough was seen")

// TestCheckLetsGo: what was read of a ruleset does not stay in memory while the attempt waits for its confirmation.
func TestCheckLetsGo(t *testing.T) {
	tried := make(chan weak.Pointer[ruleset.Ruleset], 2)
	s := newStand(t, checkedBy(func(_ context.Context, p *nft.Policy, _ []nft.Link) error {
		tried <- weak.Make(p.Ruleset)
		return nil
	}))
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	all := s.members(admin)
	all["gw-b"].mu.Lock()
	all["gw-b"].refuse = "no room"
	all["gw-b"].mu.Unlock()
	q := api.InstallRequest{File: "edge.nft", Ruleset: strings.Replace(rulesetText, "ct state", "ip saddr $holdfast_own4_inside drop\n\t\tct state", 1),
		InstallOptions: api.InstallOptions{BestEffort: true, PrepareWithinMs: 10_000, ConfirmWithinMs: 60_000}}
	q.Ruleset += strings.Repeat("# "+strings.Repeat("x", 98)+"\n", checkFirst/100)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	gone := false
	err := s.client(admin).Lines(ctx, "POST", "/v1/clusters/edge/installs", q, func(l api.InstallLine) error {
		if l.Install == nil || l.Install.Phase != "committed" {
			return nil
		}
		ptr := <-tried
		for i := 0; i < 500 && !gone; i++ { // the attempt's check is stopped a moment after the decision is known
			runtime.GC()
			if gone = ptr.Value() == nil; !gone {
				<-time.After(10 * time.Millisecond)
			}
		}
		return errEnough
	})
	if !errors.Is(err, errEnough) || !gone {
		t.Errorf("gone: %v, %v", gone, err)
	}
}

// TestCheckLater: members load what is long first. What they have loaded needs no check; what none of them can tell is checked then, and counts.
func TestCheckLater(t *testing.T) {
	outcome := make(chan error)
	s := newStand(t, checkedBy(func(ctx context.Context, _ *nft.Policy, _ []nft.Link) error {
		select {
		case err := <-outcome:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}))
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	long := api.InstallRequest{File: "edge.nft", Ruleset: rulesetText + strings.Repeat("# "+strings.Repeat("x", 98)+"\n", checkFirst/100),
		InstallOptions: api.InstallOptions{PrepareWithinMs: 10_000}}
	// Nobody is there to load it: the check is made, and refuses.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var lines []api.InstallLine
	follow := func(then func(api.InstallLine)) api.Install {
		lines = nil
		must(t, s.client(admin).Lines(ctx, "POST", "/v1/clusters/edge/installs", long, func(l api.InstallLine) error {
			lines = append(lines, l)
			then(l)
			return nil
		}))
		if len(lines) == 0 || lines[0].Checked == nil || !lines[0].Checked.Later || len(lines[0].Checked.Members) > 0 {
			t.Fatalf("%+v", lines)
		}
		return *lines[len(lines)-1].Install
	}
	told := false
	v := follow(func(l api.InstallLine) {
		if l.Install != nil && !told {
			told = true
			outcome <- &nft.RulesetError{Problems: []nft.Problem{{File: "edge.nft", Line: 4, What: "not liked"}}}
		}
	})
	if v.Phase != "aborted" || v.Why != "refused by management's check: edge.nft:4: not liked (on gw-a, gw-b)" {
		t.Errorf("%+v", v)
	}
	// They are there, and load it: nobody checks.
	all := s.members(admin)
	v = follow(func(api.InstallLine) {})
	var checked *api.Checked
	for _, l := range lines[1:] {
		if l.Checked != nil {
			checked = l.Checked
		}
	}
	if v.Phase != "confirmed" || checked == nil || len(checked.Loaded) != 2 || len(checked.Members) != 0 || checked.Later {
		t.Errorf("%+v, checked %+v", v, checked)
	}
	// One of them cannot load it: nothing was found.
	all["gw-b"].mu.Lock()
	all["gw-b"].refuse = "no room"
	all["gw-b"].mu.Unlock()
	if v = follow(func(api.InstallLine) {}); v.Phase != "aborted" {
		t.Errorf("%+v", v)
	}
	for _, l := range lines[1:] {
		if l.Checked != nil {
			t.Errorf("aborted, and yet %+v", l.Checked)
		}
	}
	// It is left behind: what the check says counts for it.
	long.Ruleset = strings.Replace(long.Ruleset, "ct state", "ip saddr $holdfast_own4_inside drop\n\t\tct state", 1) // a trial each
	long.BestEffort = true
	told = false
	v = follow(func(l api.InstallLine) {
		if l.Install == nil || told || l.Install.Members[0].State != "prepared" || l.Install.Members[1].State != "refused" {
			return
		}
		told = true
		outcome <- nil
	})
	if v.Phase != "confirmed" || !told {
		t.Errorf("%v %+v", told, v)
	}
}
