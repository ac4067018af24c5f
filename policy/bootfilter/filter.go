// SPDX-License-Identifier: Apache-2.0

package bootfilter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Table is the filter's table, as "FAMILY NAME".
const Table = "inet " + name

const (
	name = "holdfast_boot"
	// priority is before that of policies: what is dropped here is dropped, whatever else is loaded.
	priority = "filter - 10"
	// SSHPort is where operators come in, unless Filter says another one.
	SSHPort = 22
)

// Filter says who may come in. What the member itself begins goes out, and its answers come in: management is reached so. CCP is not IP, and
// not seen by these hooks. Nothing is forwarded, but members' connections to management.
type Filter struct {
	// SSH are the networks that operators come from; none: nobody does. SSHPort is the port, 0: 22.
	SSH     []netip.Prefix
	SSHPort uint16
	// Members are the members' own addresses, Management where management's servers are: a member reaches them through another one.
	Members    []netip.Addr
	Management []netip.AddrPort
}

// Equal reports whether two filters are the same; nil is none.
func (f *Filter) Equal(o *Filter) bool {
	return f == nil && o == nil || f != nil && o != nil && f.Text() == o.Text()
}

// Text is what nft(8) reads: one transaction that puts the filter in the place of an earlier one.
func (f *Filter) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	// The first line is for the second: a table that is not there cannot be deleted.
	line("table %s", Table)
	line("delete table %s", Table)
	line("table %s {", Table)
	line("\tcomment \"holdfast: while no policy is in force\"")
	line("\tchain input {")
	line("\t\ttype filter hook input priority %s; policy drop;", priority)
	line("\t\tct state established,related accept")
	line("\t\tiifname \"lo\" accept")
	line("\t\ticmp type { echo-request, destination-unreachable, time-exceeded, parameter-problem } accept")
	line("\t\ticmpv6 type { echo-request, destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept")
	// Neighbours and routers; from another network they would have a lower hop limit.
	line("\t\ticmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept")
	line("\t\ticmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept")
	port := f.SSHPort
	if port == 0 {
		port = SSHPort
	}
	for _, p := range sorted(f.SSH) {
		line("\t\t%s saddr %s tcp dport %d accept", family(p.Addr()), p, port)
	}
	line("\t}")
	line("\tchain forward {")
	line("\t\ttype filter hook forward priority %s; policy drop;", priority)
	for _, m := range sorted(f.prefixes()) {
		for _, s := range f.management() {
			if m.Addr().Is4() != s.Addr().Is4() {
				continue
			}
			fam := family(m.Addr())
			line("\t\t%s saddr %s %s daddr %s tcp dport %d accept", fam, m.Addr(), fam, s.Addr(), s.Port())
			line("\t\t%s saddr %s %s daddr %s tcp sport %d ct state established accept", fam, s.Addr(), fam, m.Addr(), s.Port())
		}
	}
	line("\t}")
	line("}")
	return b.String()
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "ip"
	}
	return "ip6"
}

func (f *Filter) prefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, a := range f.Members {
		a = a.Unmap().WithZone("")
		all = append(all, netip.PrefixFrom(a, a.BitLen()))
	}
	return all
}

func (f *Filter) management() []netip.AddrPort {
	var all []netip.AddrPort
	for _, s := range f.Management {
		if s.IsValid() {
			all = append(all, netip.AddrPortFrom(s.Addr().Unmap().WithZone(""), s.Port()))
		}
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	return slices.Compact(all)
}

// sorted masks prefixes and leaves out what is there twice, so that the text does not depend on how somebody wrote them.
func sorted(in []netip.Prefix) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range in {
		if p.IsValid() {
			all = append(all, p.Masked())
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return slices.Compact(all)
}
