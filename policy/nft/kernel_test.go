// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/policy"
)

const plain = `define x = 22
table inet filter {
	chain forward { type filter hook forward priority filter; policy drop; tcp dport $x accept; }
}
table ip nat {
	chain source { type nat hook postrouting priority srcnat; oifname $holdfast_dev_outside snat to $holdfast_vip4_outside; }
}
`

func TestGenerations(t *testing.T) {
	p := newPlace(t)
	k := p.kernel()
	// Tables of others: one with the name of ours, one with the mark of another cluster.
	foreign := "table inet filter {\n\tchain x {\n\t}\n}\ntable ip nat.g1 {\n\tcomment \"holdfast 8 1 " + strings.Repeat("0", 64) + "\"\n}\n"
	p.feed(foreign, "nft", "-f", "-")
	step := func(what, want string, err error, wantErr error) {
		t.Helper()
		if !errors.Is(err, wantErr) {
			t.Errorf("%s: error %v, want %v", what, err, wantErr)
		}
		if got := state(t, k); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	ctx := t.Context()
	one, two, three, four := bundle(t, 11, plain), bundle(t, 12, plain), bundle(t, 13, plain), bundle(t, 14, plain)
	_, err := k.Commit(ctx, one)
	step("commit without prepare", "", err, ErrNotPrepared)
	_, _, err = k.Rollback(ctx, nil)
	step("rollback of nothing", "", err, ErrNoPrevious)
	_, err = k.Prepare(ctx, one)
	step("prepare", "11 asleep", err, nil)
	if _, ok, err := k.Current(); ok || err != nil {
		t.Error("something is in force", err)
	}
	_, err = k.Prepare(ctx, one)
	step("prepare again", "11 asleep", err, nil)
	_, err = k.Commit(ctx, one)
	step("commit", "11 awake", err, nil)
	_, err = k.Commit(ctx, one)
	step("commit again", "11 awake", err, nil)
	_, err = k.Prepare(ctx, one)
	step("prepare what is in force", "11 awake", err, ErrInForce)
	err = k.Abort(ctx, one.Mark)
	step("abort what is in force", "11 awake", err, ErrInForce)
	_, _, err = k.Rollback(ctx, nil)
	step("rollback of the first", "11 awake", err, ErrNoPrevious)
	_, err = k.Prepare(ctx, two)
	step("prepare 12", "12 asleep, 11 awake", err, nil)
	err = k.Abort(ctx, two.Mark)
	step("abort 12", "11 awake", err, nil)
	err = k.Abort(ctx, two.Mark)
	step("abort 12 again", "11 awake", err, nil)
	_, err = k.Commit(ctx, two)
	step("commit what was aborted", "11 awake", err, ErrNotPrepared)
	install(t, k, two)
	step("12", "12 awake, 11 asleep", nil, nil)
	_, err = k.Prepare(ctx, three)
	step("prepare 13", "13 asleep, 12 awake, 11 asleep", err, nil)
	_, err = k.Prepare(ctx, four)
	step("prepare 14 instead", "14 asleep, 12 awake, 11 asleep", err, nil)
	_, err = p.kernel().Commit(ctx, four) // by another process
	step("commit 14", "14 awake, 12 asleep, 11 asleep", err, nil)
	_, err = k.Prepare(ctx, bundle(t, 15, plain))
	step("prepare 15", "15 asleep, 14 awake, 12 asleep", err, nil)
	err = k.Abort(ctx, bundle(t, 15, plain).Mark)
	step("abort 15", "14 awake, 12 asleep", err, nil)
	m, _, err := k.Rollback(ctx, nil)
	step("rollback", "14 asleep, 12 awake", err, nil)
	if m != two.Mark {
		t.Errorf("rolled back to %v", m)
	}
	if l, ok, err := k.Current(); !ok || err != nil || l.Mark != two.Mark || !slices.Equal(l.Tables, []string{"inet filter", "ip nat"}) {
		t.Errorf("current %+v %v", l, err)
	}
	p.run("nft", "add", "table", "inet", "filter.g12", "{ flags dormant; }")
	step("somebody puts a table to sleep", "14 asleep, 12 awake in part", nil, nil)
	_, err = k.Commit(ctx, two)
	step("commit mends it", "14 asleep, 12 awake", err, nil)
	p.run("nft", "delete", "table", "ip", "nat.g14")
	_, err = k.Commit(ctx, four)
	step("commit of half a generation", "14 asleep, 12 awake", err, ErrNotPrepared)
	err = k.Unload(ctx)
	step("unload", "", err, nil)
	if got := p.run("nft", "list", "ruleset"); got != foreign {
		t.Errorf("others' tables:\n%s\nwere\n%s", got, foreign)
	}
}

// Messages name the operator's file and line, whatever was put before it.
func TestErrors(t *testing.T) {
	p := newPlace(t)
	k := p.kernel()
	install(t, k, bundle(t, 1, plain))
	for _, c := range []struct{ rules, want string }{
		{"table inet f {\n\tchain c {\n\t\ttcp dport 22 acept\n\t}\n}\n", `^edge.nft:3: syntax error`},
		{"# first\n\n\ntable inet f { chain c { jump nowhere\n}\n}", `^edge.nft:4: .*No such file or directory`},
		{"table inet f {\n\tchain c {\n\t\ttcp dport $nothing accept\n\t\tip daddr 1.2.3.400 accept\n\t}\n}\n", `^edge.nft:3: unknown identifier 'nothing'`},
		{"table inet f {\nset s { type ipv4_addr; elements = { 10.0.0.1,\n 10.0.0.0/8 }\n}\n}", `^edge.nft:`},
	} {
		_, err := k.Prepare(t.Context(), bundle(t, 2, c.rules))
		var e *RulesetError
		if !errors.As(err, &e) || len(e.Problems) == 0 || !regexp.MustCompile(c.want).MatchString(err.Error()) {
			t.Errorf("%q: %v, want %s", c.rules, err, c.want)
		}
		if got := state(t, k); got != "1 awake" {
			t.Errorf("%q left %s", c.rules, got)
		}
	}
	broken := bundle(t, 2, plain)
	broken.Definitions[0].Value = "{"
	if _, err := k.Prepare(t.Context(), broken); err == nil || !strings.Contains(err.Error(), "edge.nft") {
		t.Error(err)
	}
	if _, err := New(Options{Cluster: 7, Namespace: p.fd(), Command: "/nonexistent/nft"}).Prepare(t.Context(), bundle(t, 2, plain)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.Prepare(ctx, bundle(t, 2, plain)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	labtest.Require(t, "nft")
	links := []Link{{"out", []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64")}}, {"eth1.100", nil}, {"lo", []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}}}
	const flow = "table netdev f {\n\tchain c { type filter hook ingress device %s priority 0; }\n}\ntable inet g {\n\tchain c { type filter hook forward priority 0; iif \"eth1.100\" oif $holdfast_dev_outside accept; }\n}\n"
	b, err := Check(t.Context(), "", bundle(t, 3, plain+fmt.Sprintf(flow, "$holdfast_dev_outside")), links, false)
	if err != nil || len(b.tables) != 4 {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rules, want string
		keep        []policy.Set
	}{
		{"table inet f {\n chain c { oif \"nodev\" accept; }\n}", "edge.nft:2", nil},
		{plain, "set inet filter gone, which is to be kept, is not there", kept("gone")},
	} {
		_, err := Check(t.Context(), "", bundle(t, 3, c.rules, c.keep...), links, true)
		var e *RulesetError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	// What was checked is what a member then has.
	p := newPlace(t, links...)
	k := p.kernel()
	install(t, k, bundle(t, 3, plain+fmt.Sprintf(flow, "$holdfast_dev_outside")))
	if d, err := k.Compare(t.Context(), b); err != nil || len(d) > 0 {
		t.Errorf("%v %v", d, err)
	}
}

// TestRestore: whatever was done to the generation in force, it is as installed again, with the elements that were there.
func TestRestore(t *testing.T) {
	p := newPlace(t)
	k := p.kernel()
	old, pol := bundle(t, 4, plain), bundle(t, 5, watched, kept("free")...)
	install(t, k, old)
	install(t, k, pol)
	base, err := k.Baseline(t.Context(), pol)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		do   string
		left bool // the kept set
	}{
		{"add rule inet filter.g5 forward tcp dport 23 accept", true},
		{"add table inet filter.g5 { flags dormant; }", true},
		{"delete table ip other.g5", true},
		{"delete table ip other.g5; add table ip other.g5; add chain ip other.g5 evil", true}, // without the mark
		{"flush ruleset", false},
	} {
		p.run("nft", "add element inet filter.g5 free { 10.7.7.7, 10.7.7.8 }")
		p.run("nft", c.do)
		if d, err := k.Compare(t.Context(), base); err != nil || len(d) == 0 {
			t.Fatalf("%s: %v %v", c.do, d, err)
		}
		r, err := k.Restore(t.Context(), pol)
		if err != nil {
			t.Fatalf("%s: %v", c.do, err)
		}
		if d, err := k.Compare(t.Context(), base); err != nil || len(d) != 0 {
			t.Errorf("%s: not restored: %v %v", c.do, d, err)
		}
		if l, ok, err := k.Current(); err != nil || !ok || l.Mark != pol.Mark || l.Mixed {
			t.Errorf("%s: in force %+v %v", c.do, l, err)
		}
		if got := strings.Contains(p.content(5, "free"), "10.7.7.8"); got != c.left || c.left && r.Kept[0].Carried != 2 {
			t.Errorf("%s: kept %v, %+v", c.do, got, r)
		}
	}
	broken := bundle(t, 5, strings.Replace(watched, "udp dport 53", "udp dprt 53", 1))
	var e *RulesetError
	if _, err := k.Restore(t.Context(), broken); !errors.As(err, &e) || !strings.HasPrefix(err.Error(), "edge.nft:8:") {
		t.Error(err)
	}
	if d, err := k.Compare(t.Context(), base); err != nil || len(d) != 0 {
		t.Errorf("a restore that failed changed something: %v %v", d, err)
	}
}

// TestCheckAsleep: a member's load asleep refuses what a check that wakes the tables refuses, so that it may stand for it.
func TestCheckAsleep(t *testing.T) {
	chain := "table inet filter {\n\tchain forward { type filter hook forward priority 0; policy accept;\n\t\t%s\n\t}\n%s}\n"
	both := 0
	for name, text := range map[string]string{
		"a netdev chain of no device":  "table netdev early {\n\tchain c { type filter hook ingress device nowhere priority 0; }\n}\n",
		"a flowtable of no device":     "table inet f {\n\tflowtable ft { hook ingress priority 0; devices = { nowhere }; }\n}\n",
		"a hook that nat has not":      "table inet filter {\n\tchain c { type nat hook forward priority 0; }\n}\n",
		"a priority that nat has not":  "table inet filter {\n\tchain c { type nat hook prerouting priority -300; }\n}\n",
		"snat where there is none":     fmt.Sprintf(chain, "snat ip to 10.0.0.1", ""),
		"masquerade in a filter":       fmt.Sprintf(chain, "masquerade", ""),
		"snat in a chain jumped to":    fmt.Sprintf(chain, "jump other", "\tchain other { snat ip to 10.0.0.1; }\n"),
		"a loop":                       fmt.Sprintf(chain, "jump a", "\tchain a { jump b; }\n\tchain b { jump a; }\n"),
		"a chain that is not there":    fmt.Sprintf(chain, "jump nowhere", ""),
		"an object that is not there":  fmt.Sprintf(chain, "counter name nothing", ""),
		"a helper that is none":        "table inet filter {\n\tct helper h { type \"nonesuch\" protocol tcp; }\n}\n",
		"types that do not fit":        fmt.Sprintf(chain, "ip saddr @s accept", "\tset s { type inet_service; }\n"),
		"elements that overlap":        fmt.Sprintf(chain, "", "\tset s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 10.1.0.0/16 }; }\n"),
		"too many elements":            fmt.Sprintf(chain, "", "\tset s { type ipv4_addr; size 1; elements = { 10.0.0.1, 10.0.0.2 }; }\n"),
		"synproxy where there is none": fmt.Sprintf(chain, "", "\tchain o { type filter hook output priority 0; synproxy mss 1460 wscale 7; }\n"),
	} {
		p := newPlace(t)
		pol := bundle(t, 5, text)
		var refused *RulesetError
		checked := Try(t.Context(), "", pol, nil)
		_, asleep := p.kernel().Prepare(t.Context(), pol)
		if errors.As(checked, &refused) != errors.As(asleep, &refused) { // new kernels take devices that will be there one day
			t.Errorf("%s: checked: %v; asleep: %v", name, checked, asleep)
		}
		if checked != nil && asleep != nil {
			both++
		}
	}
	if both < 12 {
		t.Errorf("only %d are refused", both)
	}
}
