// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/policy"
)

// gateway is a place between a client's network, in, and a server's, out.
func gateway(t testing.TB) *place {
	t.Helper()
	labtest.Require(t, "nft", "ip", "conntrack")
	prefix := netip.MustParsePrefix
	p := newPlace(t, Link{"in", []netip.Prefix{prefix("198.51.100.1/24"), prefix("2001:db8:1::1/64")}},
		Link{"out", []netip.Prefix{prefix("192.0.2.1/24"), prefix("2001:db8:2::1/64")}}, Link{"lo", []netip.Prefix{prefix("203.0.113.1/32")}})
	p.run("ip", "route", "add", "10.0.0.0/8", "via", "198.51.100.2", "dev", "in", "onlink")
	p.run("ip", "route", "add", "default", "via", "192.0.2.2", "dev", "out", "onlink")
	return p
}

// know puts an entry into the connection table.
func (p *place) know(args string) {
	p.t.Helper()
	w := append([]string{"conntrack", "-I"}, append(strings.Fields(args), "-t", "600")...)
	if slices.Contains(w, "tcp") {
		w = append(w, "--state", "ESTABLISHED", "-u", "ASSURED,SEEN_REPLY")
	}
	p.run(w...)
}

// known are the entries, as "PROTOCOL SOURCE>DESTINATION:PORT".
func (p *place) known() string {
	p.t.Helper()
	var all []string
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, line := range strings.Split(strings.TrimSpace(p.run("conntrack", "-L", "-f", family)), "\n") {
			f := map[string]string{}
			for _, w := range strings.Fields(line) {
				if k, v, ok := strings.Cut(w, "="); ok && f[k] == "" {
					f[k] = v
				}
			}
			if f["src"] == "" || strings.HasPrefix(f["dst"], "224.") || strings.HasPrefix(f["dst"], "ff") {
				continue // the devices' own
			}
			all = append(all, fmt.Sprintf("%s %s>%s:%s", strings.Fields(line)[0], f["src"], f["dst"], f["dport"]))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

const before = `table inet filter { chain forward { type filter hook forward priority filter; policy accept; }; }`

func rematch(t testing.TB, p *place, k *Kernel, rules string, keep ...policy.Set) Rematched {
	t.Helper()
	next := bundle(t, 2, rules, keep...)
	install(t, k, bundle(t, 1, before))
	install(t, k, next)
	r, err := k.Rematch(t.Context(), next, RematchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Judged+r.Kept+r.Left != r.Entries || r.Ended > r.Judged {
		t.Errorf("numbers that do not agree: %+v", r)
	}
	return r
}

// Each kind of connection: what the new policy would not let begin is no more, and nothing else.
func TestRematch(t *testing.T) {
	p := gateway(t)
	k := p.kernel()
	for _, e := range []string{
		"-p tcp -s 198.51.100.9 -d 192.0.2.9 --sport 1000 --dport 22",
		"-p tcp -s 198.51.100.9 -d 192.0.2.9 --sport 1000 --dport 23",
		"-p tcp -s 10.1.2.3 -d 8.8.8.8 --sport 1000 --dport 23",
		"-p tcp -s 8.8.8.8 -d 198.51.100.9 --sport 1000 --dport 23", // from the other side, which is not denied
		"-p udp -s 198.51.100.9 -d 192.0.2.9 --sport 1000 --dport 53",
		"-p udp -s 198.51.100.9 -d 192.0.2.9 --sport 1000 --dport 69",
		"-p icmp -s 198.51.100.9 -d 192.0.2.9 --icmp-type 8 --icmp-code 0 --icmp-id 7",
		"-p icmp -s 198.51.100.9 -d 192.0.2.66 --icmp-type 8 --icmp-code 0 --icmp-id 7",
		"-p tcp -s 2001:db8:1::9 -d 2001:db8:2::9 --sport 1000 --dport 22",
		"-p tcp -s 2001:db8:1::9 -d 2001:db8:2::9 --sport 1000 --dport 23",
		"-p tcp -s 198.51.100.9 -d 198.51.100.1 --sport 1000 --dport 22", // to the gateway itself
		"-p tcp -s 198.51.100.9 -d 203.0.113.1 --sport 1000 --dport 80",
		"-p tcp -s 192.0.2.1 -d 192.0.2.9 --sport 1000 --dport 443", // and its own
		"-p tcp -s 192.0.2.1 -d 192.0.2.9 --sport 1000 --dport 444",
		"-p gre -s 198.51.100.9 -d 192.0.2.9 --srckey 1 --dstkey 2", // of which no first packet is known
	} {
		p.know(e)
	}
	r := rematch(t, p, k, `
table inet filter {
	set blocked { type ipv4_addr; elements = { 192.0.2.66 }; }
	chain input { type filter hook input priority filter; policy drop; ct state established,related accept; tcp dport 22 iifname "in" accept; }
	chain output { type filter hook output priority filter; policy accept; tcp dport 444 reject; }
	chain forward { type filter hook forward priority filter; policy drop;
		ct state established,related accept
		ip daddr @blocked drop
		iifname "in" oifname "out" tcp dport 22 ct state new accept
		iifname "out" accept
		udp dport 53 accept
		icmp type echo-request accept
	}
}`)
	const want = "gre 198.51.100.9>192.0.2.9:, icmp 198.51.100.9>192.0.2.9:, tcp 192.0.2.1>192.0.2.9:443, tcp 198.51.100.9>192.0.2.9:22, tcp 198.51.100.9>198.51.100.1:22, " +
		"tcp 2001:db8:1::9>2001:db8:2::9:22, tcp 8.8.8.8>198.51.100.9:23, udp 198.51.100.9>192.0.2.9:53"
	if got := strings.ReplaceAll(p.known(), "unknown ", "gre "); got != want {
		t.Errorf("left are\n%s\nwant\n%s", got, want)
	}
	if r.Judged != 14 || r.Kept < 1 || r.Ended != 7 || r.Left != 0 {
		t.Errorf("%+v", r)
	}
}

// What a policy translates is judged as it translates it; what others translate is left alone.
func TestRematchTranslated(t *testing.T) {
	const chains = `
table inet filter { chain forward { type filter hook forward priority filter; policy drop; ip daddr 192.0.2.9 tcp dport 8080 accept; };
	chain input { type filter hook input priority filter; policy drop; }; }`
	const dnat = `
table ip nat {
	chain to { type nat hook prerouting priority dstnat; ip daddr 203.0.113.1 tcp dport 80 dnat to 192.0.2.9:8080; ip daddr 203.0.113.1 tcp dport 81 dnat to 192.0.2.8:8080; }
	chain from { type nat hook postrouting priority srcnat; oifname "out" snat to 203.0.113.1; }
}`
	for _, tc := range []struct {
		name, rules, want string
		ended             int
	}{
		{"its own", chains + dnat, "tcp 198.51.100.9>203.0.113.1:80", 1},
		{"others'", chains, "tcp 198.51.100.9>203.0.113.1:80, tcp 198.51.100.9>203.0.113.1:81", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := gateway(t)
			for port, server := range map[string]string{"80": "192.0.2.9", "81": "192.0.2.8"} {
				p.know("-p tcp -s 198.51.100.9 -d 203.0.113.1 -r " + server + " -q 203.0.113.1 --sport 1000 --dport " + port +
					" --reply-port-src 8080 --reply-port-dst 1000 --dst-nat " + server + " --src-nat 203.0.113.1")
			}
			r := rematch(t, p, p.kernel(), tc.rules)
			if got := p.known(); got != tc.want || r.Ended != tc.ended {
				t.Errorf("left are %s, want %s; %+v", got, tc.want, r)
			}
		})
	}
}

// Kept sets have the elements that they have here, and limits are not reached by trying.
func TestRematchLimits(t *testing.T) {
	p := gateway(t)
	k := p.kernel()
	for i := range 40 {
		p.know(fmt.Sprintf("-p tcp -s 198.51.100.%d -d 192.0.2.9 --sport 1000 --dport 22", i+50))
	}
	p.know("-p tcp -s 198.51.100.66 -d 192.0.2.9 --sport 1001 --dport 23")
	rules := func(drop string) string {
		return `
table inet filter {
	limit few { rate over 1/hour burst 2 packets; }
	quota little { over 100 bytes; }
	set blocked { type ipv4_addr; flags timeout; }
	set talkers { type ipv4_addr; size 1000; flags dynamic; }
	chain forward { type filter hook forward priority filter; policy drop;
		ip saddr @blocked drop
		` + drop + `
		tcp dport 22 limit rate 1/hour burst 1 packets accept
		tcp dport 23 quota until 10 bytes accept
	}
}`
	}
	keep := policy.Set{Family: "inet", Table: "filter", Name: "blocked"}
	install(t, k, bundle(t, 1, rules("")))
	p.run("nft", "add element inet filter.g1 blocked { 198.51.100.50 timeout 1h }")
	next := bundle(t, 2, rules(`limit name "few" drop
		quota name "little" drop
		ct count over 1 drop
		limit rate over 1/hour burst 1 packets drop
		add @talkers { ip saddr limit rate over 1/hour burst 1 packets } drop`), keep)
	install(t, k, next)
	r, err := k.Rematch(t.Context(), next, RematchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Ended != 1 || r.Judged != 41 || strings.Contains(p.known(), "198.51.100.50>") {
		t.Errorf("%+v, left are %s", r, p.known())
	}
}

// Bounds are kept, and the namespace of the member is as it was.
func TestRematchBounds(t *testing.T) {
	p := gateway(t)
	k := p.kernel()
	for i := range 9 {
		p.know(fmt.Sprintf("-p tcp -s 198.51.100.%d -d 192.0.2.9 --sport 1000 --dport 22", i+50))
	}
	deny := bundle(t, 1, `table inet filter { chain forward { type filter hook forward priority filter; policy drop; }; }`)
	install(t, k, deny)
	links := p.run("ip", "-o", "link")
	r, err := k.Rematch(t.Context(), deny, RematchOptions{Most: 4})
	if err != nil || r.Entries < 9 || r.Judged > 4 || r.Left < 5 || r.Ended != r.Judged || r.Ended == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := k.Rematch(t.Context(), deny, RematchOptions{Within: time.Nanosecond}); err == nil || r.Ended != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if now := p.run("ip", "-o", "link"); now != links {
		t.Errorf("devices were\n%s\nand are\n%s", links, now)
	}
	if r, err := k.Rematch(t.Context(), deny, RematchOptions{}); err != nil || r.Ended < 5 || p.known() != "" {
		t.Errorf("%+v, %v: %s", r, err, p.known())
	}
	if r, err := k.Rematch(t.Context(), deny, RematchOptions{}); err != nil || r.Ended != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// BenchmarkRematch is of 50,000 connections and a policy of HOLDFAST_BENCH_RULES rules, a thousand unless given.
func BenchmarkRematch(b *testing.B) {
	n := 1000
	if s := os.Getenv("HOLDFAST_BENCH_RULES"); s != "" {
		_, _ = fmt.Sscan(s, &n)
	}
	p := gateway(b)
	k := p.kernel()
	var load strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&load, "-I -t 600 -p udp -s 10.%d.%d.9 -d 192.0.2.9 --sport 1000 --dport 53\n", i/250, i%250)
	}
	p.feed(load.String(), "conntrack", "-R", "-")
	var rules strings.Builder
	rules.WriteString("table inet filter { chain forward { type filter hook forward priority filter; policy drop;\n")
	for i := range n {
		fmt.Fprintf(&rules, "ip daddr 172.16.%d.%d tcp dport 22 accept\n", i/250, i%250)
	}
	rules.WriteString("udp dport 53 accept\n}; }")
	g := bundle(b, 1, rules.String())
	install(b, k, g)
	for b.Loop() {
		r, err := k.Rematch(b.Context(), g, RematchOptions{Within: time.Minute})
		if err != nil || r.Judged != 50_000 || r.Ended != 0 {
			b.Fatal(r, err)
		}
	}
}
