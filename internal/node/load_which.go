// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/internal/control"
)

// Types of ICMP and ICMPv6 echoes.
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

// knownConnection is the connection of this member's table that a packet belongs to.
type knownConnection struct {
	original, reply record.Tuple
	packet          record.Tuple // as it was found: an echo may be a request or a reply
	here            bool         // it has begun at this member, it is no copy of another's
}

// Which implements control.Backend. The kernel's table is read beside the loop.
func (b *backend) Which(ctx context.Context, r control.WhichRequest) (control.Which, error) {
	if b.n.share.agreement == nil { // it is there from before the first request, or never
		return control.Which{}, errNotShared
	}
	t := tupleOf(r)
	known, err := lookUp(t)
	if err != nil {
		return control.Which{}, err
	}
	return ask(ctx, b.n, func(int64) (control.Which, error) { return b.n.which(t, r.SPI, known), nil })
}

// tupleOf is the direction of a connection that a request asks about.
func tupleOf(r control.WhichRequest) record.Tuple {
	t := record.Tuple{Proto: r.Number()}
	t.Src, t.Dst = r.Addrs()
	switch t.Proto {
	case steer.ProtoICMP:
		t.ICMPType, t.ICMPID = echoRequest4, r.SourcePort
	case steer.ProtoICMPv6:
		t.ICMPType, t.ICMPID = echoRequest6, r.SourcePort
	default:
		t.SrcPort, t.DstPort = r.SourcePort, r.DestinationPort
	}
	return t
}

// lookUp asks the kernel for the connection that a packet belongs to; nil if there is none.
func lookUp(t record.Tuple) (*knownConnection, error) {
	table, err := conntrack.Open()
	if err != nil {
		return nil, err
	}
	defer table.Close()
	var tick unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &tick); err != nil {
		return nil, fmt.Errorf("how long the kernel's clock ticks: %w", err)
	}
	for _, try := range eitherEcho(t) {
		family := uint8(unix.AF_INET6)
		if try.Src.Is4() {
			family = unix.AF_INET
		}
		m, err := table.Get(nil, family, record.AppendLookup(nil, try))
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) { // the latter: a protocol that is not tracked by more than addresses
			continue
		}
		if err != nil {
			return nil, err
		}
		c, err := record.FromMessage(nil, m.Type, m.Flags, m.Payload)
		if err != nil {
			continue // one of a kind that is not synchronised
		}
		known := &knownConnection{packet: try, here: record.BegunHere(m.Payload, time.Duration(tick.Nano()))}
		if known.original, err = record.Original(c); err != nil {
			continue
		}
		if known.reply, err = record.Reply(c); err == nil {
			return known, nil
		}
	}
	return nil, nil //nolint:nilnil // there is none, and that is no failure
}

// eitherEcho is a packet, and if it is an echo's request also its reply: who asks does not say which.
func eitherEcho(t record.Tuple) []record.Tuple {
	reply := t
	switch {
	case t.Proto == steer.ProtoICMP && t.ICMPType == echoRequest4:
		reply.ICMPType = echoReply4
	case t.Proto == steer.ProtoICMPv6 && t.ICMPType == echoRequest6:
		reply.ICMPType = echoReply6
	default:
		return []record.Tuple{t}
	}
	return []record.Tuple{t, reply}
}

// which says where a packet goes by the table in force.
func (n *node) which(t record.Tuple, spi uint32, known *knownConnection) control.Which {
	s := &n.share
	w := control.Which{Member: n.local.Self.Name, Slot: -1, Why: []string{}}
	if t.Dst.IsMulticast() || t.Dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		w.Why = append(w.Why, "packets to many are not distributed: every member has its own")
		return w
	}
	if own := n.ownerOf(t.Dst); own != "" {
		slot, _ := s.rules.Slot(packetOf(t))
		w.Why = append(w.Why, fmt.Sprintf("%s is an address of %s itself: who is on its segment sends there directly", t.Dst, own),
			fmt.Sprintf("from another network, through the gateway, it goes by slot %d and so by way of %s", slot, cmp.Or(n.name(s.table.Entry[slot].Taker()), "nobody")))
		return w
	}
	w.Steered = true
	var original *steer.Packet
	if known != nil {
		t = known.packet
		p := packetOf(known.original)
		p.Here = known.here
		original = &p
	}
	p := packetOf(t)
	p.SPI = spi
	r := s.rules
	r.Drained, r.BlockNew = s.drained, s.block
	d := r.Decide(s.table, p, original)
	if known != nil && known.here && d.Decider != n.local.Self.ID {
		original.Here = false // at whoever decides it is a copy
		d = r.Decide(s.table, p, original)
	}
	_, part := r.Slot(p)
	w.Slot = int(d.Slot)
	w.Rule, w.Why = n.whichRule(&r, t, part), append(w.Why, n.whichKey(&r, t, part))
	w.Decider, w.Taker = n.name(d.Decider), n.name(d.Taker)
	if e := s.table.Entry[d.Slot]; e.Moving() {
		w.Next = n.name(e.Next())
		w.Why = append(w.Why, fmt.Sprintf("slot %d is moving from %s to %s", d.Slot, n.name(e.Taker()), w.Next))
	}
	if known != nil {
		slot, _ := r.Slot(*original)
		c := &control.WhichConnection{Original: tupleText(known.original), Reply: tupleText(known.reply), Slot: int(slot)}
		c.Owner = n.name(s.table.Entry[slot].Taker())
		w.Known = c
		w.Why = append(w.Why, fmt.Sprintf("it belongs to a connection that this member knows, whose original direction has slot %d of %s", slot, c.Owner))
	} else {
		w.Why = append(w.Why, "this member knows no connection that it belongs to")
	}
	switch {
	case r.LooksUp(p):
	case r.Notes(p, original):
		w.Why = append(w.Why, "gates cannot look up connections of this protocol, but have notes of the answers of those that are translated, as this one is")
	default:
		w.Why = append(w.Why, "gates cannot look up connections of this protocol: it goes by addresses, ports and the SNAT range alone, and is not corrected")
	}
	w.Passed = w.Taker != "" && w.Decider != "" && w.Taker != w.Decider
	w.Why = append(w.Why, string(d.Why))
	if w.Passed {
		w.Why = append(w.Why, fmt.Sprintf("%s passes it on to %s at layer 2", w.Decider, w.Taker))
	}
	return w
}

// ownerOf is the member that has an address of its own, as the configuration says; else nothing.
func (n *node) ownerOf(a netip.Addr) string {
	for _, m := range n.cfg.Members {
		for _, i := range m.Interfaces {
			if slices.ContainsFunc(i.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
				return m.Name
			}
		}
	}
	return ""
}

// whichRule names what a slot follows from.
func (n *node) whichRule(r *steer.Rules, t record.Tuple, part uint8) string {
	published := func(a netip.Addr) bool {
		return slices.ContainsFunc(r.Published, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	switch {
	case part != steer.Nobody:
		return "snat-range"
	case r.VIP(t.Dst):
		return "virtual"
	case published(t.Src) != published(t.Dst):
		return "published"
	}
	return "both-ends"
}

// whichKey says in words what of the packet counts.
func (n *node) whichKey(r *steer.Rules, t record.Tuple, part uint8) string {
	switch n.whichRule(r, t, part) {
	case "snat-range":
		return fmt.Sprintf("%s is virtual, and the port is in the part of the SNAT range of %s", t.Dst, n.name(part))
	case "virtual":
		return fmt.Sprintf("%s is virtual: the source alone counts", t.Dst)
	case "published":
		if slices.ContainsFunc(r.Published, func(p netip.Prefix) bool { return p.Contains(t.Src) }) {
			return fmt.Sprintf("%s is published: the destination alone counts", t.Src)
		}
		return fmt.Sprintf("%s is published: the source alone counts", t.Dst)
	}
	return "both ends count"
}

// tupleText is a direction of a connection for people.
func tupleText(t record.Tuple) string {
	name := map[uint8]string{steer.ProtoICMP: "icmp", steer.ProtoTCP: "tcp", steer.ProtoUDP: "udp", steer.ProtoICMPv6: "icmpv6",
		steer.ProtoSCTP: "sctp", steer.ProtoDCCP: "dccp", steer.ProtoUDPLite: "udplite", steer.ProtoGRE: "gre"}[t.Proto]
	if name == "" {
		name = fmt.Sprintf("protocol %d", t.Proto)
	}
	if t.Proto == steer.ProtoICMP || t.Proto == steer.ProtoICMPv6 {
		return fmt.Sprintf("%s %s > %s type %d id %d", name, t.Src, t.Dst, t.ICMPType, t.ICMPID)
	}
	if t.SrcPort == 0 && t.DstPort == 0 {
		return fmt.Sprintf("%s %s > %s", name, t.Src, t.Dst)
	}
	return fmt.Sprintf("%s %s > %s", name, netip.AddrPortFrom(t.Src, t.SrcPort), netip.AddrPortFrom(t.Dst, t.DstPort))
}
