// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

func addrs(list ...string) (all []netip.Addr) {
	for _, a := range list {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

// segment is a pair of interfaces: the member's with 10.22.0.1 and 2001:db8:22::1, a host's with .2 and ::2.
func segment(t *testing.T) (here, there *linktest.Namespace) {
	here, there = linktest.Here(t), linktest.New(t)
	linktest.Veth(here, "hfn0", there, "hfn1")
	t.Cleanup(func() { _, _ = here.Try("ip", "link", "del", "hfn0") })
	for _, a := range []string{"10.22.0.1/24", "2001:db8:22::1/64"} {
		here.Addr("hfn0", a)
		there.Addr("hfn1", strings.Replace(a, "1/", "2/", 1))
	}
	here.Run("ping", "-c1", "-w5", "2001:db8:22::2") // IPv6 is ready
	return here, there
}

func TestPing(t *testing.T) {
	_, there := segment(t)
	own := Source{IPv4: netip.MustParseAddr("10.22.0.1"), IPv6: netip.MustParseAddr("2001:db8:22::1"), Device: "hfn0"}
	for _, from := range []Source{{}, own} {
		good(t, Ping{Targets: addrs("10.22.0.2"), From: from})
		good(t, Ping{Targets: addrs("2001:db8:22::2"), From: from})
		good(t, Ping{Targets: addrs("10.22.0.2", "2001:db8:22::2"), All: true, From: from})
		good(t, Ping{Targets: addrs("10.22.0.77", "10.22.0.2"), From: from})
		for range 5 { // whichever family is looked at first
			good(t, Ping{Targets: addrs("10.22.0.77", "2001:db8:22::2"), From: from})
			good(t, Ping{Targets: addrs("10.22.0.2", "2001:db8:22::77"), From: from})
		}
		bad(t, Ping{Targets: addrs("10.22.0.77", "10.22.0.2"), All: true, From: from}, "1 of 2 targets: 10.22.0.77: no echo reply")
		bad(t, Ping{Targets: addrs("10.22.0.77", "2001:db8:22::77"), From: from}, "2 of 2 targets: 10.22.0.77: no echo reply, 2001:db8:22::77: no echo reply")
	}
	bad(t, Ping{Targets: addrs("203.0.113.1")}, "network is unreachable")
	bad(t, Ping{Targets: addrs("10.22.0.2"), From: Source{IPv4: netip.MustParseAddr("10.99.99.99")}}, "cannot assign requested address")
	w := serve(t, Spec{Check: Ping{Targets: addrs("10.22.0.2"), From: own}, Interval: 60 * time.Millisecond, Timeout: 50 * time.Millisecond, Fall: 2})
	w.want(verdict.OK, "")
	there.SetUp("hfn1", false)
	w.want(verdict.Problem, "10.22.0.2: ")
	there.SetUp("hfn1", true)
	w.want(verdict.OK, "")
}

func TestPingAnswerOfAnother(t *testing.T) {
	p := &ping{Ping: Ping{Targets: addrs("2001:db8:22::", "10.22.0.2")}}
	a := asking{answered: map[netip.Addr]bool{}}
	if a.take(p, netip.MustParseAddr("2001:db8:22::2")) || len(a.answered) != 0 {
		t.Error("an address that was not asked has answered, and is taken for a target")
	}
	if !a.take(p, netip.MustParseAddr("10.22.0.2")) {
		t.Error("one target has answered, which is enough")
	}
}

func TestARP(t *testing.T) {
	here, there := segment(t)
	own := []netip.Prefix{netip.MustParsePrefix("10.23.0.1/24"), netip.MustParsePrefix("10.22.0.1/24"), netip.MustParsePrefix("2001:db8:22::1/64")}
	arp := func(all bool, targets ...string) ARP {
		return ARP{Targets: addrs(targets...), All: all, Device: "hfn0", Own: own}
	}
	check := func(c ARP) verdict.Result {
		t.Helper()
		w := serve(t, Spec{Check: c, Timeout: 800 * time.Millisecond, Fall: 1})
		r := w.next()
		out := verdict.Fine()
		if r.Status == verdict.Problem {
			out = verdict.Wrong(r.Reason)
		}
		return out
	}
	for _, k := range []struct {
		of   ARP
		want string
	}{
		{arp(true, "10.22.0.2", "2001:db8:22::2"), ""},
		{arp(false, "10.22.0.77", "10.22.0.2"), ""},
		{arp(true, "10.22.0.77", "10.22.0.2"), "1 of 2 targets: 10.22.0.77: nobody answers on hfn0"},
		{arp(false, "10.22.0.77"), "10.22.0.77: nobody answers on hfn0"},
		{ARP{Targets: addrs("10.22.0.2"), Device: "none0"}, "device none0: "},
	} {
		if r := check(k.of); !strings.HasPrefix(r.Reason, k.want) || (r.Reason == "") != (k.want == "") {
			t.Errorf("%v: %+v, want %q", k.of.Targets, r, k.want)
		}
	}
	// A host that answers no echo requests is well for ARP.
	there.Run("sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
	bad(t, Ping{Targets: addrs("10.22.0.2")}, "no echo reply")
	w := serve(t, Spec{Check: arp(true, "10.22.0.2"), Interval: 60 * time.Millisecond, Timeout: 50 * time.Millisecond, Fall: 2})
	w.want(verdict.OK, "")
	there.SetUp("hfn1", false)
	w.want(verdict.Problem, "10.22.0.2: ") // nobody answers, or the kernel takes no frame any more
	there.SetUp("hfn1", true)
	w.want(verdict.OK, "")
	here.SetUp("hfn0", false)
	w.want(verdict.Problem, "hfn0 is down")
}

// TestRoute: a route that comes or goes is noticed at once, though the interval is an hour.
func TestRoute(t *testing.T) {
	here, there := segment(t)
	ip := func(args string) { t.Helper(); here.Run("ip", strings.Fields(args)...) }
	def := netip.MustParsePrefix("0.0.0.0/0")
	via := netip.MustParseAddr("10.22.0.2")
	w := serve(t, Spec{Check: Route{Prefix: def, Table: 254, Via: via, Device: "hfn0", Protocol: 186, Min: 1}})
	w.want(verdict.Problem, "no route to 0.0.0.0/0 via 10.22.0.2 dev hfn0 of bgp")
	ip("route add default via 10.22.0.2 proto bgp")
	w.want(verdict.OK, "")
	ip("route del default")
	w.want(verdict.Problem, "no route")
	ip("route add default via 10.22.0.3 proto bgp") // another next hop
	ip("route add default via 10.22.0.2 proto bgp metric 5")
	w.want(verdict.OK, "")
	ip("route flush default")
	w.want(verdict.Problem, "no route")
	ip("route add default via 10.22.0.2 proto bgp")
	w.want(verdict.OK, "")
	ip("route replace default via 10.22.0.2 proto static") // of which the old one is not told
	w.want(verdict.Problem, "no route")
	ip("route replace default via 10.22.0.2 proto bgp")
	w.want(verdict.OK, "")
	here.SetUp("hfn0", false) // of this the kernel does not tell
	w.want(verdict.Problem, "no route")
	here.SetUp("hfn0", true)
	ip("route add default via 10.22.0.2 proto bgp")
	w.want(verdict.OK, "")
	there.SetUp("hfn1", false) // nor of this: the route stays and leads nowhere
	w.want(verdict.Problem, "no route")
}

func TestRouteKinds(t *testing.T) {
	here, _ := segment(t)
	ip := func(args string) { t.Helper(); here.Run("ip", strings.Fields(args)...) }
	ip("route add 10.50.0.0/16 via 10.22.0.2 proto ospf")
	ip("route add 10.51.0.0/16 proto ospf nexthop via 10.22.0.2 nexthop via 10.22.0.3")
	ip("-6 route add 2001:db8:50::/48 via 2001:db8:22::2 proto static")
	ip("route add blackhole 10.52.0.0/16")
	ip("route add 10.53.0.0/16 via inet6 2001:db8:22::2 table 1000")
	ip("nexthop add id 7 via 10.22.0.2 dev hfn0")
	ip("route add 10.54.0.0/16 nhid 7 proto bgp")
	p := netip.MustParsePrefix
	main := func(prefix string) Route { return Route{Prefix: p(prefix), Table: 254, Min: 1} }
	good(t, main("10.50.0.0/16"))
	bad(t, main("10.50.0.0/17"), "no route to 10.50.0.0/17")
	good(t, main("2001:db8:50::/48"))
	bad(t, main("::/0"), "no route to ::/0")
	bad(t, main("10.52.0.0/16"), "no route") // a black hole is no way
	good(t, main("10.54.0.0/16"))
	bad(t, main("10.53.0.0/16"), "no route")
	good(t, Route{Prefix: p("10.53.0.0/16"), Table: 1000, Min: 1})
	good(t, Route{Prefix: p("10.53.0.0/16"), Table: 1000, Via: netip.MustParseAddr("2001:db8:22::2"), Min: 1})
	bad(t, Route{Prefix: p("10.53.0.0/16"), Table: 1001, Min: 1}, "no route to 10.53.0.0/16 in table 1001")
	good(t, Route{Prefix: p("10.51.0.0/16"), Table: 254, Via: netip.MustParseAddr("10.22.0.3"), Min: 1})
	good(t, Route{Prefix: p("10.51.0.0/16"), Table: 254, Min: 2})
	bad(t, Route{Prefix: p("10.51.0.0/16"), Table: 254, Min: 3}, "2 routes to 10.51.0.0/16, fewer than 3")
	good(t, Route{Table: 254, Protocol: 188, Min: 3})
	bad(t, Route{Table: 254, Protocol: 188, Min: 4}, "3 routes of ospf, fewer than 4")
	good(t, Route{Prefix: p("10.50.0.0/16"), Table: 254, Device: "hfn0", Min: 1})
	bad(t, Route{Prefix: p("10.50.0.0/16"), Table: 254, Device: "lo", Min: 1}, "no route to 10.50.0.0/16 dev lo")
	bad(t, Route{Prefix: p("10.50.0.0/16"), Table: 254, Device: "none0", Min: 1}, "no route")
}

// TestRouteLookup: a route that is what an address in its prefix takes is found without the table.
func TestRouteLookup(t *testing.T) {
	here, _ := segment(t)
	ip := func(args string) { t.Helper(); here.Run("ip", strings.Fields(args)...) }
	ip("route add default via 10.22.0.2")
	ip("-6 route add default via 2001:db8:22::2")
	ip("route add 10.50.0.0/16 via 10.22.0.2")
	ip("-6 route add 2001:db8:50::/48 via 2001:db8:22::2")
	a, err := openRoutes()
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	for _, prefix := range []string{"0.0.0.0/0", "::/0", "10.50.0.0/16", "2001:db8:50::/48"} {
		r := &route{Route: Route{Prefix: netip.MustParsePrefix(prefix), Table: 254, Min: 1}}
		n := 0
		err := a.ask(unix.RTM_GETROUTE, 0, r.lookup(), func(b []byte) {
			if p, ok := parseRoute(b); ok && r.same(p) {
				n += r.hops(p, 0)
			}
		})
		if err != nil || n != 1 {
			t.Errorf("%s: %d routes, %v", prefix, n, err)
		}
		good(t, r.Route)
	}
}

// TestManyRoutes: a table that takes many messages is counted whole.
func TestManyRoutes(t *testing.T) {
	here, _ := segment(t)
	var batch strings.Builder
	const many = 4000
	for i := range many {
		fmt.Fprintf(&batch, "route add 10.%d.%d.0/24 via 10.22.0.2 proto isis\n", 100+i/256, i%256)
	}
	path := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(path, []byte(batch.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	here.Run("ip", "-batch", path)
	good(t, Route{Table: 254, Protocol: 187, Min: many})
	bad(t, Route{Table: 254, Protocol: 187, Min: many + 1}, "4000 routes of isis, fewer than 4001")
	good(t, Route{Prefix: netip.MustParsePrefix("10.100.0.0/24"), Table: 254, Min: 1})
}

// TestRouteStorm: changes of other routes wake nobody.
func TestRouteStorm(t *testing.T) {
	here, _ := segment(t)
	w := serve(t, Spec{Check: Route{Prefix: netip.MustParsePrefix("10.22.0.0/24"), Table: 254, Min: 1}})
	w.want(verdict.OK, "")
	for _, verb := range []string{"add", "del"} {
		for range 20 {
			here.Run("ip", "route", "replace", "10.60.0.0/16", "via", "10.22.0.2")
			_, _ = here.Try("ip", "route", verb, "10.61.0.0/16", "via", "10.22.0.2")
		}
	}
	here.Run("ip", "route", "del", "10.22.0.0/24")
	w.want(verdict.Problem, "")
	if n := w.set.States()[0].Checks; n > 3 {
		t.Errorf("%d checks, though two changes mattered", n)
	}
}

// TestTable: a ruleset that comes or goes is noticed at once.
func TestTable(t *testing.T) {
	labtest.Require(t, "nft")
	here := linktest.Here(t)
	nft := func(line string) { t.Helper(); here.Run("nft", line) }
	t.Cleanup(func() { nft("flush ruleset") })
	w := serve(t, Spec{Check: Table{Family: "inet", Name: "hf"}})
	w.want(verdict.Problem, "no table inet hf")
	nft("add table inet other; add table ip hf")
	nft("add table inet hf")
	w.want(verdict.Problem, "table inet hf is empty")
	nft("add chain inet hf c { type filter hook input priority 0; }")
	w.want(verdict.OK, "")
	nft("add table inet hf { flags dormant; }")
	w.want(verdict.Problem, "table inet hf is dormant")
	nft("add table inet hf")
	w.want(verdict.OK, "")
	nft("flush ruleset")
	w.want(verdict.Problem, "no table inet hf")
}
