// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// edge is a cluster of two whose second member has other device names.
func edge() *Cluster {
	member := func(name, outside, inside, last string) Member {
		return Member{Name: name, Interfaces: []Interface{
			{Name: "outside", Device: outside, Own: []netip.Prefix{netip.MustParsePrefix("192.0.2." + last + "/24"), netip.MustParsePrefix("2001:db8::" + last + "/64")},
				VIPs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::1")}},
			{Name: "inside", Device: inside, Own: []netip.Prefix{netip.MustParsePrefix("10.0.0." + last + "/24")}, VIPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}},
			{Name: "sync", Device: "eth2", Own: []netip.Prefix{netip.MustParsePrefix("10.99.0." + last + "/24")}},
		}}
	}
	return &Cluster{ID: 7, EtherType: 0x88b5, Members: []Member{member("gw-a", "eth0", "eth1", "2"), member("gw-b", "eno1", "eth1", "3")}}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
	}
}

func parse(t testing.TB, text string) *Ruleset {
	t.Helper()
	r, err := Parse("edge.nft", text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRefusals(t *testing.T) {
	var got strings.Builder
	for _, text := range []string{
		"", "# nothing\n", "table inet filter\n", "table inet filter { chain a {\n", "table inet filter { } }\n", "flush ruleset\ntable inet f { }\n",
		"delete table inet f\ntable inet f { }", "destroy table inet f\ntable inet f { }", "include \"other.nft\"\ntable inet f { }", "table inet f {\ninclude \"x\"\n}",
		"add rule inet f c accept\ntable inet f { }", "table inet f { flags dormant; }", "table inet f {\n\tcomment \"mine\"\n}", "table inet f.g12 { }",
		"table inet 9 { }", "table inet " + strings.Repeat("x", 129) + " { }", "table inet f { rule x }", "table inet f { chain }", "table inet f { chain a { } x }",
		"table inet f { chain a { log prefix \"x\n\" } }", "table inet f { chain a { tcp \\ x } }", strings.Repeat("table inet f { }\n", 65), "} ",
	} {
		_, err := Parse("edge.nft", text)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: %v", text, err)
			continue
		}
		fmt.Fprintf(&got, "%.60q\n\t%v\n", text, strings.ReplaceAll(err.Error(), "\n", "\n\t"))
	}
	golden(t, "refusals.golden", got.String())
}

func TestParse(t *testing.T) {
	r := parse(t, read(t, "edge.nft"))
	var got strings.Builder
	for _, d := range r.Defines {
		fmt.Fprintf(&got, "%d %s\n", d.Line, d)
	}
	for i := range r.Tables {
		tab := &r.Tables[i]
		fmt.Fprintf(&got, "%d %s %s\n", tab.Line, tab.Family, tab.Name)
		for j := range tab.Objects {
			o := &tab.Objects[j]
			fmt.Fprintf(&got, "  %d %s %s %v\n", o.Line, o.Kind, o.Name, o.Hook())
			for _, s := range o.Statements {
				fmt.Fprintf(&got, "    %d %s\n", s.Line, s)
			}
		}
	}
	r.variables(func(name string, line int) { fmt.Fprintf(&got, "$%s %d\n", name, line) })
	golden(t, "edge.parsed", got.String())
	if !r.Has("inet", "filter", "blocked") || r.Has("ip", "filter", "blocked") || r.Has("inet", "filter", "forward") {
		t.Error("sets")
	}
}

func TestRender(t *testing.T) {
	r := parse(t, read(t, "edge.nft"))
	c := edge()
	c.SNATFirst, c.SNATLast = 32768, 65535
	c.Members[1].SNATFirst, c.Members[1].SNATLast = 49152, 65535
	c.Published = []netip.Prefix{netip.MustParsePrefix("10.0.0.80/32"), netip.MustParsePrefix("10.1.0.0/24")}
	mark := Mark{Cluster: 7, Generation: 12, Digest: [32]byte{1, 2, 3}}
	out := r.Render(c.Definitions(1), mark)
	golden(t, "edge.rendered", out.Text)
	if lines := strings.Split(out.Text, "\n"); lines[out.Lines+r.Tables[1].Line-1] != `table ip nat.g12 { flags dormant; comment "`+mark.String()+`"; ` {
		t.Errorf("line %d is %q", r.Tables[1].Line, lines[out.Lines+r.Tables[1].Line-1])
	}
	if m, ok := ParseMark(mark.String()); !ok || m != mark || len((Mark{65535, 1<<64 - 1, mark.Digest}).String()) > 127 {
		t.Error(m, ok)
	}
	for _, s := range []string{"", "mine", "holdfast 0 1 " + strings.Repeat("0", 64), "holdfast 70000 1 " + strings.Repeat("0", 64), "holdfast 7 1 ab", mark.String() + " "} {
		if _, ok := ParseMark(s); ok {
			t.Errorf("%q is a mark", s)
		}
	}
	if OperatorName(TableName("nat", 12)) != "nat" || OperatorName("nat.gx") != "nat.gx" {
		t.Error("names")
	}
	if got := DefinitionsFile([]Definition{{"a", "b"}}); got != "define a = b\n" {
		t.Error(got)
	}
}

func TestDiff(t *testing.T) {
	old, now := parse(t, read(t, "edge.nft")), parse(t, read(t, "edge-new.nft"))
	var got strings.Builder
	for _, c := range Diff(old, now) {
		fmt.Fprintf(&got, "%s added=%v removed=%v\n", c.Object(), c.Added, c.Removed)
		for _, l := range c.Lines {
			fmt.Fprintf(&got, "  %v %d %s\n", l.Added, l.Line, l.Text)
		}
	}
	golden(t, "edge.diff", got.String())
	if d := Diff(old, old); d != nil {
		t.Errorf("with itself: %v", d)
	}
	// Layout makes no difference.
	if d := Diff(parse(t, "table inet f { chain a { tcp dport 22 accept; drop; } }"), parse(t, "table inet f {\n# x\nchain a {\ntcp  dport \\\n22 accept\n\ndrop } }")); d != nil {
		t.Errorf("layout: %v", d)
	}
	// The order of rules does.
	if d := Diff(parse(t, "table inet f { chain a { drop; accept; } }"), parse(t, "table inet f { chain a { accept; drop; } }")); len(d) != 1 || len(d[0].Lines) != 2 {
		t.Errorf("order: %v", d)
	}
	// What is too long for a tableau is compared without order.
	var a, b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&a, "tcp dport %d accept\n", i)
		fmt.Fprintf(&b, "tcp dport %d accept\n", 3000-i)
	}
	if d := Diff(parse(t, "table inet f { chain a { "+a.String()+"} }"), parse(t, "table inet f { chain a { "+b.String()+"} }")); len(d) != 1 || len(d[0].Lines) != 2 {
		t.Errorf("long: %d", len(d))
	}
}

// Each warning with the rule that makes it and one, next to it, that does not.
func TestLint(t *testing.T) {
	var got strings.Builder
	sharing := edge()
	sharing.SNATFirst, sharing.SNATLast = 32768, 65535
	nat := "table ip nat { chain post { type nat hook postrouting priority srcnat; %s\n} }"
	filter := "table inet f { chain c { type filter hook %s priority 0; policy drop; %s\n} }"
	for _, k := range []struct {
		what, text string
		c          *Cluster
	}{
		{"undefined", "table ip t { chain c { iifname $holdfast_dev_dmz accept\n oifname $mine accept } }\ndefine mine = \"x\"", edge()},
		{"hides", "define holdfast_vips4 = 1.2.3.4\ntable ip t { }", edge()},
		{"string", "table ip t { chain c { log prefix \"$not_a_variable \" } }", edge()},
		{"one member lacks it", "table ip t { chain c { ip6 daddr $holdfast_vip6_inside accept } }", edge()},
		{"masquerade", fmt.Sprintf(nat, "oifname $holdfast_dev_outside masquerade"), edge()},
		{"snat of all", fmt.Sprintf(nat, "oifname $holdfast_dev_outside snat to $holdfast_vip4_outside"), edge()},
		{"snat of all, no cluster", fmt.Sprintf(nat, "snat to 1.2.3.4"), nil},
		{"snat of all but members", fmt.Sprintf(nat, "ip saddr != $holdfast_owns4 oifname $holdfast_dev_outside snat to $holdfast_vip4_outside"), edge()},
		{"members spared before", fmt.Sprintf(nat, "ip saddr $holdfast_owns4 accept\noifname $holdfast_dev_outside snat to $holdfast_vip4_outside"), edge()},
		{"snat of what came in", fmt.Sprintf(nat, "iifname $holdfast_dev_inside snat to $holdfast_vip4_outside"), edge()},
		{"snat of own outside network", fmt.Sprintf(nat, "ip saddr 192.0.2.0/24 oifname $holdfast_dev_outside snat to $holdfast_vip4_outside"), edge()},
		{"snat of inside, leaving outside", fmt.Sprintf(nat, "ip saddr 10.0.0.0/24 oifname $holdfast_dev_outside snat to $holdfast_vip4_outside"), edge()},
		{"snat of inside, leaving anywhere", fmt.Sprintf(nat, "ip saddr { 172.16.0.0/12, 10.0.0.0/8 } snat to $holdfast_vip4_outside"), edge()},
		{"snat of net by name", fmt.Sprintf(nat, "ip saddr $holdfast_net4_inside oifname { \"eth1\", \"x\" } snat to $holdfast_vip4_outside"), edge()},
		{"snat of a set", fmt.Sprintf(nat, "ip saddr @customers snat to $holdfast_vip4_outside"), edge()},
		{"snat without ports", fmt.Sprintf(nat, "iifname $holdfast_dev_inside snat to $holdfast_vip4_outside"), sharing},
		{"snat with ports", fmt.Sprintf(nat, "iifname $holdfast_dev_inside snat to $holdfast_vip4_outside:$holdfast_snat_ports"), sharing},
		{"vip", "table ip t { chain c { ip daddr 192.0.2.1 accept\n ip daddr { 192.0.2.9, 192.0.2.77 } dnat to 10.0.0.1:80 } }", edge()},
		{"vip6", "table ip6 t { chain c { snat to [2001:db8::1]:1-2\n} }", edge()},
		{"device", "table ip t { chain c { iifname { \"eth0\", \"eth1\" } accept\n oifname eno1 accept\n log prefix \"eth0\" } }", edge()},
		{"index", "table ip t { chain c { iif eth1 accept\n iif lo accept\n iif \"lo\" accept } }", edge()},
		{"forward forgets", fmt.Sprintf(filter, "forward", "tcp dport 80 accept"), nil},
		{"forward", fmt.Sprintf(filter, "forward", "ct state established,related accept"), nil},
		{"forward by map", fmt.Sprintf(filter, "forward", "ct state vmap { established : accept, new : jump x }"), nil},
		{"output", fmt.Sprintf(filter, "output", "tcp dport 80 accept"), nil},
		{"bridge", "table bridge b { chain c { type filter hook forward priority 0; policy drop; } }", nil},
		{"netdev", "table netdev b { chain c { type filter hook ingress device \"eth2\" priority 0; policy drop; ether type 0x88b5 accept\n } }", edge()},
	} {
		fmt.Fprintf(&got, "%s\n", k.what)
		for _, w := range parse(t, k.text).Lint(k.c) {
			fmt.Fprintf(&got, "\t%v %v\n", w, w.Fatal)
		}
	}
	golden(t, "lint.golden", got.String())
	if w := parse(t, read(t, "edge.nft")).Lint(edge()); w != nil {
		t.Errorf("the example of the documentation: %v", w)
	}
}

// FuzzParse: a ruleset is an operator's text. Whatever it is, reading, rendering, comparing and linting it end; what is rendered has every line
// in its place.
func FuzzParse(f *testing.F) {
	f.Add(read(f, "edge.nft"))
	f.Add(read(f, "edge-new.nft"))
	f.Add("table inet f { chain a { log prefix \"}\" } set b { elements = { a, b : { c } } } }")
	c := edge()
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse("x", text)
		if err != nil {
			return
		}
		out := r.Render(c.Definitions(0), Mark{Cluster: 1, Generation: 2})
		rest := out.Text
		for range out.Lines {
			_, rest, _ = strings.Cut(rest, "\n")
		}
		if n := strings.Count(strings.TrimSuffix(text, "\n"), "\n"); strings.Count(strings.TrimSuffix(rest, "\n"), "\n") != n {
			t.Fatalf("%d lines became %d", n, strings.Count(rest, "\n"))
		}
		if d := Diff(r, r); d != nil {
			t.Fatalf("differs from itself: %v", d)
		}
		r.Lint(c)
	})
}

func TestUses(t *testing.T) {
	r, err := Parse("a.nft", "table ip a {\n\tchain c {\n\t\tip daddr { $holdfast_vip4_out,$holdfast_own4_in } accept comment \"$holdfast_member\"\n\t}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range r.Uses([]Definition{{"holdfast_member", "0"}, {"holdfast_own4_in", "10.0.0.1"}, {"holdfast_own4", "10.0.0.2"}, {"holdfast_vip4_out", "192.0.2.1"}}) {
		got = append(got, d.Name)
	}
	if text := strings.Join(got, " "); text != "holdfast_own4_in holdfast_vip4_out" {
		t.Errorf("it uses %s", text)
	}
}
