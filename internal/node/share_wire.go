// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/internal/statesync"
)

// The agreement's phases and entries are numbered as those on the wire and in the gate are; TestSlotNumbers holds them together.

// tableToWire translates a table for the other members, with the secret of its hash.
func tableToWire(t *steer.Table, key [16]byte) ccp.Slots {
	s := ccp.Slots{SlotVersion: versionToWire(t.Version), Share: t.Share, Key: key}
	for i, e := range t.Entry {
		s.Entry[i] = byte(e)
	}
	return s
}

// tableFromWire translates the table that a member has sent, which is the one that made it.
func tableFromWire(from uint8, s *ccp.Slots) *steer.Table {
	t := &steer.Table{Version: versionFromWire(s.SlotVersion), Leader: from, Share: s.Share}
	for i, e := range s.Entry {
		t.Entry[i] = steer.Entry(e)
	}
	return t
}

func versionToWire(v steer.Version) ccp.SlotVersion {
	return ccp.SlotVersion{Term: v.Term, Number: v.Number, Phase: ccp.SlotPhase(v.Phase)}
}

func versionFromWire(v ccp.SlotVersion) steer.Version {
	return steer.Version{Term: v.Term, Number: v.Number, Phase: steer.Phase(v.Phase)}
}

// tableToGate translates a table for the gate, tableOf what was found there.
func tableToGate(t *steer.Table) bpf.SlotTable {
	g := bpf.SlotTable{Term: t.Term, Number: t.Number, Phase: uint8(t.Phase), Leader: t.Leader, Share: t.Share}
	for i, e := range t.Entry {
		g.Entry[i] = uint8(e)
	}
	return g
}

func tableOf(g bpf.SlotTable) *steer.Table {
	t := &steer.Table{Version: steer.Version{Term: g.Term, Number: g.Number, Phase: steer.Phase(g.Phase)}, Leader: g.Leader, Share: g.Share}
	for i, e := range g.Entry {
		t.Entry[i] = steer.Entry(e)
	}
	return t
}

// shareView is what HELLOs say of this member's share: of the table that is in force at the gate, not of one that is on its way there.
func (n *node) shareView() ccp.ShareView {
	s := &n.share
	if s.agreement == nil {
		return ccp.ShareView{}
	}
	st := s.agreement.Status()
	if s.applied != nil || !s.inForce() {
		st.Version, st.Leader, st.Flushed = s.table.Version, s.table.Leader, false
	}
	v := viewOf(st)
	v.Leaving, v.Rules = s.leaving, s.print
	if n.machine != nil {
		view := n.machine.View(bpf.Boottime())
		v.Fit = n.fit(&view)
	}
	return v
}

// viewOf translates what the agreement says of this member, statusFromWire what another member's HELLO says of it.
func viewOf(s steer.Status) ccp.ShareView {
	return ccp.ShareView{
		Table: versionToWire(s.Version), Leader: s.Leader, Term: s.Share, Open: s.Open, Flushed: s.Flushed, Dropped: s.Dropped, Follows: s.Follows,
		Serial: s.Weights.Serial, By: s.Weights.By, Ordered: s.Weights.Set, Weight: s.Weights.Weight,
	}
}

func statusFromWire(v *ccp.ShareView) steer.Status {
	return steer.Status{
		Version: versionFromWire(v.Table), Leader: v.Leader, Flushed: v.Flushed, Open: v.Open, Share: v.Term, Dropped: v.Dropped, Follows: v.Follows,
		Weights: steer.Weights{Serial: v.Serial, By: v.By, Set: v.Ordered, Weight: v.Weight},
	}
}

// ownersOf tells the sync plane of a member who takes what.
func ownersOf(t *steer.Table, self uint8, sharing bool) statesync.Owners {
	o := statesync.Owners{Term: t.Term, Number: t.Number, Commit: t.Phase == steer.PhaseCommit, Sharing: sharing}
	for i, e := range t.Entry {
		o.Takes[i], o.Moving[i], o.Coming[i] = ccp.Nobody, e.Moving(), e.Moving() && e.Next() == self
		if t.Phase != steer.PhaseNone {
			o.Takes[i] = e.Taker()
		}
	}
	return o
}

// syncSlots says how connections sort into the buckets of the sync plane: as packets do into slots.
func syncSlots(rules steer.Rules, print uint64, g *bpf.Gate) statesync.Slots {
	return statesync.Slots{
		Rules: print,
		Notes: gateNotes{g},
		Of: func(t record.Tuple) uint16 {
			slot, _ := rules.Slot(packetOf(t))
			return slot
		},
	}
}

// fingerprint tells rules apart that sort connections in different ways.
func (n *node) fingerprint(r *steer.Rules) uint64 {
	h := sha256.New()
	fmt.Fprintln(h, r.Kind, r.Key, r.Published)
	for _, i := range n.cfg.Interfaces {
		fmt.Fprintln(h, i.Slot, i.VIPs, i.LinkLocal)
	}
	return binary.BigEndian.Uint64(h.Sum(nil)) | 1
}

// settings tells configurations apart by which packets are sorted or passed on in different ways. The secret of the hash comes with tables.
func (n *node) settings(r *steer.Rules) uint64 {
	h := sha256.New()
	fmt.Fprintln(h, r.Kind, r.Mode, r.SNATFirst, r.SNATLast, r.Members, r.Published)
	for _, i := range n.cfg.Interfaces {
		fmt.Fprintln(h, i.Slot, i.Role, i.VIPs, i.LinkLocal)
	}
	return binary.BigEndian.Uint64(h.Sum(nil)) | 1
}

// packetOf is the packet that a direction of a connection consists of.
func packetOf(t record.Tuple) steer.Packet {
	p := steer.Packet{Src: t.Src, Dst: t.Dst, Proto: t.Proto, SrcPort: t.SrcPort, DstPort: t.DstPort}
	if t.Proto == steer.ProtoICMP || t.Proto == steer.ProtoICMPv6 {
		p.ICMPType, p.SrcPort, p.DstPort = t.ICMPType, t.ICMPID, t.ICMPID
	}
	return p
}

// vipSet says which addresses are the cluster's own, as the gate has it; proxied ones are not.
func (n *node) vipSet() func(netip.Addr) bool {
	own := map[netip.Addr]bool{}
	for _, i := range n.cfg.Interfaces {
		for _, v := range i.VIPs {
			own[v.Addr] = true
		}
		if i.LinkLocal.IsValid() && i.Role.Gated() {
			own[i.LinkLocal] = true
		}
	}
	return func(a netip.Addr) bool { return own[a] }
}

// proxied are the addresses that the cluster answers for and that belong to others.
func (n *node) proxied() []netip.Prefix {
	var all []netip.Prefix
	for _, i := range n.cfg.Interfaces {
		for _, a := range i.ProxyARP {
			if p := netip.PrefixFrom(a, a.BitLen()); !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}
