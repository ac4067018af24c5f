// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
)

// install runs one to its end and returns its lines.
func (s *stand) install(i *identity, path string, q any) (lines []api.InstallLine, err error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err = s.client(i).Lines(ctx, "POST", "/v1/clusters/edge/"+path, q, func(l api.InstallLine) error {
		lines = append(lines, l)
		return nil
	})
	return lines, err
}

// ended is the last of an install's lines.
func ended(t *testing.T, lines []api.InstallLine, err error) api.Install {
	t.Helper()
	must(t, err)
	if len(lines) < 2 || lines[0].Checked == nil || lines[len(lines)-1].Install == nil {
		t.Fatalf("lines: %+v", lines)
	}
	v := *lines[len(lines)-1].Install
	if !v.Over {
		t.Fatalf("not over: %+v", v)
	}
	return v
}

func TestInstallAndRollback(t *testing.T) {
	s := newStand(t)
	admin, olga := s.person("admin", management.Admin), s.person("olga", management.Operator)
	s.cluster(admin)
	all := s.members(admin)
	q := api.InstallRequest{File: "/etc/edge.nft", Ruleset: rulesetText, Comment: "first", Sync: []string{"dns=never"}}
	lines, err := s.install(olga, "installs", q)
	v := ended(t, lines, err)
	if v.Phase != "confirmed" || v.Policy.Generation != 1 || v.Number != 1 || v.By != "olga" || len(v.Members) != 2 {
		t.Fatalf("install: %+v", v)
	}
	if c := lines[0].Checked; len(c.Members) != 2 {
		t.Errorf("checked: %+v", c)
	}
	q.Ruleset = strings.Replace(rulesetText, "established,related", "established", 1)
	q.Sync = nil
	lines, err = s.install(olga, "installs", q)
	if v = ended(t, lines, err); v.Phase != "confirmed" || v.Policy.Generation != 2 || v.Before.Generation != 1 {
		t.Fatalf("second: %+v", v)
	}
	var d api.Diff
	if code := s.call(olga, "GET", "/v1/clusters/edge/diff", nil, &d); code != "" || d.From != 1 || d.To != 2 || len(d.Changes) != 1 ||
		d.Changes[0].Object != "inet filter chain forward" || len(d.Changes[0].Lines) != 2 || len(d.Other) != 1 || d.Other[0] != "- sync dns=never" {
		t.Errorf("diff: %s %+v", code, d)
	}

	// One member refuses: none changes.
	all["gw-b"].mu.Lock()
	all["gw-b"].refuse = "no memory"
	all["gw-b"].mu.Unlock()
	lines, err = s.install(olga, "rollback", api.RollbackRequest{})
	if v = ended(t, lines, err); v.Phase != "aborted" || !strings.Contains(v.Why, "gw-b") || v.Members[1].State != "refused" && v.Members[1].State != "aborted" {
		t.Errorf("refused: %+v", v)
	}
	var c api.Cluster
	if code := s.call(olga, "GET", "/v1/clusters/edge", nil, &c); code != "" || c.Current.Generation != 2 || c.Here != 2 || c.Status != "ok" {
		t.Errorf("cluster after a refusal: %s %+v", code, c)
	}
	all["gw-b"].mu.Lock()
	all["gw-b"].refuse = ""
	all["gw-b"].mu.Unlock()
	lines, err = s.install(olga, "rollback", api.RollbackRequest{})
	if v = ended(t, lines, err); v.Phase != "confirmed" || v.Policy.Generation != 4 {
		t.Fatalf("rollback: %+v", v)
	}
	var ps []api.Policy
	if code := s.call(olga, "GET", "/v1/clusters/edge/policies", nil, &ps); code != "" || len(ps) != 4 || ps[3].Origin != 1 || ps[3].Content != ps[0].Content ||
		ps[3].Status != "current" || ps[3].Author != "olga" {
		t.Errorf("policies: %s %+v", code, ps)
	}
}

func TestConfirmAndCancel(t *testing.T) {
	s := newStand(t)
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	s.members(admin)
	for _, c := range []struct{ verb, phase string }{{"confirm", "confirmed"}, {"cancel", "rolled-back"}} {
		q := api.InstallRequest{File: "edge.nft", Ruleset: rulesetText, InstallOptions: api.InstallOptions{ConfirmWithinMs: 20000}}
		asked := false
		var last api.Install
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		err := s.client(admin).Lines(ctx, "POST", "/v1/clusters/edge/installs", q, func(l api.InstallLine) error {
			if l.Install == nil {
				return nil
			}
			last = *l.Install
			if last.Phase != "committed" || asked || last.Members[0].State != "committed" || last.Members[1].State != "committed" {
				return nil
			}
			if last.ConfirmBy == nil {
				t.Errorf("it does not say until when to confirm: %+v", last)
			}
			asked = s.call(admin, "POST", "/v1/clusters/edge/"+c.verb, nil, nil) == ""
			return nil
		})
		cancel()
		must(t, err)
		if !asked || last.Phase != c.phase {
			t.Errorf("%s: %+v", c.verb, last)
		}
	}
	if code := s.call(admin, "POST", "/v1/clusters/edge/confirm", nil, nil); code != api.CodeRefused {
		t.Errorf("confirming what was rolled back: %q", code)
	}
}

func TestRulesetsThatAreRefused(t *testing.T) {
	s := newStand(t)
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	ok := api.InstallRequest{File: "edge.nft", Ruleset: rulesetText}
	for _, c := range []struct {
		name   string
		change func(*api.InstallRequest)
		code   api.Code
		detail string
	}{
		{"syntax", func(q *api.InstallRequest) { q.Ruleset = "flush ruleset\n" }, api.CodeRuleset, "edge.nft:1"},
		{"include", func(q *api.InstallRequest) { q.Ruleset = "include \"/etc/passwd\"\n" + rulesetText }, api.CodeRuleset, "include"},
		{"the kernel says no", func(q *api.InstallRequest) { q.Ruleset += "# poison\n" }, api.CodeRuleset, "poison (on gw-a, gw-b)"},
		{"variable that a member lacks", func(q *api.InstallRequest) {
			q.Ruleset = strings.Replace(rulesetText, "ct state", "ip saddr $holdfast_vip4_nowhere ct state", 1)
		}, api.CodeRuleset, "holdfast_vip4_nowhere"},
		{"warnings, strict", func(q *api.InstallRequest) {
			q.Strict, q.Ruleset = true, strings.Replace(rulesetText, "		ct state established,related accept\n", "", 1)
		}, api.CodeRuleset, ""},
		{"set that is not there", func(q *api.InstallRequest) { q.Keep = []string{"inet filter none"} }, api.CodeInvalid, ""},
		{"set that is none", func(q *api.InstallRequest) { q.Keep = []string{"none"} }, api.CodeInvalid, ""},
		{"rule that is none", func(q *api.InstallRequest) { q.Sync = []string{"dns=maybe"} }, api.CodeInvalid, ""},
		{"service that is none", func(q *api.InstallRequest) { q.Sync = []string{"no-such-service=never"} }, api.CodeInvalid, ""},
		{"connections", func(q *api.InstallRequest) { q.Connections = "kill" }, api.CodeInvalid, ""},
		{"members", func(q *api.InstallRequest) { q.Members = []string{"gw-c"} }, api.CodeInvalid, ""},
		{"members twice", func(q *api.InstallRequest) { q.Members = []string{"gw-a", "gw-a"} }, api.CodeInvalid, ""},
		{"time", func(q *api.InstallRequest) { q.ConfirmWithinMs = 1 << 60 }, api.CodeInvalid, ""},
		{"negative time", func(q *api.InstallRequest) { q.PrepareWithinMs = -1 }, api.CodeInvalid, ""},
		{"comment", func(q *api.InstallRequest) { q.Comment = strings.Repeat("x", 5000) }, api.CodeTooLarge, ""},
	} {
		q := ok
		c.change(&q)
		_, err := s.install(admin, "installs", q)
		var details string
		if e := asError(err); e != nil {
			details = e.What + strings.Join(e.Details, "\n")
		}
		if api.CodeOf(err) != c.code || !strings.Contains(details, c.detail) {
			t.Errorf("%s: %v (%s)", c.name, err, details)
		}
	}
	var ps []api.Policy
	if code := s.call(admin, "GET", "/v1/clusters/edge/policies", nil, &ps); code != "" || len(ps) != 0 {
		t.Errorf("something was numbered: %s %+v", code, ps)
	}
	q := ok
	q.CheckOnly = true
	lines, err := s.install(admin, "installs", q)
	if err != nil || len(lines) != 1 || lines[0].Checked == nil {
		t.Errorf("check only: %+v %v", lines, err)
	}
}

// While a silent member is waited for there is nothing to tell, for longer than a line may take.
func TestSilentStream(t *testing.T) {
	s := newStand(t, func(o *Options) { o.lineWithin = 200 * time.Millisecond })
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	q := api.InstallRequest{File: "edge.nft", Ruleset: rulesetText, InstallOptions: api.InstallOptions{PrepareWithinMs: 1500}}
	followed := make(chan error, 1)
	var last api.Install
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	first := true
	err := s.client(admin).Lines(ctx, "POST", "/v1/clusters/edge/installs", q, func(l api.InstallLine) error {
		if l.Install == nil || !first {
			return nil
		}
		first = false
		follower := s.client(admin)
		go func() {
			followed <- follower.Lines(ctx, "GET", "/v1/clusters/edge/installs/1?follow=1", nil, func(l api.InstallLine) error {
				if l.Install != nil {
					last = *l.Install
				}
				return nil
			})
		}()
		return nil
	})
	must(t, err)
	must(t, <-followed)
	if last.Phase != "aborted" || !strings.Contains(last.Why, "gw-a was not heard") {
		t.Errorf("%+v", last)
	}
}
