// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place is a network namespace of a test.
type place struct {
	t    testing.TB
	file *os.File
}

func newPlace(t testing.TB, links ...Link) *place {
	t.Helper()
	labtest.Require(t, "nft", "ip")
	file, err := scratch(links)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return &place{t, file}
}

func (p *place) fd() int { return int(p.file.Fd()) }

func (p *place) kernel() *Kernel { return New(Options{Cluster: 7, Namespace: p.fd()}) }

// try runs a command in the namespace.
func (p *place) try(input string, args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	var out strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
	if err := within(p.fd(), cmd.Start); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}

func (p *place) run(args ...string) string { p.t.Helper(); return p.feed("", args...) }

func (p *place) feed(input string, args ...string) string {
	p.t.Helper()
	out, err := p.try(input, args...)
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

var signer = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// bundle makes generation of a ruleset into a policy.
func bundle(t testing.TB, generation uint64, rules string, keep ...policy.Set) *Policy {
	t.Helper()
	s, err := policy.Seal(&policy.Bundle{Cluster: 7, Generation: generation, File: "edge.nft", Ruleset: rules, Keep: keep}, signer)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Of(s, []ruleset.Definition{{Name: "holdfast_dev_outside", Value: `"out"`}, {Name: "holdfast_vip4_outside", Value: "192.0.2.1"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func install(t testing.TB, k *Kernel, p *Policy) Report {
	t.Helper()
	if _, err := k.Prepare(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	r, err := k.Commit(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// state is what the kernel has, in short: "12 awake, 11 asleep".
func state(t testing.TB, k *Kernel) string {
	t.Helper()
	all, err := k.State()
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, l := range all {
		word := "asleep"
		if l.Awake {
			word = "awake"
		}
		if l.Mixed {
			word += " in part"
		}
		s = append(s, fmt.Sprint(l.Mark.Generation, " ", word))
	}
	return strings.Join(s, ", ")
}

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

const kinds = `
table inet filter {
	counter seen { }
	chain good { }
	set blocked { type ipv4_addr; flags timeout; elements = { 203.0.113.1, 203.0.113.2 } }
	set half-hour { type ipv6_addr; flags timeout, dynamic; timeout 30m; }
	set forever { type inet_service; }
	set pairs { type ipv4_addr . inet_proto . inet_service; flags timeout; }
	set names { type ifname; }
	set ranges { type ipv4_addr; flags interval, timeout; }
	set whole { type ipv4_addr; flags interval; }
	set blocks { type ipv4_addr . inet_service; flags interval; }
	set counted { type ipv4_addr; flags dynamic, timeout; counter; }
	map marks { type ipv4_addr : mark; flags timeout; }
	map verdicts { type inet_service : verdict; }
	map objects { type ipv4_addr : counter; }
	chain out { type filter hook output priority 0; add @half-hour { ip6 daddr }; }
}`

var kindNames = []string{"blocked", "half-hour", "forever", "pairs", "names", "ranges", "whole", "blocks", "counted", "marks", "verdicts", "objects"}

func kept(names ...string) (all []policy.Set) {
	for _, n := range names {
		all = append(all, policy.Set{Family: "inet", Table: "filter", Name: n})
	}
	return all
}

// content is the elements of a set, with moments of expiry rounded to minutes.
func (p *place) content(generation uint64, name string) string {
	kind := "set"
	if slices.Contains([]string{"marks", "verdicts", "objects"}, name) {
		kind = "map"
	}
	out := p.run("nft", "list", kind, "inet", ruleset.TableName("filter", generation), name)
	i := strings.Index(out, "elements = ")
	if i < 0 {
		return ""
	}
	out = strings.Join(strings.Fields(out[i:]), " ")
	return regexp.MustCompile(`expires ([0-9hm]*[hm])?[0-9ms.]+s`).ReplaceAllString(out, "expires $1")
}

func TestKeep(t *testing.T) {
	p := newPlace(t)
	k := p.kernel()
	keep := kept(append(slices.Clone(kindNames), "absent")...)
	keep = keep[:len(kindNames)]
	one := bundle(t, 1, kinds, keep...)
	install(t, k, one)
	p.feed(`
add element inet filter.g1 blocked { 198.51.100.1 timeout 1h, 198.51.100.2 comment "by hand" }
delete element inet filter.g1 blocked { 203.0.113.2 }
add element inet filter.g1 half-hour { 2001:db8::1, 2001:db8::2 timeout 3h expires 2h }
add element inet filter.g1 forever { 22, 80 }
add element inet filter.g1 pairs { 10.0.0.1 . tcp . 80 timeout 1h, 10.0.0.2 . udp . 53 }
add element inet filter.g1 names { "eth0", "out" }
add element inet filter.g1 ranges { 10.0.0.0/8, 192.0.2.5-192.0.2.17 timeout 1h, 192.0.2.18 }
add element inet filter.g1 whole { 0.0.0.0-9.255.255.255, 240.0.0.0/4 }
add element inet filter.g1 blocks { 10.0.0.0/8 . 80-90, 192.0.2.1 . 22 }
add element inet filter.g1 counted { 10.0.0.1 counter packets 7 bytes 900 timeout 1h }
add element inet filter.g1 marks { 10.0.0.1 timeout 1h : 0x17 }
add element inet filter.g1 verdicts { 22 : accept, 23 : jump good }
add element inet filter.g1 objects { 10.0.0.1 : "seen" }
`, "nft", "-f", "-")
	two := bundle(t, 2, kinds, keep...)
	r, err := k.Prepare(t.Context(), two)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Kept {
		if s.Refused > 0 || s.Why != "" || s.Carried == 0 {
			t.Errorf("%+v", s)
		}
	}
	// What changes between prepare and commit.
	p.feed(`
add element inet filter.g1 blocked { 198.51.100.9 timeout 2h }
delete element inet filter.g1 blocked { 198.51.100.1 }
delete element inet filter.g1 ranges { 192.0.2.5-192.0.2.17 }
add element inet filter.g1 ranges { 172.16.0.0/12 }
delete element inet filter.g1 marks { 10.0.0.1 }
add element inet filter.g1 marks { 10.0.0.1 timeout 1h : 0x18 }
delete element inet filter.g1 half-hour { 2001:db8::2 }
add element inet filter.g1 half-hour { 2001:db8::2 timeout 5h }
`, "nft", "-f", "-")
	r, err = k.Commit(t.Context(), two)
	if err != nil || len(r.Kept) != len(keep) {
		t.Fatalf("%+v %v", r, err)
	}
	for i, name := range kindNames {
		want, got := p.content(1, name), p.content(2, name)
		if name == "blocked" { // the ruleset's own element comes again
			for _, e := range []string{"198.51.100.9", "198.51.100.2 comment", "203.0.113.1", "203.0.113.2"} {
				if !strings.Contains(got, e) {
					t.Errorf("%s has no %s: %s", name, e, got)
				}
			}
			if strings.Contains(got, "198.51.100.1 ") {
				t.Errorf("%s: what was deleted is there: %s", name, got)
			}
		} else if sorted(want) != sorted(got) || got == "" {
			t.Errorf("%s: %s\nwas %s", name, got, want)
		}
		if s := r.Kept[i]; s.Refused > 0 || s.Why != "" || s.Set != two.Keep[i].String() {
			t.Errorf("%+v", s)
		}
	}
	// Back again, with what came since.
	p.run("nft", "add element inet filter.g2 forever { 443 }")
	if _, r, err = k.Rollback(t.Context(), keep); err != nil {
		t.Fatalf("%+v %v", r, err)
	}
	if got := p.content(1, "forever"); !strings.Contains(got, "443") {
		t.Errorf("after a rollback: %s", got)
	}
}

func sorted(content string) string {
	all := strings.Split(strings.Trim(strings.TrimPrefix(content, "elements = "), "{} "), ", ")
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// A set whose nature changes is not carried over, and an element that does not fit is left out alone; neither stops an install.
func TestKeepChanged(t *testing.T) {
	p := newPlace(t)
	k := p.kernel()
	const table = "table inet filter {\nset a { type ipv4_addr; %s }\nset b { type %s; }\nset c { type ipv4_addr; flags timeout; }\nset d { type ipv4_addr; flags interval; %s }\n%s\n}"
	keep := kept("a", "b", "c", "d")
	install(t, k, bundle(t, 1, fmt.Sprintf(table, "", "ipv4_addr", "", ""), keep...))
	p.feed("add element inet filter.g1 a { 10.0.0.1, 10.0.0.2, 10.0.0.3 }\nadd element inet filter.g1 b { 10.0.0.1 }\nadd element inet filter.g1 d { 10.0.0.0/24, 10.1.0.0/24 }", "nft", "-f", "-")
	r, err := k.Prepare(t.Context(), bundle(t, 2, fmt.Sprintf(table, "size 2;", "inet_service", "elements = { 10.0.0.128-10.0.1.5 };", "set e { type mark; }"), append(keep, kept("e")...)...))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Kept{{"inet filter a", 2, 1, "*"}, {"inet filter b", 0, 0, "its type has changed"}, {"inet filter c", 0, 0, ""}, {"inet filter d", 1, 1, "*"}, {"inet filter e", 0, 0, ""}} {
		got := r.Kept[i]
		if want.Why == "*" && got.Why != "" {
			want.Why = got.Why
		}
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if _, err := k.Commit(t.Context(), bundle(t, 2, fmt.Sprintf(table, "size 2;", "inet_service", "elements = { 10.0.0.128-10.0.1.5 };", "set e { type mark; }"), append(keep, kept("e")...)...)); err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	labtest.Require(t, "nft")
	links := []Link{{"out", []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64")}}, {"eth1.100", nil}, {"lo", []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}}}
	const flow = "table netdev f {\n\tchain c { type filter hook ingress device %s priority 0; }\n}\ntable inet g {\n\tchain c { type filter hook forward priority 0; iif \"eth1.100\" oif $holdfast_dev_outside accept; }\n}\n"
	b, err := Check(t.Context(), "", bundle(t, 3, plain+fmt.Sprintf(flow, "$holdfast_dev_outside")), links)
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
		_, err := Check(t.Context(), "", bundle(t, 3, c.rules, c.keep...), links)
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

const watched = `table inet filter {
	set fixed { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 } }
	set free { type ipv4_addr; }
	set moving { type ipv4_addr; flags timeout; elements = { 10.0.0.1 timeout 1h } }
	counter seen { }
	chain forward { type filter hook forward priority filter; policy drop;
		tcp dport 22 counter accept
		udp dport 53 accept comment "names"
	}
}
table ip other {
	chain c { }
}
`

func TestWatch(t *testing.T) {
	p := newPlace(t)
	k := p.kernel()
	pol := bundle(t, 5, watched, kept("free")...)
	base, err := Check(t.Context(), "", pol, nil)
	if err != nil {
		t.Fatal(err)
	}
	install(t, k, pol)
	told := make(chan Drift, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := p.kernel().Watch(ctx, base, Known{}, func(d Drift) { told <- d })
		done <- err
	}()
	for _, c := range []struct{ do, want string }{
		{"list tables", "as installed again"}, // at its beginning
		{"add rule inet filter.g5 forward tcp dport 23 accept", "inet filter chain forward: + tcp dport 23 accept"},
		{"add rule inet filter.g5 forward tcp dport 24 accept", "inet filter chain forward: + tcp dport 23 accept\ninet filter chain forward: + tcp dport 24 accept"},
		{"flush chain inet filter.g5 forward; add rule inet filter.g5 forward tcp dport 22 counter accept; add rule inet filter.g5 forward udp dport 53 accept comment \"names\"", "as installed again"},
		{"add element inet filter.g5 fixed { 10.0.0.3 }; delete element inet filter.g5 fixed { 10.0.0.1 }", "inet filter set fixed: - element 10.0.0.1\ninet filter set fixed: + element 10.0.0.3"},
		{"delete element inet filter.g5 fixed { 10.0.0.3 }; add element inet filter.g5 fixed { 10.0.0.1 }", "as installed again"},
		{"chain inet filter.g5 forward { policy accept; }", "inet filter chain forward: - policy drop\ninet filter chain forward: + policy accept"},
		{"chain inet filter.g5 forward { policy drop; }", "as installed again"},
		{"add chain ip other.g5 d", "ip other chain d is new"},
		{"delete chain ip other.g5 d; add table inet filter.g5 { flags dormant; }", "inet filter table: + flags dormant"},
		{"add table inet filter.g5", "as installed again"},
		{"delete table ip other.g5", "ip other table is gone"},
		{"flush ruleset", "inet filter table is gone\nip other table is gone"},
	} {
		// What is not drift must not be told: others' tables, kept and dynamic sets.
		if c.do != "flush ruleset" && !strings.Contains(c.do, "; add table") {
			p.feed("add table ip somebody; add element inet filter.g5 free { 10.9.9.9 }; add element inet filter.g5 moving { 10.9.9.9 timeout 1h }", "nft", "-f", "-")
		}
		start := time.Now()
		p.run("nft", c.do)
		select {
		case d := <-told:
			got := d.String()
			if !strings.Contains(got, c.want) || len(d.Changes) > 0 && !regexp.MustCompile(`^the ruleset was changed by (nft \([0-9]+\)|somebody):\n`).MatchString(got) {
				t.Errorf("%s: told %q, want %q", c.do, got, c.want)
			}
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("%s: told after %v", c.do, took)
			}
		case <-time.After(15 * time.Second):
			t.Errorf("%s: nothing is told", c.do)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestWatchResumed: a watch that looked away while another generation was loaded compares at its beginning only if somebody else changed something.
func TestWatchResumed(t *testing.T) {
	p := newPlace(t)
	k := p.kernel()
	pol := bundle(t, 5, watched, kept("free")...)
	install(t, k, pol)
	p.run("nft", "add element inet filter.g5 free { 10.9.9.9 }")
	now, err := k.Now()
	if err != nil {
		t.Fatal(err)
	}
	base, err := k.Baseline(t.Context(), pol)
	if err != nil {
		t.Fatal(err)
	}
	whole := 0 // how often it is as it must be
	// watch until everything is read that was done before.
	watch := func(known Known, do ...string) (Known, []Drift) {
		var all []Drift
		told := make(chan Drift, 10)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var after Known
		done := make(chan error, 1)
		go func() {
			var err error
			after, err = p.kernel().Watch(ctx, base, known, func(d Drift) {
				if len(d.Changes) == 0 {
					whole++ // at the beginning: what is done may come before it
				} else {
					told <- d
				}
			})
			done <- err
		}()
		for _, text := range do {
			p.run("nft", text)
			select {
			case d := <-told:
				all = append(all, d)
			case <-time.After(300 * time.Millisecond): // it is not to be told
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		close(told)
		for d := range told {
			all = append(all, d)
		}
		return after, all
	}
	known, told := watch(now)
	if known != now || len(told) != 0 {
		t.Fatalf("nothing happened: %v after %v, %v", known, now, told)
	}
	next := bundle(t, 6, watched, kept("free")...)
	r, err := k.Prepare(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kept) != 1 || r.Kept[0].Carried != 1 {
		t.Fatalf("%+v: nothing was carried over: that is a transaction to be counted", r)
	}
	if known = known.After(r); known.until == 0 {
		t.Fatalf("a prepare alone is not known to be alone: %+v", r)
	}
	if now, err = k.Now(); err != nil || known != now {
		t.Fatalf("%v after the prepare, the kernel is at %v: %v", known, now, err)
	}
	if known, told = watch(known, "add table ip somebody"); len(told) != 0 || known.until == 0 {
		t.Fatalf("somebody's own table: %v, %v", known, told)
	}
	// Somebody changes the policy while the watch looks away, before the prepare, or after it.
	p.run("nft", "add rule inet filter.g5 forward tcp dport 23 accept")
	if r, err = k.Prepare(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if known = known.After(r); known.until != 0 {
		t.Fatalf("a change before the prepare is not seen: %v", known)
	}
	if known, told = watch(known, "add table ip somebody"); len(told) != 1 || known.until != 0 {
		t.Fatalf("%v, %v", known, told)
	}
	p.run("nft", "flush chain inet filter.g5 forward; add rule inet filter.g5 forward tcp dport 22 counter accept; add rule inet filter.g5 forward udp dport 53 accept comment \"names\"")
	// Whoever was told of the change hears that it is gone.
	whole = 0
	if known, told = watch(Known{}, "add table ip somebody"); len(told) != 0 || whole != 1 || known.until == 0 {
		t.Fatalf("%v, %v", known, told)
	}
	p.run("nft", "add rule inet filter.g5 forward tcp dport 24 accept")
	if known, told = watch(known, "add table ip somebody"); len(told) != 1 || known.until != 0 {
		t.Fatalf("a change after the prepare: %v, %v", known, told)
	}
}

// TestBaselineGone: what the kernel has not is no baseline.
func TestBaselineGone(t *testing.T) {
	p := newPlace(t)
	k := p.kernel()
	pol := bundle(t, 1, "table inet filter {\n}\n")
	install(t, k, pol)
	p.run("nft", "flush", "ruleset")
	if b, err := k.Baseline(t.Context(), pol); !errors.Is(err, ErrGone) {
		t.Errorf("%+v %v", b, err)
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
