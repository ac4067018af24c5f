// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

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
