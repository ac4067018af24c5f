// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/netns"
)

// Build makes the topology. On error nothing is left.
func Build(spec Spec) (_ *Lab, err error) {
	if err := spec.Check(); err != nil {
		return nil, fmt.Errorf("topology %s: %w", spec.Name, err)
	}
	l := &Lab{Spec: spec, Switch: &Node{Name: "switch", Kind: Switch}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("topology %s: %w", spec.Name, err), l.Close())
		}
	}()
	if l.Switch.NS, err = netns.New("switch"); err != nil {
		return nil, err
	}
	if err := l.buildSwitches(); err != nil {
		return nil, err
	}
	l.Nodes = plan(spec)
	for _, n := range l.Nodes {
		if err := l.raise(n); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Renew throws the node's namespace away and makes it anew, as a machine's kernel after a boot: same cables, MACs and
// own addresses, nothing else left. Processes in the old one must have been ended before.
func (l *Lab) Renew(name string) error {
	n, err := l.Node(name)
	if err != nil {
		return err
	}
	if n.Kind == Switch {
		return errors.New("the switch cannot be made anew: it holds everybody's cables")
	}
	if err := l.unplug(n); err != nil {
		return err
	}
	if err := n.NS.Close(); err != nil {
		return err
	}
	return l.raise(n)
}

// unplug deletes the node's cables: a namespace goes some time after its last user, and its switch ports with it, but
// their names are needed now.
func (l *Lab) unplug(n *Node) error {
	h, err := l.Switch.NS.Handle()
	if err != nil {
		return err
	}
	defer h.Close()
	for _, p := range n.Ports {
		link, err := h.LinkByName(p.SwitchPort)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			continue
		}
		if err == nil {
			err = h.LinkDel(link)
		}
		if err != nil {
			return fmt.Errorf("unplug %s: %w", p.SwitchPort, err)
		}
	}
	return nil
}

// What the fourth octet of a node's MAC says of it: a MAC is 02:4c, the segment's number from 1, this, and the node's number.
const (
	CodeMember  = 1
	CodeClient  = 2
	CodeServer  = 3
	codeWatcher = 4
	codeManager = 5
)

func plan(s Spec) []*Node {
	var nodes []*Node
	add := func(kind Kind, index int, name string, code byte, c, d int, on func(Segment) bool) {
		n := &Node{Name: name, Kind: kind, Index: index}
		for i, g := range s.Segments {
			if !on(g) {
				continue
			}
			net6 := s.Net(i)
			n.Ports = append(n.Ports, &Port{
				Node: name, Segment: g.Name, Slot: i, Device: g.Name, SwitchPort: name + "-" + g.Name,
				MAC: net.HardwareAddr{0x02, 0x4c, byte(i + 1), code, byte(index >> 8), byte(index + 1)},
				V4:  netip.PrefixFrom(v4(i, c, d+index), 16),
				V6:  netip.PrefixFrom(v6(i, c, hexDigits(d)+index), net6.V6.Bits()),
			})
		}
		nodes = append(nodes, n)
	}
	for i := range s.Members {
		add(Member, i, MemberName(i), CodeMember, 0, 11, func(Segment) bool { return true })
	}
	for i := range s.Clients {
		add(Client, i, fmt.Sprintf("client%d", i+1), CodeClient, 1, 1, func(g Segment) bool { return g.Hosts == Clients })
	}
	for i := range s.Servers {
		add(Server, i, fmt.Sprintf("server%d", i+1), CodeServer, 1, 1, func(g Segment) bool { return g.Hosts == Servers })
	}
	for i, zone := 0, func(g Segment) bool { return g.Hosts == Published }; slices.ContainsFunc(s.Segments, zone) && i < max(1, s.Published); i++ {
		add(Server, s.Servers+i, fmt.Sprintf("public%d", i+1), CodeServer, 1, 1-s.Servers, zone)
	}
	for i, zone := 0, func(g Segment) bool { return g.Hosts == Managers }; slices.ContainsFunc(s.Segments, zone) && i < max(1, s.Managers); i++ {
		add(Manager, i, fmt.Sprintf("mgmt%d", i+1), codeManager, 4, 1, zone)
	}
	for i, g := range s.Segments {
		if g.Role.HasVIPs() {
			add(Watcher, 0, "watch-"+g.Name, codeWatcher, 2, 1, func(o Segment) bool { return o.Name == s.Segments[i].Name })
		}
	}
	return nodes
}

// hexDigits reads the decimal digits of d as hexadecimal ones, so that member 10.1.0.11 is fd00:0:0:1::11.
func hexDigits(d int) int { return d/10*16 + d%10 }

func (l *Lab) buildSwitches() error {
	ns := l.Switch.NS
	for _, key := range []string{"ipv6/conf/all/disable_ipv6", "ipv6/conf/default/disable_ipv6"} {
		if err := ns.Sysctl(key, "1"); err != nil {
			return err
		}
	}
	h, err := ns.Handle()
	if err != nil {
		return err
	}
	defer h.Close()
	for _, g := range l.Spec.Segments {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = g.Name
		snooping := l.Spec.Snooping
		if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}); err != nil {
			return fmt.Errorf("switch %s: %w", g.Name, err)
		}
		link, err := h.LinkByName(g.Name)
		if err == nil {
			err = h.LinkSetUp(link)
		}
		if err != nil {
			return fmt.Errorf("switch %s: %w", g.Name, err)
		}
	}
	return nil
}

// raise makes the node's namespace, cables, addresses and routes.
func (l *Lab) raise(n *Node) error {
	ns, err := netns.New(n.Name)
	if err != nil {
		return err
	}
	n.NS = ns
	for _, s := range nodeSysctls(n.Kind, l.Spec) {
		if err := ns.Sysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	node, err := ns.Handle()
	if err != nil {
		return err
	}
	defer node.Close()
	sw, err := l.Switch.NS.Handle()
	if err != nil {
		return err
	}
	defer sw.Close()
	for _, p := range n.Ports {
		if err := l.plug(node, sw, p); err != nil {
			return fmt.Errorf("cable %s: %w", p.SwitchPort, err)
		}
	}
	if l.Spec.ThreadedNAPI && n.Kind == Member {
		if err := l.threadNAPI(n); err != nil {
			return err
		}
	}
	if n.Kind == Member {
		return nil
	}
	return l.routes(node, n)
}

// plug makes the cable of one port and gives the device its addresses.
func (l *Lab) plug(node, sw *netlink.Handle, p *Port) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = p.Device, p.MAC
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: p.SwitchPort, PeerNamespace: netlink.NsFd(l.Switch.NS.FD())}
	if err := node.LinkAdd(veth); err != nil {
		return err
	}
	bridge, err := sw.LinkByName(p.Segment)
	if err != nil {
		return err
	}
	port, err := sw.LinkByName(p.SwitchPort)
	if err != nil {
		return err
	}
	if err := sw.LinkSetMaster(port, bridge); err != nil {
		return err
	}
	if err := sw.LinkSetUp(port); err != nil {
		return err
	}
	dev, err := node.LinkByName(p.Device)
	if err != nil {
		return err
	}
	for _, prefix := range []netip.Prefix{p.V4, p.V6} {
		addr := &netlink.Addr{IPNet: &net.IPNet{
			IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
		}}
		if prefix.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := node.AddrAdd(dev, addr); err != nil {
			return fmt.Errorf("address %s: %w", prefix, err)
		}
	}
	return node.LinkSetUp(dev)
}

// routes gives an end station its way to all other segments.
func (l *Lab) routes(node *netlink.Handle, n *Node) error {
	if n.Kind == Watcher || len(n.Ports) == 0 {
		return nil
	}
	p := n.Ports[0]
	if l.Spec.Router == "" && !l.Spec.Segments[p.Slot].Role.HasVIPs() {
		return nil
	}
	routers := []netip.Addr{l.Spec.Route4(p.Slot)}
	if !l.Spec.SLAAC || n.Kind != Client {
		routers = append(routers, l.Spec.Route6(p.Slot))
	}
	dev, err := node.LinkByName(p.Device)
	if err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	for _, r := range routers {
		if err := node.RouteAdd(&netlink.Route{LinkIndex: dev.Attrs().Index, Gw: r.AsSlice()}); err != nil {
			return fmt.Errorf("node %s: default route via %s: %w", n.Name, r, err)
		}
	}
	return nil
}

// nodeSysctls are the settings of a fresh machine of that kind; "default" ones are in place before its devices are.
func nodeSysctls(k Kind, s Spec) [][2]string {
	if k == Member {
		return [][2]string{
			{"ipv4/ip_forward", "1"},
			{"ipv4/conf/all/rp_filter", "0"},
			{"ipv4/conf/default/rp_filter", "0"},
			{"ipv6/conf/all/forwarding", "1"},
			{"ipv6/conf/default/accept_dad", "0"},
			// A device that is set down and up again has its addresses, as after a pulled cable.
			{"ipv6/conf/all/keep_addr_on_down", "1"},
			{"ipv6/conf/default/keep_addr_on_down", "1"},
		}
	}
	ra := "0"
	if s.SLAAC && k == Client {
		ra = "1"
	}
	return [][2]string{
		{"ipv6/conf/default/accept_dad", "0"},
		{"ipv6/conf/default/accept_ra", ra},
		{"ipv6/conf/default/router_solicitation_delay", "0"},
	}
}

// Names lists the nodes that a topology of this spec has, without the switch.
func Names(s Spec) []string {
	var names []string
	for _, n := range plan(s) {
		names = append(names, n.Name)
	}
	return names
}
