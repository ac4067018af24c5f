// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/members"
)

// hostEvery is how often the host is brought in line though nothing is known to have changed: of most settings the kernel tells nobody.
const hostEvery = time.Minute

// hostAgain is when it is tried again after something of it could not be done.
const hostAgain = 5 * time.Second

// hostLeast is how long the host is left alone at least after an address made it worth looking.
const hostLeast = time.Second

// sayAgain is for how long what somebody undoes again and again is only counted once it was said.
const sayAgain = time.Minute

// repeats is something that is put right each time, and may come each second for ever. It is said once, and then how often it has come since.
type repeats struct {
	said int64  // when, 0 for never
	more int    // how often it has come since
	last string // what it was then
}

// comes takes note of one, and reports whether it is to be said.
func (r *repeats) comes(now int64, what string) bool {
	if r.said != 0 && (now-r.said < int64(sayAgain) || r.more > 0) {
		r.more, r.last = r.more+1, what
		return false
	}
	r.said = now
	return true
}

// sum returns how often it has come since it was said, once that is to be said.
func (r *repeats) sum(now int64) (times int, last string) {
	if r.more == 0 || now-r.said < int64(sayAgain) {
		return 0, ""
	}
	times, r.said, r.more = r.more, now, 0
	return times, r.last
}

// guarded is a port that the gate is to hang on, and, once looked at, what of it is missing there.
type guarded struct {
	slot    uint8
	index   int
	gated   bool
	missing string
}

// guard looks whether the gate still hangs where it was attached, beside the loop: the kernel answers under a lock that some driver may hold
// for long.
type guard struct {
	look  func(index int, gated bool) string
	ask   chan []guarded
	found chan []guarded
}

func newGuard(look func(index int, gated bool) string) guard {
	return guard{look: look, ask: make(chan []guarded, 1), found: make(chan []guarded)}
}

// serve looks whenever it is asked to, until ctx ends, and tells what is missing.
func (g guard) serve(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case ports := <-g.ask:
			var gone []guarded
			for _, p := range ports {
				if p.missing = g.look(p.index, p.gated); p.missing != "" {
					gone = append(gone, p)
				}
			}
			if len(gone) == 0 {
				continue
			}
			select {
			case <-ctx.Done():
				return nil
			case g.found <- gone:
			}
		}
	}
}

// guardHost puts back, once a second, what somebody else on this machine may have removed of the gate, and once in a while what they may
// have changed of its settings.
func (n *node) guardHost(now int64) {
	restored, err := n.gate.KeepPins()
	if what := strings.Join(restored, " "); len(restored) > 0 && n.pinsGone.comes(now, what) {
		n.say(members.CodeGateRemoved, fmt.Sprintf("something on this machine removed pins of the gate below %s (%s); they are put back", n.local.PinDir, what))
	}
	n.saySums(now)
	n.noteFault(&n.pinFault, err)
	var unrecorded error
	if why := n.host.Unrecorded(); why != "" {
		n.due.host = min(n.due.host, now+int64(hostAgain)) // the disk may take it by then
		unrecorded = fmt.Errorf("%s: what is set on this host is on record in memory only: make room in %s", why, n.local.StateDir)
	}
	n.noteFault(&n.diskFault, unrecorded)
	for _, p := range n.ports {
		if p.index != 0 && p.removed && n.attach(p) == nil {
			n.attachedAgain(p, true)
		}
	}
	n.askGuard()
	if n.due.host == 0 {
		n.due.host = now + int64(hostEvery)
	}
	if now >= n.due.host {
		n.due.host, n.due.hosted = now+int64(hostEvery), now
		_ = n.applyHost() // the worker's errors come as results
	}
}

// askGuard has it looked whether the gate hangs where it was attached.
func (n *node) askGuard() {
	var ports []guarded
	for _, p := range n.ports {
		if p.index != 0 && p.attached {
			ports = append(ports, guarded{slot: p.Slot, index: p.index, gated: p.Role.Gated()})
		}
	}
	select {
	case n.guard.ask <- ports:
	default: // it still looks
	}
}

// guardUnasked looks at once, rather than within the second, where no gate of this member is asked any more. Where the gate hangs nowhere
// the peers take this member for dead, while its own questions say that it serves, and among two that is enough for the other one to give way:
// until the gate is back nobody serves.
func (n *node) guardUnasked(now int64) {
	if probed := n.words.Probed(); probed != n.unasked && unasked(probed, now, n.cfg.Timers.Dead, n.answered()) {
		n.unasked = probed
		n.askGuard()
	}
}

// unasked reports whether probes have stopped to come though those who sent them are there: a pulse that has ended, or this member's gate
// that hangs nowhere any more. probed is when the last one came, 0 for never.
func unasked(probed, now int64, dead time.Duration, answered bool) bool {
	return answered && probed != 0 && now-probed >= int64(dead)
}

// answered reports whether any peer answers.
func (n *node) answered() bool {
	for link := range n.heard {
		if !n.silent[link] {
			return true
		}
	}
	return false
}

// gateRemoved attaches the gate again where somebody took it off. Until that is done a member that serves answers nobody there, and one that
// does not is guarded by nothing but the stack's own settings.
func (n *node) gateRemoved(gone []guarded) {
	for _, g := range gone {
		p := n.portByIndex(g.index)
		if p == nil || !p.attached || p.Slot != g.slot {
			continue
		}
		if _, err := net.InterfaceByIndex(g.index); err != nil {
			continue // the device is gone, which the watcher tells
		}
		if g.missing = n.gate.Missing(g.index, g.gated); g.missing == "" {
			continue // it was put back meanwhile
		}
		now := bpf.Boottime()
		news := p.gateGone.comes(now, g.missing)
		if news {
			n.sayGateGone(now, p, fmt.Sprintf("something on this machine took the gate off %s (%s); it is put back", p.named, g.missing))
		}
		p.attached, p.removed = false, true
		if err := n.attach(p); err != nil {
			n.log.Error("put the gate back", "interface", p.Name, "device", p.named, "error", err)
			n.linkStep(p)
			continue
		}
		n.attachedAgain(p, news)
	}
}

func (n *node) sayGateGone(now int64, p *port, reason string) {
	state := members.StateInit // which one does not matter: nothing changes
	n.record(now, members.Record{Code: members.CodeGateRemoved, From: state, To: state, Iface: p.Name, Peer: members.Nobody, Reason: reason})
}

// saySums says how often what was said before has come since. The neighbours are told where the VIPs are as well: each time something else
// may have answered them.
func (n *node) saySums(now int64) {
	if times, last := n.pinsGone.sum(now); times > 0 {
		n.say(members.CodeGateRemoved, fmt.Sprintf("something on this machine goes on removing pins of the gate below %s: %d times more, the last time %s; "+
			"they are put back each time", n.local.PinDir, times, last))
	}
	for _, p := range n.ports {
		times, last := p.gateGone.sum(now)
		if times == 0 {
			continue
		}
		n.sayGateGone(now, p, fmt.Sprintf("something on this machine goes on taking the gate off %s: %d times more, the last time %s; it is put back each time",
			p.named, times, last))
		if n.serve.open {
			n.announceNow(gateway)
		}
	}
}

// attachedAgain goes on with a port where the gate is back, and tells the neighbours so if that is news.
func (n *node) attachedAgain(p *port, news bool) {
	p.removed = false
	if err := n.applyPorts(); err != nil {
		n.log.Error("the gate is back on an interface", "interface", p.Name, "device", p.named, "error", err)
	}
	n.linkStep(p)
	if n.serve.open && news {
		n.announceNow(gateway)
	}
}

// virtual reports whether addr is one of the cluster's.
func (n *node) virtual(addr netip.Addr) bool {
	for _, p := range n.ports {
		for _, v := range p.VIPs {
			if v.Addr == addr {
				return true
			}
		}
	}
	return false
}

// noteFault keeps in fault why this host is not as it should be, "" for no reason, and logs it when it is news.
func (n *node) noteFault(fault *string, err error) {
	was := *fault
	*fault = ""
	if err != nil {
		*fault = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	if *fault != "" && *fault != was {
		n.log.Error("addresses, settings and pins of this host", "error", *fault)
	}
}

// hostWarnings are what is wrong with this host and does not move the gateway.
func (n *node) hostWarnings() []string {
	var w []string
	for _, fault := range []string{n.hostFault, n.pinFault, n.diskFault} {
		if fault != "" {
			w = append(w, fault)
		}
	}
	for _, p := range n.ports {
		if p.index != 0 && p.named != p.device {
			w = append(w, fmt.Sprintf("interface %s: device %s is called %s now; it is used until the daemon ends: rename it back, or correct %s",
				p.Name, p.device, p.named, n.cfg.Path))
		}
		if p.index == 0 {
			continue
		}
		for _, own := range n.local.Self.Interfaces[p.Name].Addresses {
			if !n.sync.local.has(p.index, own.Addr()) {
				w = append(w, fmt.Sprintf("interface %s: %s does not have %v, this member's own address there: its network may be out of reach; set it, "+
					"or correct %s", p.Name, p.named, own, n.cfg.Path))
			}
		}
	}
	if n.wire != nil {
		if text := n.wire.strange.warning(bpf.Boottime(), n.cfg.ID); text != "" {
			w = append(w, text)
		}
	}
	return append(w, n.forwardingOff()...)
}

// forwardingOff says where the kernel forwards nothing between the cluster's interfaces. One alone needs no forwarding.
func (n *node) forwardingOff() []string {
	four, six := n.forwardingFamilies()
	var off []string
	for _, p := range n.ports {
		is4 := func(v netip.Addr) bool { return !v.Is6() }
		if four && p.serves() && slices.ContainsFunc(firstOfEachFamily(p), is4) && setting("ipv4/conf/"+p.named+"/forwarding") == "0" {
			off = append(off, fmt.Sprintf("IPv4 packets that come in on %s are not forwarded: net.ipv4.conf.%s.forwarding is 0; "+
				"sysctl -w net.ipv4.ip_forward=1, and make it permanent", p.Name, p.named))
		}
	}
	if six && setting("ipv6/conf/all/forwarding") == "0" {
		off = append(off, "IPv6 packets are not forwarded: net.ipv6.conf.all.forwarding is 0; sysctl -w net.ipv6.conf.all.forwarding=1, and make it permanent")
	}
	return off
}

// setting is a value below /proc/sys/net, "" if it cannot be read.
func setting(path string) string {
	b, err := os.ReadFile("/proc/sys/net/" + path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
