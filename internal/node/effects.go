// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/neighbour"
	"github.com/holdfast-project/holdfast/internal/pulse"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/gate"
)

// askWait is how long a question to a neighbour stays open.
const askWait = 50 * time.Millisecond

// serving is what the adapters have been told last.
type serving struct {
	leasedAt  int64         // when the pulse was asked for the lease
	lease     members.Lease // the lease that the pulse was asked to renew; Term 0: none
	open      bool          // the gate was open at its last change
	announce  bool          // announcements wait for the gate to open: before, it would drop them
	hostKnow  bool          // the host has been told that the group is served here
	openedBy  int64         // when the last lease was asked for, for the time that a takeover takes
	announced int64         // when announcements began last
	took      time.Duration // that the last opening took, from the machine's decision to the open gate
}

// perform carries out one effect. What fails is said; the machine learns of it by what it does not hear.
func (n *node) perform(now int64, e members.Effect) {
	var err error
	switch e := e.(type) {
	case members.Revoke:
		n.serve.lease, n.serve.announce, n.serve.openedBy = members.Lease{}, false, 0
		n.sync.disown()
		n.announcer.Withdraw(e.Group)
		err = n.pulse.Drop(e.Group)
	case members.SendYield:
		err = n.pulse.Yield(pulse.YieldRequest{Target: e.Target, Group: e.Group, Term: e.Term, Kind: yieldKind(e.Kind), MinAge: e.MinAge})
	case members.GrantOwn:
		n.queue = append(n.queue, n.grantOwn(e))
	case members.Lease:
		n.serve.lease, n.serve.leasedAt = e, now
		if !n.serve.open {
			n.serve.openedBy = now
		}
		err = n.lease(now, e)
	case members.SetAlone:
		n.serve.lease.Alone = e.Alone
		if term := n.serve.lease.Term; term != 0 && n.sync.opening == nil { // lost meanwhile: the machine hears of it next
			err = n.pulse.Lease(e.Group, term, e.Alone)
		}
	case members.Announce:
		n.announce(e, now)
	case members.AskVIP:
		n.askVIPs()
	case members.AskNeighbours:
		n.askNeighbours(e.Iface, now)
	case members.Query:
		err = n.pulse.Query()
	case members.Flush:
		n.flush(e.ID)
	case members.SendHello:
		err = n.wire.sendHello(now)
	case members.StoreTerm:
		n.store.want(e.Term)
	case members.Record:
		n.record(now, e)
	case members.WakeAt:
		n.wakeAt = e.At
	}
	if err != nil {
		n.log.Error("cannot do what the state machine wants", "effect", fmt.Sprintf("%T", e), "error", err)
	}
}

func yieldKind(k members.YieldKind) ccp.YieldKind {
	switch k {
	case members.YieldCourtesy:
		return ccp.YieldCourtesy
	case members.YieldGraceful:
		return ccp.YieldGraceful
	default:
		return ccp.YieldClaim
	}
}

func (n *node) grantOwn(e members.GrantOwn) members.YieldResult {
	fence, granted := n.words.Grant(e.Group, e.Term, n.local.Self.ID)
	result := members.Refused
	if granted {
		result = members.Granted
	}
	return members.YieldResult{Peer: n.local.Self.ID, Group: e.Group, Term: e.Term, Result: result,
		FenceTerm: fence.Term, Grantee: fence.Grantee}
}

// announce sends announcements if the gate is open, else as soon as it says so: a closed gate drops them.
func (n *node) announce(e members.Announce, now int64) {
	if n.words.Serving(e.Group, now)&gate.Answer == 0 {
		n.serve.announce = true
		return
	}
	n.serve.announce = false
	n.announceNow(e.Group)
}

func (n *node) announceNow(group uint8) {
	n.announcer.Announce(group)
	n.serve.announced = bpf.Boottime()
}

// gateOpened follows the gate: announcements first, then what only concerns this host.
func (n *node) gateOpened(group uint8) {
	n.serve.open = true
	if n.serve.announce {
		n.serve.announce = false
		n.announceNow(group)
	}
	if n.serve.openedBy != 0 {
		n.serve.took = time.Duration(bpf.Boottime() - n.serve.openedBy)
		n.metrics.Takeover(n.serve.took)
		n.serve.openedBy = 0
	}
	n.tellHost(group, true)
	for _, w := range n.forwardingOff() {
		n.log.Warn("this member serves, and forwards nothing", "reason", w)
	}
	n.moved(n.machine.View(bpf.Boottime()))
}

func (n *node) gateClosed(group uint8) {
	n.serve.open = false
	n.serve.announce = n.serve.lease.Term != 0 // the lease is still wanted: announce when the gate opens again
	n.announcer.Withdraw(group)
	n.tellHost(group, false)
}

func (n *node) tellHost(group uint8, serving bool) {
	if n.serve.hostKnow == serving {
		return
	}
	n.serve.hostKnow = serving
	if n.links != nil {
		n.links.SetServing(group, serving)
	} else if err := n.host.SetServing(group, serving); err != nil {
		n.log.Error("route this member's own traffic to the VIPs", "serving", serving, "error", err)
	}
}

// askVIPs asks, on every cluster interface with carrier, who answers for its first VIP of each family.
func (n *node) askVIPs() {
	for _, p := range n.ports {
		if !p.Role.Gated() || !p.carrier || p.index == 0 {
			continue
		}
		for _, addr := range firstOfEachFamily(p) {
			if err := n.asker.Ask(neighbour.VIP, p.index, addr, askWait); err != nil {
				n.log.Debug("ask for a VIP", "interface", p.Name, "vip", addr, "error", err)
			}
		}
	}
}

func firstOfEachFamily(p *port) []netip.Addr {
	var first []netip.Addr
	var have4, have6 bool
	for _, v := range p.VIPs {
		if v.Addr.Is4() && !have4 {
			have4, first = true, append(first, v.Addr)
		}
		if v.Addr.Is6() && !have6 {
			have6, first = true, append(first, v.Addr)
		}
	}
	return first
}

// mostAsked is how many learned neighbours of an interface are asked: one answer decides.
const mostAsked = 4

// neighbourAsking is a round of questions to the neighbours of an interface.
type neighbourAsking struct {
	waiting  int  // echo replies that have not come
	answered bool // somebody answered in some way
}

// askNeighbours asks the configured neighbours of an interface or, without any, those that the kernel has learned: by ARP or neighbour
// solicitation, and by echo request where that is answered.
func (n *node) askNeighbours(slot uint8, now int64) {
	p := n.ports[slot]
	targets := slices.Clone(p.Neighbours)
	if len(targets) == 0 && p.serves() {
		learned, err := n.asker.Learned(p.index, n.wire.owners())
		if err != nil {
			n.log.Debug("list neighbours", "interface", p.Name, "error", err)
		}
		for _, l := range learned[:min(len(learned), mostAsked)] {
			targets = append(targets, l.Addr)
		}
	}
	var round neighbourAsking
	for _, addr := range targets {
		if p.index == 0 || n.asker.Ask(neighbour.Echo, p.index, addr, askWait) != nil {
			continue
		}
		round.waiting++
	}
	if round.waiting == 0 {
		n.queue = append(n.queue, members.NeighbourAnswer{Iface: slot, Asked: now})
		return
	}
	n.asked[slot] = round
}

// answer hands an answer of the segment to the machine.
func (n *node) answer(a neighbour.Answer) {
	p := n.portByIndex(a.Index)
	if p == nil {
		return
	}
	if a.Kind == neighbour.VIP {
		by := map[neighbour.By]members.Answerer{neighbour.Nobody: members.ByNobody, neighbour.VMAC: members.ByVMAC,
			neighbour.Member: members.ByMember, neighbour.Stranger: members.ByStranger}[a.By]
		n.step(members.VIPAnswer{Iface: p.Slot, By: by, MAC: macText(a.MAC)})
		return
	}
	round := &n.asked[p.Slot]
	asked, echo := a.At-int64(a.RTT), a.Kind == neighbour.Echo
	stranger := a.By == neighbour.Stranger // a third station, as wanted
	round.answered = round.answered || stranger
	last := echo && round.waiting == 1
	if echo && round.waiting > 0 {
		round.waiting--
	}
	switch { // a step may begin the next round
	case stranger:
		n.step(members.NeighbourAnswer{Iface: p.Slot, Answered: true, Echo: echo, Asked: asked})
	case last && !round.answered:
		n.step(members.NeighbourAnswer{Iface: p.Slot, Asked: asked})
	}
}

func macText(m [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}
