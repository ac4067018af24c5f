// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"strings"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/dataplane/link"
	"github.com/holdfast-project/holdfast/members"
)

// relisted brings everything in line after the kernel's word of interfaces was lost: one may have gone and come back with its old index,
// which leaves no difference to see, and none of its sockets and settings.
func (n *node) relisted() {
	if !n.listed {
		n.listed = true // at the start: that has just been done
		return
	}
	if err := n.applyPorts(); err != nil {
		n.log.Warn("interfaces after events were lost", "error", err)
	}
}

// linkEvent follows interfaces: carrier reaches the machine, a device that came back is attached anew.
func (n *node) linkEvent(ev link.Event) {
	if a, ok := ev.(link.AddressChanged); ok {
		n.addressEvent(a)
		return
	}
	if _, is := ev.(link.Listed); is {
		n.relisted()
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
