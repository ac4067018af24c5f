// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/build"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/pulse"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
	"github.com/holdfast-project/holdfast/members/gate"
)

// State implements control.Backend.
func (b *backend) State(ctx context.Context) (control.State, error) {
	return ask(ctx, b.n, func(now int64) (control.State, error) {
		n := b.n
		v := n.machine.View(now)
		digest := n.cfg.Digest()
		counted := n.trace.Counter()
		s := control.State{
			Cluster: n.cfg.Name, ClusterID: n.cfg.ID, Mode: n.cfg.ModeText(), Recovery: string(n.cfg.Recovery),
			Profile: string(n.cfg.Profile), Self: v.Self, LastChange: n.trace.last, Failovers: counted.Count,
			FailoversSince: counted.Since, Warnings: n.warnings(), Version: build.Version, ConfigDigest: hex.EncodeToString(digest[:8]),
			Protocol: build.ProtocolVersion(), Frozen: n.freezes(now), Flap: n.flapState(v),
			Policy: n.policyState(),
		}
		s.LastFailover = n.trace.LastFailover()
		if v.ForcedTo != members.Nobody {
			s.Forced = n.name(v.ForcedTo)
			if v.ForcedUntil != 0 {
				until := n.trace.at(v.ForcedUntil)
				s.ForcedUntil = &until
			}
		}
		for _, m := range v.Members {
			s.Members = append(s.Members, n.memberState(now, v, m))
		}
		return s, nil
	})
}

func (n *node) memberState(now int64, v members.View, m members.PeerView) control.MemberState {
	s := control.MemberState{
		ID: m.ID, Name: m.Name, Local: m.ID == v.Self, Address: n.address(m.ID), State: n.shownState(&v, m.ID), Reason: m.Reason,
		Term: m.Term, Answer: m.Serving, Forward: m.Serving, Since: n.trace.at(m.Since),
	}
	for _, d := range m.Problems {
		if d.Name == device.ProblemNotification && len(m.Problems) > 1 { // it only says that there are others
			continue
		}
		s.Problems = append(s.Problems, d.Name)
		s.NotOK = append(s.NotOK, control.NotOK{Device: d.Name, Status: d.Status.String(), Reason: d.Reason})
	}
	n.shareOf(&s, &v)
	if n.policy.plane != nil {
		s.Generation = n.generationOf(m.ID).Number
	}
	if s.Local {
		bits := n.words.Serving(gateway, now)
		s.Answer, s.Forward = bits&gate.Answer != 0, bits&gate.Forward != 0
		s.Alone = s.Answer && n.serve.lease.Alone
		s.Version, s.LoadPercent = build.Version, float64(n.cpu.permille)/10
		s.Protocol, s.Capabilities = build.ProtocolVersion(), capabilityNames(n.capabilities())
		digest := n.cfg.Digest()
		s.ConfigDigest = hex.EncodeToString(digest[:8])
		return s
	}
	if m.LastSeen != 0 {
		s.AgeMs = ms(time.Duration(now - m.LastSeen))
	}
	for _, p := range n.ports {
		if h, ok := n.heard[[2]uint8{m.ID, p.Slot}]; ok && h.Reply.Bits&ccp.BitAlone != 0 && m.Serving {
			s.Alone = true
		}
	}
	if t := n.wire.told[m.ID]; t != nil {
		s.Version, s.LoadPercent, s.ConfigDigest = t.Build, float64(t.Load.CPUPermille)/10, hex.EncodeToString(t.ConfigDigest[:8])
		s.Protocol, s.Capabilities = t.Version, capabilityNames(t.Capabilities)
	}
	return s
}

func (n *node) flapState(v members.View) *control.Flap {
	if n.cfg.Flap.Budget == 0 {
		return nil
	}
	f := &control.Flap{Budget: n.cfg.Flap.Budget, Left: v.FlapBudget, Window: control.Duration(n.cfg.Flap.Window)}
	if v.FlapBudget == 0 && v.Damped != 0 {
		until := n.trace.at(v.Damped)
		f.Until = &until
	}
	return f
}

// capabilityNames names the feature bits of a build; those of a newer build have no name here.
func capabilityNames(bits uint64) []string {
	var names []string
	for i := range 64 {
		if bits&(1<<i) != 0 {
			names = append(names, fmt.Sprintf("feature-%d", i))
		}
	}
	return names
}

// address is the member's first own address on a sync interface, else on the first interface that has one.
func (n *node) address(member uint8) string {
	var first string
	m := n.cfg.Members[member]
	for _, i := range n.cfg.Interfaces {
		a := m.Interfaces[i.Name].Addresses
		if len(a) == 0 {
			continue
		}
		if i.Role.Sync() {
			return a[0].Addr().String()
		}
		if first == "" {
			first = a[0].Addr().String()
		}
	}
	return first
}

// Interfaces implements control.Backend.
func (b *backend) Interfaces(ctx context.Context) (control.Interfaces, error) {
	return ask(ctx, b.n, func(now int64) (control.Interfaces, error) {
		n := b.n
		v := n.machine.View(now)
		list := control.Interfaces{Member: n.local.Self.Name, Transport: string(n.cfg.CCP.Transport)}
		for _, p := range n.ports {
			s := n.interfaceState(now, p)
			for _, i := range v.Interfaces {
				if i.Slot != p.Slot {
					continue
				}
				s.Group = i.Group
				list.Required++
				switch {
				case i.Problem != "" || !i.Carrier:
					s.Status, s.Reason = "DOWN", cmp.Or(i.Problem, "no carrier")
				case i.Undecided != "":
					s.Status, s.Reason = "undecided", i.Undecided
				default:
					s.Status = "UP"
					list.Up++
				}
			}
			list.Interfaces = append(list.Interfaces, s)
		}
		for k, g := range v.Groups {
			list.Groups = append(list.Groups, control.GroupState{Name: g.Name, Interfaces: n.cfg.Groups[k].Interfaces, Up: g.Well, MinUp: g.MinUp, Reason: g.Problem})
		}
		return list, nil
	})
}

// sinceMs is an age in ms, or -1 for what never was.
func sinceMs(age time.Duration) float64 {
	if age < 0 {
		return -1
	}
	return ms(age)
}

func (n *node) interfaceState(now int64, p *port) control.InterfaceState {
	s := control.InterfaceState{
		Name: p.Name, Device: p.device, Slot: p.Slot, Role: string(p.Role), Monitored: p.Monitored, Status: "non-monitored",
		Carrier: p.carrier, VIPs: len(p.VIPs),
	}
	if p.index != 0 {
		s.Attached, s.MAC = n.gate.AttachedAs(p.index), macText(p.mac)
	}
	if p.VMAC != nil {
		s.VMAC = macText(*p.VMAC)
	}
	for _, a := range n.local.Self.Interfaces[p.Name].Addresses {
		s.Addresses = append(s.Addresses, a.String())
	}
	s.Trunk, s.VLAN = p.Trunk, p.VLAN
	if p.bond.Name != "" {
		s.Bond = &control.BondState{Name: p.bond.Name, Up: p.bond.Up, Links: p.bond.Links, MinLinks: p.MinLinks}
	}
	if !p.Monitored {
		if p.Trunk != "" {
			s.Reason = "not among what trunk " + p.Trunk + " monitors"
		}
		return s
	}
	if p.index == 0 {
		s.Reason = "there is no device " + p.device
	}
	if p.fault != "" {
		s.Reason = p.fault
	}
	in, out, last := time.Duration(-1), time.Duration(-1), time.Duration(-1)
	for _, m := range n.local.Peers {
		key := [2]uint8{m.ID, p.Slot}
		h, heard := n.heard[key]
		link := control.PeerLink{Member: m.Name, RTTUs: float64(h.RTT.Nanoseconds()) / 1000, Up: heard && !n.silent[key]}
		if mac, ok := n.wire.macs[key]; ok {
			link.MAC = macText(mac)
		}
		if heard {
			age := time.Duration(now - h.At)
			link.AgeMs = ms(age)
			if last < 0 || age < last {
				last = age
			}
		}
		i, o := n.ccpAges(now, m.ID, p.Slot)
		if i >= 0 && (in < 0 || i < in) {
			in = i
		}
		if o >= 0 && (out < 0 || o < out) {
			out = o
		}
		link.Says = n.peerSays(m.ID, p.Slot)
		s.Peers = append(s.Peers, link)
	}
	s.In, s.Out = in >= 0 && in < n.ccpFresh(), out >= 0 && out < n.ccpFresh()
	s.InAgeMs, s.OutAgeMs = sinceMs(younger(in, last)), sinceMs(younger(out, last))
	return s
}

// younger is an age, or that of the last answered probe, which went both ways: since when a direction is down, that says best.
func younger(age, answered time.Duration) time.Duration {
	if age < 0 || answered >= 0 && answered < age {
		return answered
	}
	return age
}

// VIPs implements control.Backend.
func (b *backend) VIPs(ctx context.Context) (control.VIPs, error) {
	return ask(ctx, b.n, func(now int64) (control.VIPs, error) {
		n := b.n
		list := control.VIPs{Member: n.local.Self.Name, Serving: n.words.Serving(gateway, now)&gate.Answer != 0, VIPs: []control.VIP{}}
		holder := n.name(n.machine.View(now).Active)
		var announced *time.Time
		if n.serve.announced != 0 {
			at := n.trace.at(n.serve.announced)
			announced = &at
		}
		for _, p := range n.ports {
			add := func(addr, prefix, kind string) {
				list.VIPs = append(list.VIPs, control.VIP{Address: addr, Prefix: prefix, Interface: p.Name, Kind: kind,
					MAC: macText(p.answerMAC()), Group: gateway, Holder: holder, Announced: announced})
			}
			for _, v := range p.VIPs {
				add(v.Addr.String(), v.Prefix.String(), "vip")
			}
			for _, a := range p.ProxyARP {
				add(a.String(), "", "proxy")
			}
			if p.LinkLocal.IsValid() && p.Role.Gated() {
				add(p.LinkLocal.String(), "", "link-local")
			}
		}
		return list, nil
	})
}

// Failovers implements control.Backend. The history is safe to read beside the loop.
func (b *backend) Failovers(context.Context) (control.Failovers, error) {
	c := b.n.trace.Counter()
	return control.Failovers{Count: c.Count, Since: c.Since, Why: c.Why, History: b.n.trace.Failovers()}, nil
}

// History implements control.Backend.
func (b *backend) History(context.Context) (control.History, error) {
	return control.History{Member: b.n.o.Member, Changes: b.n.trace.Changes()}, nil
}

// Timers implements control.Backend.
func (b *backend) Timers(ctx context.Context) (control.Timers, error) {
	return ask(ctx, b.n, func(int64) (control.Timers, error) {
		n := b.n
		t := control.Timers{Profile: string(n.cfg.Profile), Margins: n.thinMargins(), Used: n.marginViews()}
		for _, r := range n.cfg.Timers.Table(n.cfg.Profile) {
			t.Timers = append(t.Timers, control.Timer{Name: r.Name, ValueMs: ms(r.Value), DefaultMs: ms(r.Default),
				Formula: r.Formula, Settable: r.Set, Meaning: r.Meaning})
		}
		t.Lateness = []control.Lateness{
			{Name: "pulse", LastMs: ms(n.stats.WorstLate), WorstMs: ms(n.stats.MaxLate), LimitMs: ms(n.cfg.Timers.Soft)},
			{Name: "softirq", LastMs: ms(n.stats.Softirq), WorstMs: ms(n.stats.MaxSoftirq), LimitMs: ms(n.cfg.Timers.Dead)},
		}
		return t, nil
	})
}

func (n *node) warnings() []string {
	var w []string
	for _, m := range n.thinMargins() {
		w = append(w, "thin margin: "+m)
	}
	if state := n.rotation(); state != "" {
		w = append(w, state)
	}
	if text := n.syncWarning(); text != "" {
		w = append(w, text)
	}
	return append(w, n.hostWarnings()...)
}

// Why implements control.Backend.
func (b *backend) Why(ctx context.Context) (control.Why, error) {
	return ask(ctx, b.n, func(now int64) (control.Why, error) {
		n := b.n
		v := n.machine.View(now)
		w := control.Why{Member: n.local.Self.Name, State: n.shownState(&v, v.Self), Why: n.shownWhy(&v, v.Self, n.machine.Why()), Facts: n.facts(now, v), Peers: []control.WhyNot{}}
		for _, m := range n.local.Peers {
			w.Peers = append(w.Peers, control.WhyNot{Member: m.Name, State: n.shownState(&v, m.ID),
				Why: n.shownWhy(&v, m.ID, n.machine.WhyNot(m.ID)), Facts: n.peerFacts(now, v.Members[m.ID])})
		}
		return w, nil
	})
}

// Counters implements control.Backend.
func (b *backend) Counters(ctx context.Context) (control.Counters, error) {
	return ask(ctx, b.n, func(int64) (control.Counters, error) {
		n := b.n
		c := control.Counters{Member: n.local.Self.Name, Groups: map[string]map[string]uint64{
			"gate": {}, "pulse": {}, "announce": {}, "drops": {}, "notify": n.notifyCounters(),
			"ccp": {"hello-out": n.wire.sent, "hello-in": n.wire.taken},
		}}
		counters, err := n.gate.Counters()
		if err != nil {
			return c, err
		}
		for k, v := range counters {
			if reason, is := strings.CutPrefix(k.String(), "frame-"); is {
				c.Groups["drops"]["gate-"+reason] = v
				continue
			}
			c.Groups["gate"][k.String()] = v
		}
		for r, v := range n.wire.dropped {
			if r != int(ccp.DropNone) {
				c.Groups["drops"][ccp.DropReason(r).String()] = v
			}
		}
		for d, v := range n.stats.Dropped {
			c.Groups["drops"]["pulse-"+pulse.Drop(d).String()] = v
		}
		s := n.stats
		c.Groups["pulse"] = map[string]uint64{"ticks": s.Ticks, "skipped": s.Skipped, "renewals": s.Renewals, "faults": s.Faults, "held": s.Held}
		a := n.announcer.Counters()
		c.Groups["announce"] = map[string]uint64{"beacons": a.Beacons, "arp-requests": a.ARPRequests, "arp-replies": a.ARPReplies,
			"neighbour-adverts": a.NeighbourAdverts, "router-adverts": a.RouterAdverts, "router-solicits": a.RouterSolicits,
			"failed": a.Failed, "rounds": a.Rounds}
		return c, nil
	})
}
