// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/link"
	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/internal/pulse"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/gate"
)

// pulseBatch is how many of the pulse's events one Step takes at most.
const pulseBatch = 64

// pulseEvents gives the machine ev and all that lies behind it: after a stall of this process the news that a peer is silent may lie
// before the news that it is heard again.
func (n *node) pulseEvents(ev pulse.Event, more <-chan pulse.Event) {
	batch := n.pulseEvent(nil, ev)
	for range pulseBatch {
		select {
		case ev, ok := <-more:
			if died, is := ev.(pulse.Died); !ok || is {
				n.died = &died // the loop sees to it next
				n.step(batch...)
				return
			}
			batch = n.pulseEvent(batch, ev)
			continue
		default:
		}
		break
	}
	if len(batch) > 0 {
		n.step(batch...)
		return
	}
	n.shareFollow(bpf.Boottime())
}

// pulseEvent translates what the pulse has learned and appends it to batch.
func (n *node) pulseEvent(batch []members.Event, ev pulse.Event) []members.Event {
	switch ev := ev.(type) {
	case pulse.Heard:
		key := [2]uint8{ev.Peer, ev.Slot}
		n.heard[key] = ev
		delete(n.silent, key)
		n.wire.gates[ev.Peer] = echo{ev.Incarnation, ev.Stamp, ev.At}
		n.shareReplied(ev.Peer, ev.At, &ev.Reply)
		return append(n.stuck(batch, n.ports[ev.Slot], false), heard(ev))
	case pulse.Silent:
		n.silent[[2]uint8{ev.Peer, ev.Slot}] = true
		// Where the kernel takes no frame of ours, the silence is our own fault: the interface is down, whatever its carrier says.
		batch = n.stuck(batch, n.ports[ev.Slot], ev.Unsent)
		return append(batch, members.Silent{Peer: ev.Peer, Iface: ev.Slot, Since: ev.Since})
	case pulse.Missed:
		n.lookAtLink(n.ports[ev.Slot])
		return append(batch, members.Missed{Peer: ev.Peer, Iface: ev.Slot, Since: ev.Since})
	case pulse.YieldReply:
		// Both the machine and the agreement about slots claim; each knows its own terms.
		if ev.Kind == ccp.YieldShare || ev.Kind == ccp.YieldClaim {
			n.shareReplied(ev.Peer, ev.At, &ev.Reply)
			n.shareStep(ev.At, steer.YieldResult{To: ev.Peer, Term: ev.Term, Granted: ev.Reply.Result == ccp.ResultGranted, Fence: ev.Reply.FenceTerm})
		}
		if ev.Kind == ccp.YieldShare { // the machine asks for nothing of that kind
			return batch
		}
		return append(batch, members.YieldResult{Peer: ev.Peer, Group: ev.Group, Term: ev.Term, Result: members.Result(ev.Reply.Result),
			FenceTerm: ev.Reply.FenceTerm, Grantee: ev.Reply.Grantee})
	case pulse.GateChanged:
		return append(batch, n.gateChanged(ev))
	case pulse.Health:
		if bpf.Boottime() >= n.due.early {
			n.due.state = n.due.early // what follows is the loop's tick
		}
		n.onTime = ev.OnTimeSince
		return append(batch, members.PulseHealth{OnTimeSince: ev.OnTimeSince})
	case pulse.Stats:
		n.pulseStats(ev)
	case pulse.Notice:
		n.log.Warn("pulse", "notice", ev.Code.String(), "slot", ev.Slot, "reason", ev.Text)
	}
	return batch
}

func heard(ev pulse.Heard) members.Heard {
	r := ev.Reply
	age := time.Duration(r.LeaseAgeMs) * time.Millisecond
	if r.LeaseAgeMs == ccp.NoLease {
		age = 0
	}
	return members.Heard{
		Peer: ev.Peer, Iface: ev.Slot, Group: r.Group, At: ev.At, RTT: ev.RTT, Incarnation: ev.Incarnation,
		Term: r.Term, LeaseAge: age,
		Serving: r.Bits&ccp.BitAnswer != 0, Forward: r.Bits&ccp.BitForward != 0, Alone: r.Bits&ccp.BitAlone != 0,
		HearsUs: r.Bits&ccp.BitHearsYou != 0, Restarting: r.Bits&ccp.BitRestarting != 0, Watched: r.Bits&ccp.BitWatched != 0,
		FenceTerm: r.FenceTerm, Grantee: r.Grantee, Heard: r.Heard, Closed: r.Closed,
	}
}

// gateChanged follows the own gate, and returns its state for the machine. Announcements wait for nothing.
func (n *node) gateChanged(ev pulse.GateChanged) members.GateState {
	now := bpf.Boottime()
	n.log.Debug("gate", "group", ev.Group, "bits", uint8(ev.Bits), "lease", ev.Lease, "fence", ev.FenceTerm, "grantee", ev.Grantee, "leased", ev.Leased, "lost", uint8(ev.Lost))
	if ev.Lost != pulse.LostNot && ev.At > n.serve.leasedAt { // not the loss of an earlier one
		n.serve.lease = members.Lease{}
	}
	open := n.words.Serving(ev.Group, now)&gate.Answer != 0
	switch {
	case open && (!n.serve.open || n.serve.announce):
		n.gateOpened(ev.Group)
	case !open && n.serve.open:
		n.gateClosed(ev.Group)
	}
	return n.gateState(ev.Group)
}

// gateState reads the own gate's words, and then the clock: a renewal in between must not look like one from the future.
func (n *node) gateState(group uint8) members.GateState {
	s := n.words.Snapshot()
	now := bpf.Boottime()
	g := s.Group[group]
	bits := s.Serving(int(group), now)
	st := members.GateState{
		Group: group, LeaseTerm: g.Lease.Term(), FenceTerm: g.Fence.Term, Grantee: g.Fence.Grantee,
		Serving: bits&gate.Answer != 0, Forward: bits&gate.Forward != 0, Closed: uint32(g.ClosedRx),
	}
	if st.LeaseTerm != 0 {
		st.LeaseAge = time.Duration(g.Lease.Age(now))
	}
	return st
}

// linkEvent follows interfaces: carrier reaches the machine, a device that came back is attached anew.
func (n *node) linkEvent(ev link.Event) {
	if a, ok := ev.(link.AddressChanged); ok {
		n.addressEvent(a)
		return
	}
	changed, ok := ev.(link.LinkChanged)
	if !ok {
		return
	}
	var p *port
	for _, q := range n.ports {
		switch {
		case q.index == changed.Index: // also when it was renamed
			p = q
		case q.device == changed.Name && p == nil && !changed.Gone:
			p = q
		}
	}
	if p == nil {
		return
	}
	if changed.Gone {
		n.detach(p)
		p.index, p.up, p.carrier, p.received, p.bond = 0, false, false, false, link.Bond{}
		n.listenFirst(p)
		n.linkStep(p)
		if err := n.applyPorts(); err != nil { // closes the sockets on it: a device that returns may have the same index
			n.log.Warn("interface is gone", "interface", p.Name, "error", err)
		}
		return
	}
	if p.index != 0 && p.index != changed.Index {
		n.detach(p) // another device has the name now
	}
	renewed, raised := p.index != changed.Index || p.mac != changed.MAC, changed.AdminUp && !p.up
	renamed := p.named != changed.Name && !renewed
	p.index, p.mac, p.mtu, p.named = changed.Index, changed.MAC, changed.MTU, changed.Name
	p.up, p.carrier, p.received = changed.AdminUp, changed.AdminUp && changed.Carrier, changed.Received
	p.bond, p.looked = changed.Bond, true
	n.listenFirst(p)
	n.linkStep(p)
	if renamed && p.named != p.device {
		n.log.Warn("a device was renamed, and goes on being used", "interface", p.Name, "device", p.device, "name", p.named)
	}
	if (raised || renamed) && !renewed { // taking an interface down takes its routes too
		_ = n.applyHost() // the worker's errors come as results
	}
	if renewed {
		p.attached = false
		if err := n.applyPorts(); err != nil {
			n.log.Error("interface is new or changed", "interface", p.Name, "device", p.device, "error", err)
		}
		n.reconfigurePulse()
		n.linkStep(p) // attaching may have set or cleared a fault
		if n.serve.open {
			n.announceNow(gateway)
		}
	}
}

// reconfigurePulse tells the pulse what has changed; what it cannot take now it is told again.
func (n *node) reconfigurePulse() {
	err := n.pulse.Reconfigure(n.pulseConfig())
	n.pulseOwed = err != nil
	if err != nil {
		n.log.Warn("reconfigure the pulse, trying again", "error", err)
	}
}

// detach forgets what was attached to a device that is gone.
func (n *node) detach(p *port) {
	if err := n.gate.Detach(p.index); err != nil {
		n.log.Warn("take the gate off a device that is gone", "interface", p.Name, "error", err)
	}
	p.attached = false
}

// addressEvent follows the host's addresses: connections of its own are not synchronised, and the own IPv6 addresses are the source of the
// routes to the VIPs.
func (n *node) addressEvent(a link.AddressChanged) {
	if n.sync.take(a) {
		n.followSync(bpf.Boottime())
	}
	if n.virtual(a.Prefix.Addr()) && (a.Gone || a.Index != loopback) {
		n.addressWrong(bpf.Boottime()) // somebody has taken a VIP off lo, or given one to an interface
		return
	}
	p := n.portByIndex(a.Index)
	if p != nil && p.serves() {
		n.askWays()
	}
	if p == nil || !p.Role.Gated() || a.Tentative || !a.Prefix.Addr().Is6() {
		return
	}
	for _, own := range n.local.Self.Interfaces[p.Name].Addresses {
		if own.Addr() == a.Prefix.Addr() {
			n.addressWrong(bpf.Boottime())
			return
		}
	}
}

// addressWrong brings the host in line at once, but once a second at most: a program that undoes it on sight would have both at it as fast as
// the kernel tells of it.
func (n *node) addressWrong(now int64) {
	if n.due.hosted != 0 && now-n.due.hosted < int64(hostLeast) {
		n.due.host = now
		return
	}
	n.due.hosted = now
	_ = n.applyHost() // the worker's errors come as results
}

// applyHost brings the host in line: at once before the loop runs, later by the worker.
func (n *node) applyHost() error {
	if n.links == nil {
		return n.host.Apply(n.desired())
	}
	n.links.Apply(n.desired())
	return nil
}

// linkResult takes what the worker has done or found.
func (n *node) linkResult(r link.Result) {
	switch {
	case r.Op == link.OpQuery && r.Err == nil:
		if p := n.portByIndex(r.Index); p != nil {
			n.looked(p, r.State)
		}
	case r.Op == link.OpQuery: // gone: the watcher says so
	case r.Op == link.OpApply:
		n.noteFault(&n.hostFault, r.Err)
		if soon := bpf.Boottime() + int64(hostAgain); r.Err != nil && (n.due.host == 0 || n.due.host > soon) {
			n.due.host = soon
		}
	case r.Op == link.OpServing && r.Err != nil:
		n.log.Error("route this member's own traffic to the VIPs", "error", r.Err)
	}
}

func (n *node) linkStep(p *port) {
	if p.Monitored {
		n.step(p.link())
	}
}

// link is the port as the machine is to see it.
func (p *port) link() members.Link {
	return members.Link{Iface: p.Slot, Up: p.carrier && p.fault == "" && !p.unsent, Received: p.received, Fault: p.faultText()}
}

// faultText says in words what is wrong with a port on this host, beside its carrier.
func (p *port) faultText() string {
	switch {
	case p.index == 0:
		return "there is no device " + p.device
	case p.fault != "":
		return strings.TrimPrefix(p.fault, "interface "+p.Name+": ")
	case p.unsent:
		return "transmit down: the kernel takes no frame for " + p.device
	case !p.carrier:
		return ""
	case p.looked && bondFault(p.device, p.bond, p.MinLinks) != "":
		return bondFault(p.device, p.bond, p.MinLinks)
	}
	return p.blocked
}

// bondFault says in words that fewer links of a device's bond are up than it needs; least is 0 where that does not matter.
func bondFault(device string, b link.Bond, least int) string {
	switch {
	case least == 0:
		return ""
	case b.Name == "":
		return fmt.Sprintf("%s is no bond, nor on one, and needs %d links up", device, least)
	case b.Up < least:
		return fmt.Sprintf("%s: %d of %d links up, needs %d", b.Name, b.Up, b.Links, least)
	}
	return ""
}

// stuck notes whether frames leave a port, and appends that to batch if it is news.
func (n *node) stuck(batch []members.Event, p *port, unsent bool) []members.Event {
	if p.unsent == unsent {
		return batch
	}
	p.unsent = unsent
	if unsent {
		n.log.Warn("nothing leaves the interface", "interface", p.Name, "device", p.device)
	}
	return append(batch, p.link())
}

func (n *node) portByIndex(index int) *port {
	for _, p := range n.ports {
		if p.index == index && index != 0 {
			return p
		}
	}
	return nil
}

// lookAtLink asks the kernel about an interface where something is amiss: it holds its notice of a lost carrier back for up to a
// second when it has given another one lately.
func (n *node) lookAtLink(p *port) {
	if p.index != 0 {
		n.links.Query(p.index)
	}
}

func (n *node) looked(p *port, st link.State) {
	// Whether a frame was received since the carrier came is the watcher's to say.
	if carrier := st.AdminUp && st.Carrier; carrier != p.carrier {
		p.carrier = carrier
		n.listenFirst(p)
		n.linkStep(p)
	}
}
