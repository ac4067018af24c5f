// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	afInet  = unix.AF_INET
	afInet6 = unix.AF_INET6
	// protocol marks addresses (IFA_PROTO), routes and rules as ours: 'H'.
	protocol = 0x48
	// tableBase is the routing table of group 0; the others follow. 'H', 'F'.
	tableBase = 0x4846
	// prefixMetric and the interface's index make the metric of routes to declared prefixes: behind whatever the owner has, and
	// different on every interface.
	prefixMetric = 0x48460000
	// ifaProto is IFA_PROTO, known to kernels from 5.18 on; older ones ignore it.
	ifaProto = 11
	// forever is an address lifetime.
	forever = math.MaxUint32
)

// conn holds netlink sockets for many requests, in the network namespace where it was opened.
type conn struct {
	handle  *netlink.Handle
	sockets map[int]*nl.SocketHandle
}

func openConn() (*conn, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE, unix.NETLINK_GENERIC)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	c := &conn{handle: h, sockets: make(map[int]*nl.SocketHandle)}
	for _, p := range []int{unix.NETLINK_ROUTE, unix.NETLINK_GENERIC} {
		s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), p)
		if err != nil {
			c.close()
			return nil, fmt.Errorf("netlink: %w", err)
		}
		c.sockets[p] = &nl.SocketHandle{Socket: s}
	}
	return c, nil
}

func (c *conn) close() {
	c.handle.Close()
	for _, s := range c.sockets {
		s.Close()
	}
}

// index is that of a device, asked for on a socket that is open anyway. unix.ENODEV: there is none of that name.
func (c *conn) index(name string) (int, error) {
	l, err := c.handle.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return 0, unix.ENODEV
	}
	if err != nil {
		return 0, fmt.Errorf("netlink: %w", err)
	}
	return l.Attrs().Index, nil
}

func (c *conn) request(kind, flags int) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(kind, flags)
	r.Sockets = c.sockets
	return r
}

// addressRequest describes a VIP on lo: a host route's worth of address that the stack never picks as a source. IPv4 has
// scope host for that; IPv6 is deprecated (preferred lifetime 0). A multicast address is one by which the kernel itself joins the
// group (ip-address(8), autojoin), and leaves it with the address. Its scope is the widest, so that it stands behind the interface's own
// addresses: nftables' redirect leads to the first one, and tools take that for the interface's.
func (c *conn) addressRequest(kind, flags int, addr netip.Addr, index int) *nl.NetlinkRequest {
	r := c.request(kind, flags)
	msg := nl.NewIfAddrmsg(family(addr))
	msg.Index = uint32(index)
	msg.Prefixlen = uint8(addr.BitLen())
	if addr.Is4() && !addr.IsMulticast() {
		msg.Scope = unix.RT_SCOPE_HOST
	}
	r.AddData(msg)
	r.AddData(nl.NewRtAttr(unix.IFA_LOCAL, addr.AsSlice()))
	r.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, addr.AsSlice()))
	if kind != unix.RTM_NEWADDR {
		return r
	}
	bits := uint32(unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_NODAD)
	if addr.IsMulticast() {
		bits |= unix.IFA_F_MCAUTOJOIN
	}
	r.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(bits)))
	r.AddData(nl.NewRtAttr(ifaProto, nl.Uint8Attr(protocol)))
	if addr.Is6() {
		life := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Valid: forever}}
		r.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, life.Serialize()))
	}
	return r
}

func (c *conn) addAddress(addr netip.Addr, index int) error {
	_, err := c.addressRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, addr, index).
		Execute(unix.NETLINK_ROUTE, 0)
	return ignore(err, unix.EEXIST)
}

func (c *conn) deleteAddress(addr netip.Addr, index int) error {
	_, err := c.addressRequest(unix.RTM_DELADDR, unix.NLM_F_ACK, addr, index).Execute(unix.NETLINK_ROUTE, 0)
	return ignore(err, unix.EADDRNOTAVAIL, unix.ENODEV)
}

// address is one that exists.
type address struct {
	index  int
	bits   int  // prefix length
	usable bool // not tentative, failed or deprecated
	ours   bool // marked with our IFA_PROTO
	place  int  // in the kernel's order
}

// addresses returns where each address is; one can be on several interfaces.
func (c *conn) addresses() (map[netip.Addr][]address, error) {
	r := c.request(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	r.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
	msgs, err := r.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	if err != nil {
		return nil, fmt.Errorf("netlink: list addresses: %w", err)
	}
	all := make(map[netip.Addr][]address)
	for place, m := range msgs {
		msg := nl.DeserializeIfAddrmsg(m)
		attrs, err := nl.ParseRouteAttr(m[msg.Len():])
		if err != nil {
			return nil, fmt.Errorf("netlink: list addresses: %w", err)
		}
		var addr, local netip.Addr
		found := address{index: int(msg.Index), bits: int(msg.Prefixlen), place: place,
			usable: msg.IfAddrmsg.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED|unix.IFA_F_DEPRECATED) == 0}
		for _, a := range attrs {
			switch a.Attr.Type {
			case unix.IFA_ADDRESS:
				addr, _ = netip.AddrFromSlice(a.Value)
			case unix.IFA_LOCAL:
				local, _ = netip.AddrFromSlice(a.Value)
			case ifaProto:
				found.ours = len(a.Value) == 1 && a.Value[0] == protocol
			}
		}
		if local.IsValid() {
			addr = local // on a point-to-point interface the other is the peer's
		}
		all[addr] = append(all[addr], found)
	}
	return all, nil
}

// hostPrefix is addr alone.
func hostPrefix(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }

// route describes the way to a VIP or its prefix out of an interface (local false) or a VIP's delivery on the interface (local
// true). source is the own address that packets shall have; the zero value leaves it to the kernel.
func route(to netip.Prefix, source netip.Addr, index, table int, local bool) *netlink.Route {
	addr := to.Addr()
	r := &netlink.Route{
		LinkIndex: index,
		Dst:       &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(to.Bits(), addr.BitLen())},
		Table:     table,
		Protocol:  protocol,
		Scope:     unix.RT_SCOPE_LINK,
		Type:      unix.RTN_UNICAST,
	}
	if addr.Is6() {
		r.Scope = unix.RT_SCOPE_UNIVERSE
	}
	if local {
		r.Type = unix.RTN_LOCAL
	}
	if source.IsValid() {
		r.Src = source.AsSlice()
	}
	return r
}

// setRoute adds the route, or replaces the one to the same address.
func (c *conn) setRoute(r *netlink.Route) error { return c.handle.RouteReplace(r) }

func (c *conn) deleteRoute(r *netlink.Route) error {
	return ignore(c.handle.RouteDel(r), unix.ESRCH, unix.ENODEV)
}

// filterEntry describes a MAC in an interface's unicast filter.
func filterEntry(mac [6]byte, index int) *netlink.Neigh {
	return &netlink.Neigh{
		Family: unix.AF_BRIDGE, LinkIndex: index, Flags: netlink.NTF_SELF, State: netlink.NUD_PERMANENT,
		HardwareAddr: mac[:],
	}
}

// addFilter lets frames for mac pass the interface's filter. Interfaces without one need nothing.
func (c *conn) addFilter(mac [6]byte, index int) error {
	return ignore(c.handle.NeighAppend(filterEntry(mac, index)), unix.EEXIST, unix.EOPNOTSUPP)
}

func (c *conn) deleteFilter(mac [6]byte, index int) error {
	return ignore(c.handle.NeighDel(filterEntry(mac, index)), unix.ENOENT, unix.EOPNOTSUPP, unix.ENODEV)
}

// filters returns the MACs in an interface's unicast filter.
func (c *conn) filters(index int) (map[[6]byte]bool, error) {
	list, err := c.handle.NeighList(index, unix.AF_BRIDGE)
	if err != nil {
		return nil, fmt.Errorf("netlink: list filter: %w", err)
	}
	macs := make(map[[6]byte]bool)
	for _, n := range list {
		if n.Flags&netlink.NTF_SELF != 0 && len(n.HardwareAddr) == 6 {
			macs[[6]byte(n.HardwareAddr)] = true
		}
	}
	return macs, nil
}

// ignore turns errors that mean "it is so already" into nil.
func ignore(err error, harmless ...unix.Errno) error {
	for _, h := range harmless {
		if errors.Is(err, h) {
			return nil
		}
	}
	return err
}
