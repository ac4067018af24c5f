// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/policy/nft"
)

// TestKernelCheck has rulesets loaded for real, with what deploy/cluster.yaml's like defines.
func TestKernelCheck(t *testing.T) {
	labtest.Require(t)
	if err := TryCheck(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := newStand(t)
	s.server.o.Check = KernelCheck
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
	s := newStand(t)
	var mu sync.Mutex
	tried := 0
	s.server.o.Check = func(context.Context, *nft.Policy, []nft.Link) error {
		mu.Lock()
		defer mu.Unlock()
		tried++
		return &nft.RulesetError{Problems: []nft.Problem{{File: "edge.nft", Line: 4, What: "not liked"}}}
	}
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	for rule, want := range map[string]int{
		"iifname $holdfast_dev_inside accept": 1, // both have the same devices
		"ip saddr $holdfast_own4_inside drop": 2,
	} {
		tried = 0
		q := api.InstallRequest{File: "edge.nft", Ruleset: strings.Replace(rulesetText, "ct state", rule+"\n\t\tct state", 1)}
		_, err := s.install(admin, "installs", q)
		var e *api.Error
		if !errors.As(err, &e) || len(e.Details) != 1 || !strings.HasSuffix(e.Details[0], "(on gw-a, gw-b)") {
			t.Errorf("%s: %v %+v", rule, err, e)
		}
		if tried != want {
			t.Errorf("%s: loaded %d times, want %d", rule, tried, want)
		}
	}
}
