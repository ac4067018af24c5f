// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func (b *monitorBuilder) tcp() {
	r, m := b.raw, b.m
	b.iface()
	b.source()
	m.SendText, m.Expect = r.Send.text, r.Expect.text
	if !r.Address.set {
		b.missing("address", "write host:port, 127.0.0.1:5432")
		return
	}
	host, port, err := net.SplitHostPort(r.Address.text)
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 || host == "" {
		b.add(r.Address, `write host:port, 127.0.0.1:5432, "[2001:db8::1]:80"`, "not an address with a port")
		return
	}
	if _, err := netip.ParseAddr(host); err != nil && !domainForm.MatchString(host) {
		b.add(r.Address, `write host:port, 127.0.0.1:5432, "[2001:db8::1]:80"`, "not an address with a port")
	}
	m.Address = r.Address.text
}

func (b *monitorBuilder) http() {
	r, m := b.raw, b.m
	b.iface()
	b.source()
	if !r.URL.set {
		b.missing("url", "write https://host/path")
	} else if u, err := url.Parse(r.URL.text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		b.add(r.URL, "write http://host/path or https://host:port/path", "not a URL that can be asked for")
	} else if u.Scheme == "http" {
		for _, s := range []scalar{r.Verify, r.CA, r.ServerName} {
			if s.set {
				b.add(s, "write https://, or leave it out", "without TLS there is no certificate")
			}
		}
	}
	m.URL = r.URL.text
	if s := r.Host; s.set {
		if host, _, err := net.SplitHostPort(s.text); !domainForm.MatchString(s.text) && (err != nil || !domainForm.MatchString(host)) {
			b.add(s, "write www.example.net", "not the name of a host")
		}
	}
	if s := r.ServerName; s.set && !domainForm.MatchString(s.text) {
		b.add(s, "write www.example.net", "not the name of a host")
	}
	m.Host, m.ServerName = r.Host.text, r.ServerName.text
	for _, s := range r.Status {
		code := int(b.number(s, 100, 599, 0))
		if slices.Contains(m.Status, code) && code != 0 {
			b.add(s, "keep one of them", "given twice")
		}
		m.Status = append(m.Status, code)
	}
	slices.Sort(m.Status)
	m.Body = b.pattern(r.Body)
	m.NoVerify = !b.flag(r.Verify, true)
	m.CA = b.builder.absolute(r.CA)
	m.Redirects = b.flag(r.Redirects, false)
}

// source reads the address to ask from: with interface, the member's own address there is taken instead.
func (b *monitorBuilder) source() {
	s := b.raw.Source
	a, ok := b.address(s)
	switch {
	case !ok:
	case b.raw.Interface.set:
		b.add(s, "keep one of them", "interface is given too, and says which address is taken")
	case b.isVIP(a):
		b.add(s, "use interface: NAME, and the member's own address there is taken", "a virtual address: the answer would go to the member that serves")
	default:
		b.m.Source = a
	}
}

func (b *monitorBuilder) targets() {
	r, m := b.raw, b.m
	b.iface()
	b.source()
	m.All = choice(b.builder, r.Need, "any", "any", "all") == "all"
	if m.Type == MonitorARP && !r.Interface.set {
		b.missing("interface", "name the segment that the targets are on")
	}
	if len(r.Targets) == 0 {
		b.missing("targets", "list addresses: [192.0.2.254]")
	}
	if len(r.Targets) > maxTargets {
		b.add(r.Targets[maxTargets], "name at most "+strconv.Itoa(maxTargets), "too many targets: %d", len(r.Targets))
	}
	for _, s := range r.Targets {
		a, ok := b.address(s)
		switch {
		case !ok:
		case slices.Contains(m.Targets, a):
			b.add(s, "keep one of them", "given twice")
		case b.isVIP(a):
			b.add(s, "ask a host that is no member", "a virtual address: this member would answer itself")
		default:
			b.reachable(s, a)
			m.Targets = append(m.Targets, a)
		}
	}
	slices.SortFunc(m.Targets, netip.Addr.Compare)
}

// reachable refuses targets that the members have no address to ask from.
func (b *monitorBuilder) reachable(s scalar, a netip.Addr) {
	m := b.m
	if m.Source.IsValid() && m.Source.Is4() != a.Is4() {
		b.add(s, "choose targets and source of one family", "not of the family of the source %s", m.Source)
	}
	if m.Interface == "" {
		return
	}
	for _, member := range b.c.Members {
		if !m.On(member.Name) {
			continue
		}
		family, near := false, false
		for _, p := range member.Interfaces[m.Interface].Addresses {
			family = family || p.Addr().Is4() == a.Is4()
			near = near || p.Contains(a)
			if p.Addr() == a {
				b.add(s, "ask a host that is no member", "%s's own address", member.Name)
			}
		}
		switch {
		case !family:
			b.add(s, "give it one, or choose another interface", "%s has no own address of that family on %s to ask from", member.Name, m.Interface)
		case m.Type == MonitorARP && !near && !a.IsLinkLocalUnicast():
			b.add(s, "choose a host on that segment, or type: ping", "not in %s's network on %s", member.Name, m.Interface)
		}
	}
}

func (b *monitorBuilder) rates() {
	r, m := b.raw, b.m
	b.oneOf()
	if !r.Interface.set && !r.NetDev.set {
		b.missing("interface", "name one of the cluster's, or a device with netdev")
	}
	m.MinReceive, m.MaxReceive = b.rate(r.MinReceive), b.rate(r.MaxReceive)
	m.MinSend, m.MaxSend = b.rate(r.MinSend), b.rate(r.MaxSend)
	m.MaxErrors, m.MaxDrops = b.perSecond(r.MaxErrors), b.perSecond(r.MaxDrops)
	bounds := []scalar{r.MinReceive, r.MaxReceive, r.MinSend, r.MaxSend, r.MaxErrors, r.MaxDrops}
	if !slices.ContainsFunc(bounds, func(s scalar) bool { return s.set }) {
		b.at(b.raw.Line, b.path, "give one of min-receive, max-receive, min-send, max-send, max-errors, max-drops", "a monitor without a bound")
	}
	for _, k := range []struct {
		low, high Rate
		at        scalar
	}{{m.MinReceive, m.MaxReceive, r.MaxReceive}, {m.MinSend, m.MaxSend, r.MaxSend}} {
		if k.at.set && k.low != (Rate{}) && k.low.Packets == k.high.Packets && k.low.PerSecond > k.high.PerSecond {
			b.add(k.at, "choose at least the lower one", "below the other bound")
		}
	}
}

var rateUnits = []struct {
	suffix  string
	size    float64
	packets bool
}{
	{"Gbit", 1e9, false}, {"Mbit", 1e6, false}, {"kbit", 1e3, false}, {"bit", 1, false},
	{"Mpps", 1e6, true}, {"kpps", 1e3, true}, {"pps", 1, true},
}

// rate reads 10Mbit, 500pps.
func (b *builder) rate(s scalar) Rate {
	if !s.set {
		return Rate{}
	}
	for _, u := range rateUnits {
		text, is := strings.CutSuffix(s.text, u.suffix)
		if !is {
			continue
		}
		if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 && n*u.size <= 1e15 {
			return Rate{PerSecond: n * u.size, Packets: u.packets}
		}
		break
	}
	b.add(s, "write it per second with its unit: 10Mbit, 500kbit, 1000pps", "not a rate")
	return Rate{}
}

// perSecond reads a number of events, which may be 0.
func (b *builder) perSecond(s scalar) *float64 {
	if !s.set {
		return nil
	}
	n := b.decimal(s, 0, 1e12, 0)
	return &n
}

// decimal reads a number that may have a fraction.
func (b *builder) decimal(s scalar, lo, hi, def float64) float64 {
	if !s.set {
		return def
	}
	n, err := strconv.ParseFloat(s.text, 64)
	if err != nil || !(n >= lo && n <= hi) { // not a number is neither
		b.add(s, "write a number between "+strconv.FormatFloat(lo, 'f', -1, 64)+" and "+strconv.FormatFloat(hi, 'f', -1, 64), "out of range or not a number")
		return def
	}
	return n
}

// routeProtocols are the names of iproute2.
var routeProtocols = []string{"kernel", "boot", "static", "ra", "zebra", "bird", "dhcp", "keepalived", "babel", "bgp", "isis", "ospf", "rip", "eigrp"}

func (b *monitorBuilder) route() {
	r, m := b.raw, b.m
	b.oneOf()
	m.Prefix = b.destination(r.Prefix)
	if !r.Prefix.set && !r.Protocol.set {
		b.missing("prefix", "give the route's destination, or a protocol to count its routes")
	}
	m.Table = "254"
	if r.Table.set && r.Table.text != "main" {
		m.Table = strconv.FormatUint(b.number(r.Table, 1, 1<<32-1, 254), 10)
	}
	m.Via, _ = b.address(r.Via)
	if m.Via.IsValid() && m.Prefix.IsValid() && m.Via.Is4() && m.Prefix.Addr().Is6() {
		b.add(r.Via, "give an IPv6 next hop", "an IPv4 next hop of an IPv6 route")
	}
	if s := r.Protocol; s.set && !slices.Contains(routeProtocols, s.text) {
		if n, err := strconv.ParseUint(s.text, 10, 8); err != nil || n == 0 {
			b.add(s, "write a number of 1 to 255, or "+strings.Join(routeProtocols, ", "), "not a routing protocol")
		}
	}
	m.Protocol = r.Protocol.text
	m.Min = int(b.number(r.Min, 1, 10000000, 1))
}

// destination reads the prefix of a route, which may be the default one.
func (b *builder) destination(s scalar) netip.Prefix {
	if !s.set {
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(s.text)
	switch {
	case err != nil:
		b.add(s, `write 0.0.0.0/0, 10.0.0.0/8, "2001:db8::/32"`, "not a destination of a route")
	case p != p.Masked():
		b.add(s, "write "+p.Masked().String(), "host bits are set in a network")
	default:
		return p
	}
	return netip.Prefix{}
}
