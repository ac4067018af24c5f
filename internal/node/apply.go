// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/dataplane/announce"
	"github.com/holdfast-project/holdfast/dataplane/link"
	"github.com/holdfast-project/holdfast/dataplane/neighbour"
	"github.com/holdfast-project/holdfast/internal/build"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/pulse"
	"github.com/holdfast-project/holdfast/members"
)

// capabilities are what this build tells the others in its HELLOs beside build.Protocol; a member that is newer than the serving
// one, or has more of them, waits in READY.
const (
	capabilities      uint64 = 0
	capabilitySharing uint64 = 1 // told only where load is shared: its gate has shares, and its daemon agrees about slots
)

// capabilities are this member's.
func (n *node) capabilities() uint64 {
	if n.cfg.Sharing() {
		return capabilities | capabilitySharing
	}
	return capabilities
}

// findDevice looks for the device of a port. A device that does not exist (yet) is a port without carrier.
func (n *node) findDevice(p *port) {
	ifi, err := net.InterfaceByName(p.device)
	if err != nil {
		n.log.Warn("interface is not there", "interface", p.Name, "device", p.device, "error", err)
		return
	}
	st, err := link.Query(ifi.Index)
	if err != nil {
		n.log.Warn("interface cannot be read", "interface", p.Name, "device", p.device, "error", err)
		return
	}
	p.named = p.device
	p.index, p.mac, p.mtu, p.up, p.carrier, p.received = st.Index, st.MAC, st.MTU, st.AdminUp, st.AdminUp && st.Carrier, st.Received
}

// applyPorts brings gate, host, announcements, questions and sockets in line with the configuration and the devices that exist. The
// gate comes first, so that the stack never answers for a VIP.
func (n *node) applyPorts() error {
	var errs []error
	keep := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	for _, p := range n.ports {
		keep(n.attach(p))
	}
	keep(n.gate.SetVIPs(n.gateVIPs()))
	keep(n.applyHost())
	n.announcer.SetRefresh(n.cfg.Timers.Refresh)
	keep(n.announcer.Configure(n.announceSets()))
	keep(n.wire.configure())
	n.configureAsker()
	return errors.Join(errs...)
}

// attach brings the gate to a port. A port where that cannot be done carries nothing of the cluster and counts as down.
func (n *node) attach(p *port) error {
	if p.index == 0 || p.attached {
		return nil
	}
	if !p.Monitored && !p.Role.Gated() {
		if n.gate.AttachedAs(p.index) == "" {
			return nil
		}
		return n.gate.Detach(p.index) // an earlier configuration had it attached
	}
	var err error
	if want := n.local.Self.Interfaces[p.Name].MAC; want != nil && *want != p.mac {
		err = fmt.Errorf("interface %s: device %s has MAC %s, but %s says %s: correct the file or the device's name",
			p.Name, p.device, macText(p.mac), n.cfg.Path, macText(*want))
	} else if err = n.attachQuietly(p, bpf.Iface{Index: p.index, Slot: p.Slot, MAC: p.mac, VMAC: p.vmac(), Gated: p.Role.Gated(), UseVMAC: p.VMAC != nil}); err != nil {
		err = fmt.Errorf("interface %s: %w", p.Name, err)
	}
	p.attached = err == nil
	p.fault = ""
	if err != nil {
		p.fault = err.Error()
	}
	return err
}

// vmac is the MAC that answers on a port when it is not the member's own.
func (p *port) vmac() [6]byte {
	if p.VMAC == nil {
		return [6]byte{}
	}
	return *p.VMAC
}

// answerMAC is the MAC that neighbours know the VIPs by.
func (p *port) answerMAC() [6]byte {
	if p.VMAC != nil {
		return *p.VMAC
	}
	return p.mac
}

// sourceMAC is where announcements come from: the MAC that they are about or, since nothing may come from a multicast MAC, the own one.
func (p *port) sourceMAC() [6]byte {
	if m := p.answerMAC(); m[0]&1 == 0 {
		return m
	}
	return p.mac
}

func (n *node) gateVIPs() []bpf.VIP {
	var all []bpf.VIP
	for _, p := range n.ports {
		if !p.serves() {
			continue
		}
		for _, v := range p.VIPs {
			all = append(all, bpf.VIP{Addr: v.Addr, Index: p.index, Group: gateway})
		}
		if p.LinkLocal.IsValid() {
			all = append(all, bpf.VIP{Addr: p.LinkLocal, Index: p.index, Group: gateway})
		}
		for _, a := range p.ProxyARP {
			all = append(all, bpf.VIP{Addr: a, Index: p.index, Group: gateway, Proxy: true})
		}
	}
	return all
}

func (n *node) desired() link.Desired {
	// One above the pulse: what delivers the frames must not wait for what waits for them.
	d := link.Desired{NAPIPriority: min(n.cfg.CCP.Priority+1, 99), NAPIDevices: []string{}, Sysctls: trackingSettings(n.cfg.Sync, n.sync.strict),
		OwnStays: n.cfg.OwnTraffic != config.OwnToServer}
	for _, p := range n.ports {
		if p.Monitored && p.index != 0 {
			d.NAPIDevices = append(d.NAPIDevices, p.named)
		}
		if !p.serves() {
			continue
		}
		i := link.Interface{Name: p.named, Proxy: p.ProxyARP}
		if p.VMAC != nil {
			i.VMACs = [][6]byte{*p.VMAC}
		}
		if l := n.cfg.LoadSharing; l != nil && l.Group().IsValid() {
			i.Groups = []netip.Addr{l.Group()}
		}
		for _, v := range p.VIPs {
			vip := link.VIP{Addr: v.Addr, Group: gateway}
			if v.Own {
				vip.Prefix = v.Prefix
			}
			i.VIPs = append(i.VIPs, vip)
		}
		if p.LinkLocal.IsValid() {
			i.VIPs = append(i.VIPs, link.VIP{Addr: p.LinkLocal, Group: gateway})
		}
		d.Interfaces = append(d.Interfaces, i)
	}
	return d
}

func (n *node) announceSets() []announce.Set {
	var sets []announce.Set
	for _, p := range n.ports {
		if !p.serves() {
			continue
		}
		s := announce.Set{Group: gateway, Index: p.index, Name: p.device, MAC: p.answerMAC(), Source: p.sourceMAC(), Virtual: p.VMAC != nil,
			Proxy: p.ProxyARP, LinkLocal: p.LinkLocal, IsRouter: true, Router: router(p.RouterAdv)}
		for _, v := range p.VIPs {
			s.VIPs = append(s.VIPs, v.Addr)
		}
		sets = append(sets, s)
	}
	return sets
}

func router(ra *config.RouterAdv) *announce.Router {
	if ra == nil {
		return nil
	}
	r := &announce.Router{MaxInterval: ra.Interval, Lifetime: ra.Lifetime, NoDefaultRoute: ra.Lifetime == 0, HopLimit: ra.HopLimit,
		Managed: ra.Managed, OtherConfig: ra.OtherConfig, Preference: announce.Preference(ra.Preference), MTU: ra.MTU, DNS: ra.DNS, Search: ra.Search, DNSLifetime: ra.DNSLifetime}
	for _, p := range ra.Prefixes {
		r.Prefixes = append(r.Prefixes, announce.Prefix{Prefix: p.Prefix, OffLink: !p.OnLink, NoAutonomous: !p.Autonomous,
			Valid: p.Valid, Preferred: p.Preferred, Deprecated: p.Preferred == 0})
	}
	return r
}

// configureAsker tells the asker the interfaces, and whose MACs are known: learned ones come with authentic HELLOs only.
func (n *node) configureAsker() {
	var ifaces []neighbour.Iface
	for _, p := range n.ports {
		if !p.serves() && (p.index == 0 || len(p.Neighbours) == 0) {
			continue
		}
		ifaces = append(ifaces, neighbour.Iface{Index: p.index, Name: p.device, MAC: p.mac, Own: n.local.Self.Interfaces[p.Name].Addresses})
	}
	if err := n.asker.Configure(ifaces, n.wire.owners()); err != nil {
		n.log.Warn("questions to neighbours", "error", err)
	}
}

func setFirst(dst *netip.Addr, a netip.Addr, fits bool) {
	if fits && !dst.IsValid() {
		*dst = a
	}
}

func (n *node) machineConfig() members.Config {
	t := n.cfg.Timers
	c := members.Config{
		Self: n.local.Self.ID, Recovery: members.RecoveryMaintainCurrent,
		Timers: members.Timers{
			Probe: t.Probe, Dead: t.Dead, Hello: t.Hello, BootWait: t.BootWait, ReceiveWait: t.BootListen, HoldDown: t.HoldDown,
			CourtesyAge: t.Courtesy, CourtesyMax: t.CourtesyMax, Restarting: t.Restarting, Stranger: t.Stranger,
			RecoveryDelay: t.Recovery,
		},
		Digest: n.cfg.Digest(), Mode: n.cfg.ModeText(), Version: build.ProtocolVersion(), Capabilities: n.capabilities(),
		MinVersion: build.OldestProtocolVersion(),
		WaitPolicy: n.cfg.Policy != nil, WaitSync: n.cfg.Sync.Enabled, FlapBudget: n.cfg.Flap.Budget, FlapWindow: n.cfg.Flap.Window, Weights: n.cfg.Devices.Weights,
	}
	if c.FlapBudget == 0 { // damping is off
		c.FlapBudget = math.MaxInt32
	}
	if n.cfg.Recovery == config.HighestPriority {
		c.Recovery = members.RecoveryHighestPriority
	}
	for _, m := range n.cfg.Members {
		c.Names = append(c.Names, m.Name)
	}
	for _, i := range n.cfg.Interfaces {
		if i.Monitored {
			c.Interfaces = append(c.Interfaces, members.Interface{Slot: i.Slot, Name: i.Name, Cluster: i.Role.Gated(),
				Private: i.Role == config.RolePrivate, Targets: len(i.Neighbours) > 0})
		}
	}
	c.Groups = groups(n.cfg)
	return c
}

// groups are the configured groups, by slots.
func groups(c *config.Cluster) []members.Group {
	slots := make(map[string]uint8)
	for _, i := range c.Interfaces {
		slots[i.Name] = i.Slot
	}
	var all []members.Group
	for _, g := range c.Groups {
		to := members.Group{Name: g.Name, MinUp: g.MinUp}
		for _, name := range g.Interfaces {
			to.Slots = append(to.Slots, slots[name])
		}
		all = append(all, to)
	}
	return all
}

func (n *node) pulseConfig() pulse.Config {
	k := n.wire.ring.Use()
	c := pulse.Config{
		PinDir: n.local.PinDir, Self: n.local.Self.ID, Cluster: n.cfg.ID, EtherType: n.cfg.CCP.EtherType,
		KeyNumber: k.Number, Key: k.Key.GateKey(n.cfg.ID),
		Probe: n.cfg.Timers.Probe, Dead: n.cfg.Timers.Dead, Transport: string(n.cfg.CCP.Transport), Priority: n.cfg.CCP.Priority,
	}
	for _, p := range n.ports {
		if p.Monitored && p.index != 0 {
			c.Interfaces = append(c.Interfaces, pulse.Interface{Slot: p.Slot, Index: p.index, Name: p.device, MAC: p.mac})
		}
	}
	for _, m := range n.local.Peers {
		c.Peers = append(c.Peers, m.ID)
	}
	return c
}
