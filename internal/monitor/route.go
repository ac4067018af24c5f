// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// Protocols are the names of those who make routes, as in iproute2's rt_protos.
var Protocols = map[string]int{
	"kernel": 2, "boot": 3, "static": 4, "ra": 9, "zebra": 11, "bird": 12, "dhcp": 16, "keepalived": 18, "babel": 42,
	"bgp": 186, "isis": 187, "ospf": 188, "rip": 189, "eigrp": 192,
}

// sizeofRtMsg is the fixed part of a route message (struct rtmsg).
const sizeofRtMsg = 12

// route checks that routes are in a table.
type route struct {
	Route
	notices *notices
	ear     *ear
}

func newRoute(r Route, n *notices) *route {
	c := &route{Route: r, notices: n}
	c.ear = newEar(c.wants)
	return c
}

func (r *route) changed() <-chan struct{} { return r.ear.news }
func (r *route) close()                   { r.notices.leave(r.ear) }

// wants reports whether a change may concern the routes: one to their prefix in their table, or a device, address or next hop that routes
// go away with. A route that replaces another one is told of alone, so that all else of it may differ from what is wanted.
func (r *route) wants(m netlink.Message) bool {
	switch m.Header.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		p, ok := parseRoute(m.Data)
		return ok && p.table == r.Table && (!r.Prefix.IsValid() || p.prefix == r.Prefix)
	}
	return true
}

func (r *route) check(context.Context) verdict.Result {
	r.notices.listen(r.ear) // first: what changes after the dump wakes the next check
	n, err := r.count()
	switch {
	case err != nil:
		return verdict.Wrong("routes: " + err.Error())
	case n >= r.Min:
		return verdict.Fine()
	case r.Min == 1:
		return verdict.Wrong("no route " + r.words())
	}
	return verdict.Wrong(fmt.Sprintf("%d routes %s, fewer than %d", n, r.words(), r.Min))
}

// words describe the routes that are wanted.
func (r *Route) words() string {
	var w []string
	if r.Prefix.IsValid() {
		w = append(w, "to "+r.Prefix.String())
	}
	if r.Via.IsValid() {
		w = append(w, "via "+r.Via.String())
	}
	if r.Device != "" {
		w = append(w, "dev "+r.Device)
	}
	if r.Protocol != 0 {
		w = append(w, "of "+protocolName(r.Protocol))
	}
	if r.Table != unix.RT_TABLE_MAIN {
		w = append(w, fmt.Sprintf("in table %d", r.Table))
	}
	return strings.Join(w, " ")
}

func protocolName(n int) string {
	for name, number := range Protocols {
		if n == number {
			return name
		}
	}
	return fmt.Sprintf("protocol %d", n)
}

// count counts the next hops that match: of the one route that the kernel finds if that is enough, else of the whole table, of which
// the kernel leaves out other tables and protocols.
func (r *route) count() (int, error) {
	index := 0
	if r.Device != "" {
		ifi, err := net.InterfaceByName(r.Device)
		if err != nil {
			return 0, nil //nolint:nilerr // without the device there is no route over it
		}
		index = ifi.Index
	}
	a, err := openRoutes()
	if err != nil {
		return 0, err
	}
	defer a.close()
	n := 0
	add := func(b []byte) {
		if p, ok := parseRoute(b); ok && r.same(p) {
			n += r.hops(p, index)
		}
	}
	if r.Prefix.IsValid() {
		// Rules may lead elsewhere, a longer prefix may cover the address, another route to the prefix may have a better metric: of any
		// answer that is not enough nothing follows.
		if err := a.ask(unix.RTM_GETROUTE, 0, r.lookup(), add); err == nil && n >= r.Min {
			return n, nil
		}
		n = 0
	}
	families := []byte{unix.AF_INET, unix.AF_INET6}
	if r.Prefix.IsValid() && r.Prefix.Addr().Is4() || r.Via.Is4() {
		families = families[:1]
	} else if r.Prefix.IsValid() || r.Via.IsValid() {
		families = families[1:]
	}
	for _, f := range families {
		err := a.ask(unix.RTM_GETROUTE, unix.NLM_F_DUMP, r.request(f), add)
		if err != nil && !errors.Is(err, unix.ENOENT) { // the table comes with its first route
			return 0, err
		}
	}
	return n, nil
}

// Where a default route is looked up: documentation's addresses (RFC 5737, RFC 3849), which no longer prefix should cover.
var (
	anywhere4 = netip.MustParseAddr("203.0.113.254")
	anywhere6 = netip.MustParseAddr("2001:db8:ffff:ffff::1")
)

// lookup is the body of a request for the route to an address in the prefix: struct rtmsg and the address.
func (r *route) lookup() []byte {
	to, family := r.Prefix.Addr(), byte(unix.AF_INET6)
	if to.Is4() {
		family = unix.AF_INET
	}
	switch {
	case r.Prefix.Bits() == 0 && to.Is4():
		to = anywhere4
	case r.Prefix.Bits() == 0:
		to = anywhere6
	}
	b := make([]byte, sizeofRtMsg, sizeofRtMsg+20)
	b[0], b[1] = family, byte(to.BitLen())
	binary.NativeEndian.PutUint32(b[8:], unix.RTM_F_FIB_MATCH)
	b = binary.NativeEndian.AppendUint16(b, uint16(4+to.BitLen()/8))
	b = binary.NativeEndian.AppendUint16(b, unix.RTA_DST)
	return append(b, to.AsSlice()...)
}

// request is the body of a dump: struct rtmsg and the table.
func (r *route) request(family byte) []byte {
	b := make([]byte, sizeofRtMsg, sizeofRtMsg+8)
	b[0], b[5] = family, byte(r.Protocol)
	b = binary.NativeEndian.AppendUint16(b, 8)
	b = binary.NativeEndian.AppendUint16(b, unix.RTA_TABLE)
	return binary.NativeEndian.AppendUint32(b, uint32(r.Table))
}

// kernelRoute is a route of the kernel.
type kernelRoute struct {
	prefix          netip.Prefix
	table, protocol int
	usable          bool // leads somewhere, and is no copy in a cache
	hops            []hop
}

type hop struct {
	via   netip.Addr
	index int
	dead  bool
}

// same reports whether a route is one of those that are wanted, its next hops aside.
func (r *route) same(k kernelRoute) bool {
	return k.usable && k.table == r.Table && (!r.Prefix.IsValid() || k.prefix == r.Prefix) && (r.Protocol == 0 || k.protocol == r.Protocol)
}

// hops counts the next hops that are wanted and alive.
func (r *route) hops(k kernelRoute, index int) int {
	n := 0
	for _, h := range k.hops {
		if !h.dead && (index == 0 || h.index == index) && (!r.Via.IsValid() || h.via == r.Via) {
			n++
		}
	}
	return n
}

// parseRoute reads struct rtmsg and its attributes.
func parseRoute(b []byte) (kernelRoute, bool) {
	if len(b) < sizeofRtMsg {
		return kernelRoute{}, false
	}
	family, bits, table, protocol, kind := b[0], int(b[1]), int(b[4]), int(b[5]), b[7]
	flags := binary.NativeEndian.Uint32(b[8:12])
	r := kernelRoute{table: table, protocol: protocol, usable: kind == unix.RTN_UNICAST && flags&unix.RTM_F_CLONED == 0}
	zero := netip.IPv4Unspecified()
	if family == unix.AF_INET6 {
		zero = netip.IPv6Unspecified()
	}
	dst := zero
	one := hop{dead: dead(flags)}
	attrs, err := netlink.NewAttributeDecoder(b[sizeofRtMsg:])
	if err != nil {
		return r, false
	}
	for attrs.Next() {
		switch attrs.Type() {
		case unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(attrs.Bytes())
		case unix.RTA_TABLE:
			r.table = int(attrs.Uint32())
		case unix.RTA_MULTIPATH:
			r.hops = parseHops(attrs.Bytes())
		default:
			one.attribute(attrs.Type(), attrs.Bytes())
		}
	}
	if len(r.hops) == 0 {
		r.hops = []hop{one}
	}
	r.prefix = netip.PrefixFrom(dst, bits)
	return r, attrs.Err() == nil && r.prefix.IsValid()
}

func dead(flags uint32) bool { return flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0 }

func (h *hop) attribute(kind uint16, b []byte) {
	switch {
	case kind == unix.RTA_OIF && len(b) == 4:
		h.index = int(binary.NativeEndian.Uint32(b))
	case kind == unix.RTA_GATEWAY:
		h.via, _ = netip.AddrFromSlice(b)
	case kind == unix.RTA_VIA && len(b) > 2: // an IPv6 next hop of an IPv4 route: family, address
		h.via, _ = netip.AddrFromSlice(b[2:])
	}
}

// parseHops reads a list of struct rtnexthop, each with its attributes.
func parseHops(b []byte) (hops []hop) {
	const size = 8
	for len(b) >= size {
		n := int(binary.NativeEndian.Uint16(b))
		if n < size || n > len(b) {
			break
		}
		h := hop{index: int(int32(binary.NativeEndian.Uint32(b[4:]))), dead: dead(uint32(b[2]))}
		if attrs, err := netlink.NewAttributeDecoder(b[size:n]); err == nil {
			for attrs.Next() {
				h.attribute(attrs.Type(), attrs.Bytes())
			}
		}
		hops = append(hops, h)
		b = b[min(len(b), (n+3)&^3):]
	}
	return hops
}
