// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
	"github.com/holdfast-project/holdfast/policy/nft"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

func generation(n uint64) *policyplane.Generation {
	return &policyplane.Generation{Offer: policy.Offer{Generation: n, Digest: policy.Digest{byte(n)}}, Created: 1_772_582_400}
}

// TestPolicyReady: the machine learns of the plane what counts, and a policy that is not in force is none.
func TestPolicyReady(t *testing.T) {
	for _, tc := range []struct {
		name string
		s    policyplane.Snapshot
		want members.PolicyReady
	}{
		{"at the start", policyplane.Snapshot{Reason: "waiting for peers"}, members.PolicyReady{Unknown: true, Reason: "waiting for peers"}},
		{"in force", policyplane.Snapshot{Status: policyplane.StatusOK, InForce: generation(42)}, members.PolicyReady{Ready: true, Policy: members.Generation{Number: 42, Digest: [32]byte{42}}}},
		{"none", policyplane.Snapshot{Status: policyplane.StatusProblem, Reason: "nobody has one", Prepared: generation(42)}, members.PolicyReady{Reason: "nobody has one"}},
		{"unloaded", policyplane.Snapshot{Status: policyplane.StatusProblem, Reason: "unloaded", InForce: generation(42)}, members.PolicyReady{Reason: "unloaded"}},
	} {
		if got := policyReady(&tc.s); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

// TestPolicyIsNews: a HELLO goes everywhere when a policy comes into force, or an install gets on.
func TestPolicyIsNews(t *testing.T) {
	said := func(h ccp.Hello) string { return string(appendLasting(nil, &h)) }
	base := ccp.Hello{PolicyGeneration: 42}
	for i, h := range []ccp.Hello{{PolicyGeneration: 43}, {PolicyGeneration: 42, Policy: ccp.PolicyView{State: ccp.PolicyPrepared}},
		{PolicyGeneration: 42, Policy: ccp.PolicyView{Decision: ccp.PolicyConfirmed}}, {PolicyGeneration: 42, Policy: ccp.PolicyView{Digest: [32]byte{1}}}} {
		if said(base) == said(h) {
			t.Errorf("change %d is no news", i)
		}
	}
}

// TestPolicyInHello: what one member tells is what the machine of another reads.
func TestPolicyInHello(t *testing.T) {
	n := referenceNode(t, "gw-a")
	var h ccp.Hello
	if n.policyTell(&h); h.PolicyGeneration != 0 || h.Policy != (ccp.PolicyView{}) {
		t.Errorf("without a section: %+v", h.Policy)
	}
	n.policy.state = &policyplane.Snapshot{Status: policyplane.StatusOK, InForce: generation(42), View: ccp.PolicyView{Digest: [32]byte{42}, Highest: 43}}
	n.policyTell(&h)
	back, err := ccp.ParseHello(h.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	m := fromWire(7, &back)
	if want := policyReady(n.policy.state).Policy; m.Policy != want || want.None() {
		t.Errorf("%+v, want %+v", m.Policy, want)
	}
}

// TestPolicyServices: the policy's rules of synchronisation hold in place of the configuration's while it has some.
func TestPolicyServices(t *testing.T) {
	n := referenceNode(t, "gw-a")
	before := n.services()
	if !reflect.DeepEqual(before, n.cfg.Sync.Services) || len(before) == 0 {
		t.Fatal("the reference has rules")
	}
	n.policy.state = &policyplane.Snapshot{}
	if !reflect.DeepEqual(n.services(), before) {
		t.Error("a policy without rules changes them")
	}
	n.policy.state = &policyplane.Snapshot{Services: []policy.SyncRule{{Service: "tcp/22", After: 2 * time.Second}, {Service: "ntp", Never: true}}}
	var got []string
	for _, s := range n.services() {
		got = append(got, s.String())
	}
	if text := strings.Join(got, ", "); text != "tcp/22 after 2s, udp/123 never" {
		t.Error(text)
	}
	n.policy.state = &policyplane.Snapshot{Services: []policy.SyncRule{{Service: "gopher", Never: true}}}
	if !reflect.DeepEqual(n.services(), before) {
		t.Error("rules that are not understood leave nothing")
	}
}

// TestSyncTables: sets are looked for in the tables of the generation in force, and in none of those that sleep.
func TestSyncTables(t *testing.T) {
	for _, tc := range []struct {
		s    *policyplane.Snapshot
		want map[string]string
	}{
		{nil, nil},
		{&policyplane.Snapshot{Prepared: generation(42), Tables: []string{"inet filter"}}, nil},
		{&policyplane.Snapshot{InForce: generation(41), Prepared: generation(42), Tables: []string{"inet filter", "ip nat"}},
			map[string]string{"inet filter": "filter.g41", "ip nat": "nat.g41"}},
	} {
		if got := syncTables(tc.s); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%v, want %v", got, tc.want)
		}
	}
	n := referenceNode(t, "gw-a")
	n.policy.state = &policyplane.Snapshot{InForce: generation(41), Tables: []string{"inet filter"}}
	if c := n.syncConfig(); c.Tables["inet filter"] != "filter.g41" {
		t.Errorf("the plane is told %v", c.Tables)
	}
}

// TestPolicyFreeze: an install freezes moves and lets go of them; an operator's longer freeze is left alone.
func TestPolicyFreeze(t *testing.T) {
	n := referenceNode(t, "gw-a")
	now := bpf.Boottime()
	n.machine = members.New(n.machineConfig(), members.Boot{Now: now, Incarnation: 1})
	apply := func(at int64) []members.Event {
		all := n.policyFreeze(nil, at)
		n.machine.Step(at, append(all, members.Tick{})...)
		return all
	}
	const second = int64(time.Second)
	n.policy.state = &policyplane.Snapshot{Frozen: now + 30*second}
	want := []members.Event{members.Admin{Kind: members.AdminFreeze, For: 30 * time.Second}}
	if got := apply(now); !reflect.DeepEqual(got, want) {
		t.Errorf("begin: %+v", got)
	}
	if got := apply(now + second); len(got) > 0 {
		t.Errorf("again: %+v", got)
	}
	n.policy.state = &policyplane.Snapshot{}
	if got := apply(now + 2*second); !reflect.DeepEqual(got, []members.Event{members.Admin{Kind: members.AdminUnfreeze}}) {
		t.Errorf("end: %+v", got)
	}
	n.machine.Step(now+3*second, members.Admin{Kind: members.AdminFreeze, For: 5 * time.Minute})
	n.policy.state = &policyplane.Snapshot{Frozen: now + 33*second}
	if got := apply(now + 3*second); len(got) > 0 {
		t.Errorf("an operator's freeze is cut short: %+v", got)
	}
	n.policy.state = &policyplane.Snapshot{}
	if got := apply(now + 4*second); len(got) > 0 {
		t.Errorf("an operator's freeze is ended: %+v", got)
	}
}

// TestPolicyEvents: every kind of event has a code of its own and a sentence.
func TestPolicyEvents(t *testing.T) {
	codes := map[members.Code]policyplane.Kind{}
	for k := policyplane.Installed; k <= policyplane.Rematched; k++ {
		w, ok := policyWords[k]
		if !ok || w.code < 1001 || w.code > 1099 {
			t.Errorf("kind %d has no code of policies: %v", k, w.code)
		}
		if other, twice := codes[w.code]; twice {
			t.Errorf("kinds %d and %d are both %v", k, other, w.code)
		}
		codes[w.code] = k
	}
	offer := policy.Offer{Generation: 42}
	for _, tc := range []struct {
		ev   policyplane.Event
		want string
	}{
		{policyplane.Event{Kind: policyplane.Installed, Policy: offer, Attempt: 7}, "generation 42 is in force (install 7)"},
		{policyplane.Event{Kind: policyplane.Installed, Policy: offer, Source: "local"}, "generation 42 is in force"},
		{policyplane.Event{Kind: policyplane.Fetched, Policy: offer, Source: "gw-b"}, "generation 42 was fetched, from gw-b"},
		{policyplane.Event{Kind: policyplane.NoPolicy, Text: "no policy: nobody has one"}, "no policy is in force: nobody has one"},
		{policyplane.Event{Kind: policyplane.Installed, Policy: offer, Source: "operator"}, "generation 42 is in force, by an operator"},
		{policyplane.Event{Kind: policyplane.Drifted, Policy: offer, Source: "nft (7)", Text: "the ruleset was changed by nft (7):\na: + b\nc is gone"},
			"generation 42 was changed by hand, by nft (7): a: + b; c is gone"},
	} {
		if got := policyReason(policyWords[tc.ev.Kind].text, tc.ev); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

// TestPolicyErrors: a refusal says what to do; the end of patience stays what it is.
func TestPolicyErrors(t *testing.T) {
	for _, tc := range []struct {
		err    error
		wayOut string
	}{
		{fmt.Errorf("x: %w", policy.ErrKey), "policy.keys"},
		{&policy.FormatError{What: "head", Err: policy.ErrOlder}, "greater generation"},
		{errors.New("the disk is full"), "holdfast policy status"},
	} {
		var e *control.Error
		if err := policyError(tc.err); !errors.As(err, &e) || e.Code != control.CodeRefused || !strings.Contains(e.WayOut, tc.wayOut) || !strings.Contains(e.What, tc.err.Error()) {
			t.Errorf("%v: %+v", tc.err, err)
		}
	}
	if err := policyError(context.DeadlineExceeded); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestPolicyViews: what operators see of a generation and of an install.
func TestPolicyViews(t *testing.T) {
	s := &policyplane.Snapshot{InForce: generation(42), Previous: generation(41), Prepared: generation(43), Drift: nft.Drift{By: "nft (7)", Changes: []ruleset.Change{{Table: "inet filter", Removed: true}, {Table: "inet nat", Added: true}}}.String(), Status: policyplane.StatusOK,
		Attempt: policyplane.Attempt{Number: 7, Policy: generation(43).Offer, State: install.Prepared}}
	declined := generation(40)
	declined.Declined = true
	for _, tc := range []struct {
		g    *policyplane.Generation
		want string
	}{{generation(42), "in-force"}, {generation(41), "previous"}, {generation(43), "prepared"}, {generation(39), "kept"}, {declined, "declined"}} {
		if got := generationView(s, tc.g); got.State != tc.want || got.Generation != tc.g.Generation || got.Since != nil {
			t.Errorf("%+v, want %s", got, tc.want)
		}
	}
	if generationView(s, nil) != nil {
		t.Error("none is shown")
	}
	n := referenceNode(t, "gw-a")
	if n.policyState() != nil {
		t.Error("a state without a section")
	}
	n.policy.state = s
	if v := n.policyState(); v.Generation != 42 || v.Drift != 2 || v.Attempt != 7 || v.Phase != "prepared" {
		t.Errorf("%+v", v)
	}
	s.Attempt.State = install.Confirmed
	if v := n.policyState(); v.Attempt != 0 {
		t.Errorf("an install that is over: %+v", v)
	}
}

// TestWithoutPolicies: without the section everything about policies is refused with a way out.
func TestWithoutPolicies(t *testing.T) {
	b := &backend{referenceNode(t, "gw-a")}
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"policy":  func() error { _, err := b.Policy(ctx); return err },
		"history": func() error { _, err := b.PolicyHistory(ctx); return err },
		"file":    func() error { _, err := b.PolicyFile(ctx, 1); return err },
		"fetch":   func() error { _, err := b.PolicyFetch(ctx); return err },
		"unload":  func() error { _, err := b.PolicyUnload(ctx); return err },
		"resume":  func() error { _, err := b.PolicyResume(ctx); return err },
		"load":    func() error { _, err := b.PolicyLoad(ctx, []byte("x")); return err },
	} {
		var e *control.Error
		if err := call(); !errors.As(err, &e) || e.Code != control.CodeRefused || e.WayOut == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m := b.n.machineConfig(); m.WaitPolicy {
		t.Error("a policy is waited for")
	}
}
