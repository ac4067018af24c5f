// SPDX-License-Identifier: Apache-2.0

package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxRALifetime is the largest lifetime of a default router (RFC 4861 section 6.2.1).
	maxRALifetime = 9000 * time.Second
	// maxRAOctets is what every IPv6 link carries in one packet; router advertisements are not fragmented.
	maxRAOctets = 1280
	// maxRADNS and maxRASearch are what fits into one option of 31 x 8 octets.
	maxRADNS, maxRASearch = 15, 240
)

// routerAdv reads the router advertisements of an interface; nil if it has none. A default router's lifetime below the interval
// would make hosts lose their router between two advertisements.
func (b *builder) routerAdv(path string, r rawRouterAdv) *RouterAdv {
	if r.Line == 0 {
		return nil
	}
	ra := &RouterAdv{
		Interval:    b.duration(r.Interval, 4*time.Second, 30*time.Minute, 10*time.Second),
		Preference:  choice(b, r.Preference, "medium", "low", "medium", "high"),
		Managed:     b.flag(r.Managed, false),
		OtherConfig: b.flag(r.OtherConfig, false),
		MTU:         uint32(b.number(r.MTU, 0, 65535, 0)),
		HopLimit:    uint8(b.number(r.HopLimit, 0, 255, 64)),
	}
	ra.Lifetime = b.seconds(r.Lifetime, 0, maxRALifetime, 3*ra.Interval)
	if ra.Lifetime != 0 && ra.Lifetime < ra.Interval {
		b.add(r.Lifetime, "choose 0s (not a default router) or at least "+short(ra.Interval), "shorter than the interval")
	}
	if ra.MTU != 0 && ra.MTU < 1280 {
		b.add(r.MTU, "choose at least 1280", "below the least MTU of IPv6")
	}
	for _, p := range r.Prefixes {
		b.raPrefix(path, ra, p)
	}
	for _, s := range r.DNS {
		if a, ok := b.address(s); ok && a.Is4() {
			b.add(s, "give an IPv6 address; IPv4 servers come by DHCP", "an IPv4 address in a router advertisement")
		} else if ok {
			ra.DNS = append(ra.DNS, a)
		}
	}
	for _, s := range r.Search {
		if !domainForm.MatchString(s.text) || len(s.text) > 253 {
			b.add(s, "write example.net", "not a domain name")
			continue
		}
		ra.Search = append(ra.Search, strings.TrimSuffix(s.text, "."))
	}
	ra.DNSLifetime = b.seconds(r.DNSLifetime, ra.Interval, maxRALifetime, 3*ra.Interval)
	if len(ra.DNS) > maxRADNS {
		b.add(r.DNS[maxRADNS], "name at most "+strconv.Itoa(maxRADNS), "too many servers: %d", len(ra.DNS))
	}
	if n := ra.searchOctets(); n > maxRASearch {
		b.add(r.Search[len(r.Search)-1], "name fewer", "the search domains take %d octets of %d", n, maxRASearch)
	}
	if n := ra.octets(); n > maxRAOctets {
		b.at(r.Line, path, "give fewer prefixes, servers or domains", "an advertisement of %d octets; no more than %d are sure to pass",
			n, maxRAOctets)
	}
	return ra
}

// seconds reads a lifetime, which is sent in whole seconds.
func (b *builder) seconds(s scalar, lo, hi, def time.Duration) time.Duration {
	d := b.duration(s, lo, hi, def)
	if s.set && d%time.Second != 0 {
		b.add(s, "choose "+short(d.Round(time.Second)), "not whole seconds")
	}
	return d
}

// octets is the length of the advertisement with its IPv6 header (RFC 4861 section 4.2, RFC 8106 section 5).
func (r *RouterAdv) octets() int {
	n := 40 + 16 + 8 + 32*len(r.Prefixes) // headers and own MAC
	if r.MTU != 0 {
		n += 8
	}
	if len(r.DNS) > 0 {
		n += 8 + 16*len(r.DNS)
	}
	if len(r.Search) > 0 {
		n += 8 + r.searchOctets()
	}
	return n
}

// searchOctets is the length of the search domains: each label and each name has an octet more.
func (r *RouterAdv) searchOctets() int {
	n := 0
	for _, s := range r.Search {
		n += len(s) + 2
	}
	return (n + 7) / 8 * 8
}

var domainForm = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?$`)

func (b *builder) raPrefix(path string, ra *RouterAdv, r rawRAPrefix) {
	p, ok := b.network(r.Prefix)
	if !ok {
		if !r.Prefix.set && r.Line != 0 {
			b.at(r.Line, path+".prefixes", "write the network", "a prefix without its network")
		}
		return
	}
	const month = 30 * 24 * time.Hour
	out := RAPrefix{
		Prefix:     p,
		Valid:      b.seconds(r.Valid, time.Minute, 12*month, 24*time.Hour),
		OnLink:     b.flag(r.OnLink, true),
		Autonomous: b.flag(r.Autonomous, true),
	}
	out.Preferred = b.seconds(r.Preferred, 0, 12*month, min(4*time.Hour, out.Valid))
	switch {
	case !p.Addr().Is6() || p.Addr().IsLinkLocalUnicast():
		b.add(r.Prefix, "write the segment's IPv6 network", "not a global IPv6 network")
	case out.Autonomous && p.Bits() != 64:
		b.add(r.Prefix, "use a /64, or autonomous: false", "hosts make addresses in a /64 only")
	case out.Preferred > out.Valid:
		b.add(r.Preferred, "choose at most "+short(out.Valid), "longer than valid")
	case slices.ContainsFunc(ra.Prefixes, func(q RAPrefix) bool { return q.Prefix == p }):
		b.add(r.Prefix, "keep one of them", "given twice")
	default:
		ra.Prefixes = append(ra.Prefixes, out)
	}
}
