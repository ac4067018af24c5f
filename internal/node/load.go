// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/defines"
	"github.com/holdfast-project/holdfast/internal/statesync"
	"github.com/holdfast-project/holdfast/members"
)

// errNotShared answers what is about load sharing in a cluster of another mode.
var errNotShared = control.Refused("this cluster does not share the load", "it takes mode: load-sharing in cluster.yaml")

// Load implements control.Backend.
func (b *backend) Load(ctx context.Context) (control.Load, error) {
	return ask(ctx, b.n, func(now int64) (control.Load, error) {
		if b.n.cfg.LoadSharing == nil {
			return control.Load{}, errNotShared
		}
		v := b.n.machine.View(now)
		return b.n.loadOf(now, &v), nil
	})
}

// loadOf is how the load is shared.
func (n *node) loadOf(now int64, v *members.View) control.Load {
	l, s := n.cfg.LoadSharing, &n.share
	load := control.Load{
		Member: n.local.Self.Name, Method: string(l.Method), Key: string(l.Key), Weights: n.weightsFrom(), Adaptive: l.Adaptive,
		BlockNew: l.BlockNew, Blocking: s.block, SNATPorts: l.SNATPorts.String(), Warnings: n.loadWarnings(v),
		Defines: defines.Path(n.cfg.Name, n.local.Self.Name),
	}
	if v.Active != members.Nobody {
		load.Leader = n.name(v.Active)
	}
	for _, p := range l.Published {
		if p.IsSingleIP() {
			load.Published = append(load.Published, p.Addr().String())
		} else {
			load.Published = append(load.Published, p.String())
		}
	}
	if s.untranslated.Four {
		load.Untranslated = append(load.Untranslated, "IPv4")
	}
	if s.untranslated.Six {
		load.Untranslated = append(load.Untranslated, "IPv6")
	}
	if l.MulticastMAC != nil {
		load.MulticastMAC = macText(*l.MulticastMAC)
	}
	if g := l.Group(); g.IsValid() {
		load.Group = g.String()
	}
	n.loadMembers(now, v, &load)
	load.Table = n.loadTable(now, &load)
	return load
}

// loadTable is the table in force.
func (n *node) loadTable(now int64, load *control.Load) control.LoadTable {
	s := &n.share
	t := control.LoadTable{Term: s.table.Term, Number: s.table.Number}
	if s.table.Phase == steer.PhaseNone {
		return t
	}
	t.Phase, t.AgeMs = s.table.Phase.String(), ms(time.Duration(now-s.tableAt))
	for _, e := range s.table.Entry {
		switch {
		case e.Nobody():
			t.Nobody++
		case e.Moving():
			t.Moving++
		}
	}
	t.Settled = t.Moving == 0 && t.Nobody == 0
	for _, m := range load.Members {
		t.Settled = t.Settled && (m.Slots == 0 || m.Confirmed && m.Open)
	}
	return t
}

// loadMembers are the members' shares.
func (n *node) loadMembers(now int64, v *members.View, load *control.Load) {
	s := &n.share
	takes, _ := s.table.Takes()
	percent := s.meter.parts()
	leader := v.Active
	if leader == members.Nobody {
		leader = n.local.Self.ID
	}
	inForce := n.configuredWeights(leader) // by default they depend on who leads
	if st := s.agreement.Status(); st.Weights.Set {
		inForce = st.Weights.Weight
	}
	for _, m := range n.cfg.Members {
		r := s.meter.rate(m.ID)
		one := control.LoadMember{
			ID: m.ID, Name: m.Name, Local: m.ID == n.local.Self.ID, State: n.shownState(v, m.ID), Leader: m.ID == v.Active,
			Weight: n.adapted(inForce[m.ID], m.ID), Configured: n.cfg.LoadSharing.Weight(m.ID, leader, len(n.cfg.Members)),
			Slots: takes[m.ID], SharePercent: 100 * float64(takes[m.ID]) / steer.Slots, MeasuredPercent: percent[m.ID],
			PacketRate: r.packets, ByteRate: r.bytes,
		}
		if window := ms(time.Duration(r.window)); window > load.WindowMs {
			load.WindowMs = window
		}
		view, version := n.shareView(), s.table.Version
		traffic := s.traffic
		if one.Local {
			one.LoadPercent, one.Open = float64(n.cpu.permille)/10, n.words.ShareOpen(now)
		} else if t := n.wire.told[m.ID]; t != nil {
			view, traffic, one.LoadPercent = t.Share, t.Traffic, float64(t.Load.CPUPermille)/10
			one.Open = view.Open && v.Members[m.ID].State != members.StateLost
		} else {
			view, traffic = ccp.ShareView{}, ccp.TrafficView{}
		}
		one.Confirmed = versionFromWire(view.Table) == version && version.Phase != steer.PhaseNone
		one.Leaving, one.Term = view.Leaving, view.Term
		one.Packets, one.Bytes, one.Passed, one.Corrected = traffic.Taken, traffic.Bytes, traffic.Passed, traffic.Corrected
		one.PassedIn, one.Duplicates, one.Unknown, one.Foreign = traffic.PassedIn, traffic.Duplicates, traffic.Unknown, traffic.Foreign
		if one.Slots == 0 {
			one.Reason = n.whyNoSlots(v, m.ID, &view)
		}
		load.Members = append(load.Members, one)
	}
}

// whyNoSlots says why a member takes none.
func (n *node) whyNoSlots(v *members.View, id uint8, view *ccp.ShareView) string {
	state := v.Members[id].State
	fit := state == members.StateStandby || state == members.StateActive
	switch {
	case view.Leaving:
		return "it leaves"
	case view.Dropped:
		return "its interfaces do not carry"
	case !fit:
		return "it is " + state.String() + ": " + v.Members[id].Reason
	case n.share.agreement.Weights()[id] == 0:
		return "its weight is 0"
	case id != n.local.Self.ID && n.wire.told[id] != nil && !n.wire.told[id].Sync.Current, id == n.local.Self.ID && !n.sync.state.Current:
		return "it waits for the connections of the others"
	case v.Active == members.Nobody:
		return "nobody leads"
	case v.FrozenUntil != 0:
		return "planned changes are frozen"
	}
	return "it is about to be given some"
}

// weightsFrom says where the weights come from.
func (n *node) weightsFrom() string {
	switch l := n.cfg.LoadSharing; {
	case n.share.agreement.Status().Weights.Set:
		return "order"
	case l.Adaptive:
		return "adaptive"
	case len(l.Weights) > 0:
		return "configuration"
	}
	return "default"
}

// loadWarnings are what keeps load from being shared as it should be.
func (n *node) loadWarnings(v *members.View) []string {
	var all []string
	if s := n.sync.state; s.Status != statesync.StatusOK && len(n.local.Peers) > 0 {
		all = append(all, fmt.Sprintf("state synchronisation is %s: %s", s.Status, s.Reason))
	}
	if n.share.rules.Blind {
		all = append(all, "the gate cannot look connections up: packets go by addresses and ports alone. "+
			"If the kernel tracks connections and is 5.18 or newer, with the types (BTF) of nf_conntrack, a restart of the daemon mends it")
	}
	if s := &n.sync; s.unnoted != "" {
		all = append(all, fmt.Sprintf("answers of translated connections that are neither TCP nor UDP may come to a member that does not know them: %s, with %d noted",
			s.unnoted, s.noted))
	}
	if v.Active == members.Nobody {
		all = append(all, "no member is known to lead: slots stay where they are")
	}
	return all
}

// LoadWeight implements control.Backend.
func (b *backend) LoadWeight(ctx context.Context, r control.LoadWeightRequest) (control.Result, error) {
	return ask(ctx, b.n, func(now int64) (control.Result, error) {
		n := b.n
		if n.cfg.LoadSharing == nil {
			return control.Result{}, errNotShared
		}
		if r.Reset {
			n.resetWeights(now)
			return control.Result{Done: "the weights of cluster.yaml hold again"}, nil
		}
		id, err := n.target(r.Member)
		if err != nil {
			return control.Result{}, err
		}
		if w := n.share.agreement.Weights(); onlyOne(w, id) && r.Weight == 0 {
			return control.Result{}, control.Refused("no other member has a weight: nobody would take any traffic", "give another one some first")
		}
		n.shareStep(now, steer.SetWeight{Member: id, Weight: uint16(r.Weight)}) //nolint:gosec // validated: 0 to 100
		result := control.Result{Done: fmt.Sprintf("%s has weight %d until the next reload of any member", r.Member, r.Weight)}
		if len(n.freezes(now)) > 0 {
			result.Details = append(result.Details, "planned changes are frozen: slots move when that ends")
		}
		return result, nil
	})
}

// onlyOne reports whether no other member than id has any weight.
func onlyOne(w [steer.Members]uint16, id uint8) bool {
	for i := range w {
		if uint8(i) != id && w[i] != 0 {
			return false
		}
	}
	return true
}

// shownState is a member's state as operators see it: in load sharing those are ACTIVE that carry a share, and a pivot is marked.
func (n *node) shownState(v *members.View, id uint8) string {
	state := v.Members[id].State
	l := n.cfg.LoadSharing
	if l == nil {
		return state.String()
	}
	switch pivot := l.Method == config.MethodUnicast && id == v.Active; {
	case state == members.StateActive && pivot:
		return "ACTIVE(P)"
	case state == members.StateActiveAttention && pivot:
		return "ACTIVE(!P)"
	case state == members.StateStandby && n.carries(id):
		return members.StateActive.String()
	}
	return state.String()
}

// shownWhy is the machine's sentence of a member without who it is about and in which state: the answer has these beside it. The machine knows
// nothing of shares, so in load sharing it is said here what a member takes.
func (n *node) shownWhy(v *members.View, id uint8, sentence string) string {
	why := plainWhy(sentence, n.name(id), v.Members[id].State)
	if n.cfg.LoadSharing == nil || !n.carries(id) {
		return why
	}
	takes, _ := n.share.table.Takes()
	part := fmt.Sprintf("takes %d of %d slots", takes[id], steer.Slots)
	switch {
	case id == v.Active:
		return "leads, and " + part + ": " + why
	case v.Members[id].State != members.StateStandby:
		return part + ": " + why
	case v.Active == members.Nobody:
		return part + "; nobody is known to lead"
	}
	return part + "; " + n.name(v.Active) + " leads"
}

// carries reports whether a member takes slots and its gate lets them in.
func (n *node) carries(id uint8) bool {
	takes, _ := n.share.table.Takes()
	if takes[id] == 0 {
		return false
	}
	if id == n.local.Self.ID {
		return n.share.told.Open
	}
	t := n.wire.told[id]
	return t != nil && t.Share.Open
}

// shareOf adds to a member's state what its share is.
func (n *node) shareOf(s *control.MemberState, v *members.View) {
	l := n.cfg.LoadSharing
	if l == nil {
		return
	}
	takes, _ := n.share.table.Takes()
	percent := 100 * float64(takes[s.ID]) / steer.Slots
	s.SharePercent, s.Pivot = &percent, l.Method == config.MethodUnicast && s.ID == v.Active
	s.Forward = s.Forward || n.carries(s.ID)
}
