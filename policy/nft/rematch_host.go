// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// maxStandIns is how many devices get a stand-in.
const maxStandIns = 256

// host is what this host's packets depend on.
type host struct {
	namespace int
	links     map[int]string // that are up, but the loopback
	addresses []hostAddress
	routes    []netlink.Route
	local     map[netip.Addr]bool
	towards   map[netip.Addr]string // device to an address
}

type hostAddress struct {
	device string // "lo" for those of devices that are not up
	prefix *net.IPNet
}

func (k *Kernel) host() (*host, error) {
	h := &host{namespace: k.options.Namespace, links: map[int]string{}, local: map[netip.Addr]bool{}, towards: map[netip.Addr]string{}}
	err := within(h.namespace, func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			if a := l.Attrs(); a.Flags&net.FlagUp != 0 && a.Flags&net.FlagLoopback == 0 && len(h.links) < maxStandIns {
				h.links[a.Index] = a.Name
			}
		}
		addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		for _, a := range addresses {
			ip, ok := netip.AddrFromSlice(a.IP)
			if !ok {
				continue
			}
			h.local[ip.Unmap()] = true
			device, up := h.links[a.LinkIndex]
			if !up {
				device = "lo"
			}
			h.addresses = append(h.addresses, hostAddress{device, a.IPNet})
		}
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
			if err != nil {
				return err
			}
			h.routes = append(h.routes, routes...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read this host's devices and routes: %w", err)
	}
	return h, nil
}

// device is the one to which packets for an address leave; "" if there is none with a stand-in.
func (h *host) device(to netip.Addr) string {
	if d, known := h.towards[to]; known {
		return d
	}
	routes, err := netlink.RouteGet(to.AsSlice())
	d := ""
	if err == nil && len(routes) > 0 {
		d = h.links[routes[0].LinkIndex]
	}
	h.towards[to] = d
	return d
}

// packets are the first packets of connections that can be judged.
func (h *host) packets(all []connection, translates bool) (out []packet) {
	_ = within(h.namespace, func() error {
		for i := range all {
			e := &all[i]
			t := e.original
			if e.zoned || e.status&statusExpected != 0 || e.translated() && !translates || h.local[t.from] && h.local[t.to] {
				continue
			}
			p := packet{of: i, to: t.to}
			if !h.local[t.from] {
				if p.device = h.device(t.from); p.device == "" {
					continue
				}
			}
			if p.bytes = first(t); p.bytes != nil {
				out = append(out, p)
			}
		}
		return nil
	})
	return out
}

// build makes the stand-ins, in the namespace of the calling thread. What a route or an address cannot be made of is left out: a connection that
// needs it does not come through without the policy either, and is not judged.
func (h *host) build(s *standIn) error {
	for name, value := range map[string]string{
		"ipv4/ip_forward": "1", "ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0", "ipv6/conf/all/forwarding": "1",
		"ipv6/conf/default/accept_dad": "0", "netfilter/nf_conntrack_checksum": "0",
	} {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for _, name := range h.links {
		fd, err := tun(name)
		if err != nil {
			return fmt.Errorf("stand in for %s: %w", name, err)
		}
		s.tuns[name] = fd
	}
	index := map[string]int{}
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, l := range links {
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
		index[l.Attrs().Name] = l.Attrs().Index
	}
	for _, a := range h.addresses {
		_ = netlink.AddrAdd(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index[a.device], Name: a.device}},
			&netlink.Addr{IPNet: a.prefix, Flags: unix.IFA_F_NODAD})
	}
	for _, r := range h.routes {
		h.route(r, index)
	}
	s.raw4, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	if s.raw6, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
		s.raw6 = -1 // no IPv6
	}
	return nil
}

// route makes one of the host's routes among the stand-ins, of whose devices the gateways are taken for neighbours.
func (h *host) route(r netlink.Route, index map[string]int) {
	if r.Protocol == unix.RTPROT_KERNEL {
		return // it comes with the address
	}
	out := netlink.Route{Dst: r.Dst, Gw: r.Gw, Via: r.Via, Priority: r.Priority, Type: r.Type, Scope: r.Scope, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC}
	if r.LinkIndex != 0 {
		out.LinkIndex = index[h.links[r.LinkIndex]]
	}
	if r.Gw != nil {
		out.Flags = int(netlink.FLAG_ONLINK)
	}
	for _, hop := range r.MultiPath {
		out.MultiPath = append(out.MultiPath, &netlink.NexthopInfo{LinkIndex: index[h.links[hop.LinkIndex]], Gw: hop.Gw, Hops: hop.Hops, Flags: int(netlink.FLAG_ONLINK)})
	}
	_ = netlink.RouteAdd(&out)
}

// tun makes a device without neighbours, whose packets are this process's to write.
func tun(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}
