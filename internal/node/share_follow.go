// SPDX-License-Identifier: Apache-2.0

package node

import (
	"net"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/internal/statesync"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
	"github.com/holdfast-project/holdfast/members/gate"
)

// shareStep gives events to the agreement, after what has changed of this member, and carries out what it wants.
func (n *node) shareStep(now int64, events ...steer.Event) {
	s := &n.share
	if s.agreement == nil || n.machine == nil {
		return
	}
	v := n.machine.View(now)
	n.shareOwn(now, &v)
	for _, e := range events {
		n.shareDo(now, s.agreement.Step(now, e))
	}
}

// shareFollow tells the agreement what has changed of the members, as machine, HELLOs, gates and words say it.
func (n *node) shareFollow(now int64) {
	s := &n.share
	if s.agreement == nil || n.machine == nil {
		return
	}
	v := n.machine.View(now)
	n.shareOwn(now, &v)
	if frozen := v.FrozenUntil > now; frozen != s.frozen {
		s.frozen = frozen
		n.shareDo(now, s.agreement.Step(now, steer.Freeze{On: frozen}))
	}
	own := n.machine.Hello(now)
	for _, m := range n.local.Peers {
		p := n.sharePeer(&own, &v, m.ID)
		if was := s.peers[m.ID]; p == was {
			continue
		}
		s.peers[m.ID] = p
		n.shareDo(now, s.agreement.Step(now, p))
	}
	if s.wakeAt != 0 && now >= s.wakeAt {
		s.wakeAt = 0
		n.shareDo(now, s.agreement.Step(now, steer.Tick{}))
	}
	n.shareLeave(now)
	n.blockNew(now)
}

// shareOwn tells the agreement what has changed of this member. The words are read anew each time: a daemon that stood still must learn
// what became of its lease before it judges anything else.
func (n *node) shareOwn(now int64, v *members.View) {
	s := &n.share
	fence := n.words.Fence(gateway)
	o := steer.Own{Leaving: s.leaving, Fence: fence.Term, Grantee: fence.Grantee, Open: n.words.ShareOpen(now), Share: n.words.Share().Term(),
		Version: s.table.Version,
		Broken:  broken(v), Fit: n.fit(v), Lacks: !n.sync.state.Current, Renewed: n.renewed(now)}
	if n.words.Serving(gateway, now)&gate.Answer != 0 {
		o.Leads = n.words.Lease(gateway).Term()
	}
	leader := n.local.Self.ID
	if o.Leads == 0 && v.Active != members.Nobody {
		leader = v.Active
	}
	n.reweigh(now, leader, false) // by default the pivot has less to take
	if o == s.told {
		return
	}
	s.told = o
	n.shareDo(now, s.agreement.Step(now, o))
}

// renewed reports whether this daemon's pulse has renewed the share and the lease that are in force.
func (n *node) renewed(now int64) bool {
	since := func(l gate.Lease) bool { return l.Term() == 0 || now-l.Age(now) > n.share.began }
	return since(n.words.Share()) && (n.words.Serving(gateway, now)&gate.Answer == 0 || since(n.words.Lease(gateway)))
}

// fit reports whether this member could carry a share. One that lacks connections is not given any slots; one that has some keeps them while
// it mends its table, and while its configuration is another one than the others': a reload comes to one member after the other.
func (n *node) fit(v *members.View) bool {
	if n.share.table.Share[n.local.Self.ID] != 0 {
		return v.State == members.StateStandby || v.State == members.StateActive || onlyConfig(v)
	}
	return (v.State == members.StateStandby || v.State == members.StateActive) && synchronises(n.sync.state)
}

// onlyConfig reports whether a member is DOWN for nothing but its configuration.
func onlyConfig(v *members.View) bool {
	for _, d := range v.Devices {
		if d.Status != device.OK && d.Name != device.Config && d.Name != device.ProblemNotification {
			return false
		}
	}
	return v.State == members.StateDown
}

// broken reports whether this member cannot carry traffic, and knows it: an interface that it needs does not work, and nobody doubts that
// the fault is its own.
func broken(v *members.View) bool {
	if v.State != members.StateDown {
		return false
	}
	for _, d := range v.Devices {
		if d.Name == device.InterfaceActiveCheck && d.Status == device.Problem {
			return true
		}
	}
	return false
}

// sharePeer is what is known of another member, beside what this one says of itself.
func (n *node) sharePeer(own *members.Hello, v *members.View, id uint8) steer.Peer {
	s := &n.share
	p := steer.Peer{ID: id, Heard: v.Members[id].State != members.StateLost, Grantee: steer.Nobody}
	if t := n.wire.told[id]; t != nil {
		heard := n.wire.newest[id]
		p.Incarnation, p.HelloAt, p.Status = heard.incarnation, heard.at, statusFromWire(&t.Share)
		p.Fit, p.Leaving = sharesWith(t, own, s.print, s.table, id)
		p.Lacks = lacks(t, &n.sync.state, id)
	}
	if r := s.replies[id]; r.at != 0 {
		p.RepliedAt, p.Open, p.Fence, p.Grantee = r.at, r.reply.Bits&ccp.BitForward != 0, r.reply.FenceTerm, r.reply.Grantee
		p.Restarting = r.reply.Bits&ccp.BitRestarting != 0
		if r.reply.LeaseAgeMs != ccp.NoLease {
			p.Share, p.ShareAge = r.reply.Term, int64(r.reply.LeaseAgeMs)*int64(time.Millisecond)
		}
		if r.reply.Bits&ccp.BitAnswer != 0 {
			p.Leads = r.reply.Term
		}
	}
	return p
}

// lacks reports whether a member does not have all connections, by its HELLO or by what this member knows of its own records.
func lacks(t *ccp.Hello, s *statesync.State, id uint8) bool {
	return !t.Sync.Current || slices.ContainsFunc(s.Peers, func(p statesync.PeerState) bool { return p.ID == id && p.Evicted })
}

// sharesWith judges by a HELLO whether its sender is fit for a share beside this member, which goes by own, the settings print and a table,
// and whether it is to be without slots, in order. Who has a share keeps it while a reload has come to one of the two only: if the settings by
// which packets are sorted are others too, its slots move as planned.
func sharesWith(t *ccp.Hello, own *members.Hello, print uint64, table *steer.Table, id uint8) (fit, leaving bool) {
	alike, carries := t.ConfigDigest == own.Digest, table.Share[id] != 0
	sorts := t.Share.Rules == print || t.Share.Rules == 0 && alike
	fit = t.Share.Fit && t.Version == own.Version && t.Mode == wireModes[own.Mode] && t.Capabilities&capabilitySharing != 0
	leaving = t.Share.Leaving || fit && carries && !sorts
	if carries {
		return fit && sorts, leaving
	}
	// That it has all connections is said of the table that it goes by: by an older one it may lack some.
	return fit && sorts && alike && versionFromWire(t.Share.Table).Compare(table.Version) >= 0, leaving
}

// shareReplied notes what a peer's gate has answered.
func (n *node) shareReplied(peer uint8, at int64, r *ccp.Reply) {
	if s := &n.share; s.agreement != nil && r.Group == gateway && at >= s.replies[peer].at {
		s.replies[peer] = gateReply{at, *r}
	}
}

// shareMACs tells the gate where packets for the other members are sent to on an interface: where their CCP comes from or, as long as none
// has come, which is for good on an interface that is not monitored, as configured.
func (n *node) shareMACs(slot uint8) {
	if n.share.agreement == nil || int(slot) >= len(n.ports) || !n.ports[slot].Role.Gated() {
		return
	}
	var macs [gate.Members]net.HardwareAddr
	for _, m := range n.local.Peers {
		if mac, ok := n.wire.macs[[2]uint8{m.ID, slot}]; ok {
			macs[m.ID] = net.HardwareAddr(mac[:])
		} else if mac := m.Interfaces[n.ports[slot].Name].MAC; mac != nil {
			macs[m.ID] = net.HardwareAddr(mac[:])
		}
	}
	if err := n.gate.SetMemberMACs(slot, macs); err != nil {
		n.log.Error("tell the gate the members' MACs", "interface", n.ports[slot].Name, "error", err)
	}
}

// reweigh tells the agreement the configured weights while leader leads, if they are others than before; reset ends what was ordered at run time.
func (n *node) reweigh(now int64, leader uint8, reset bool) {
	s := &n.share
	if w := n.configuredWeights(leader); w != s.weights || reset {
		s.weights = w
		n.shareDo(now, s.agreement.Step(now, steer.Configured{Weight: w, Reset: reset}))
	}
}

// blockNew has the gate drop new connections while what begins could not be told to the others, if that is configured.
func (n *node) blockNew(int64) {
	s := &n.share
	block := n.cfg.LoadSharing.BlockNew && n.sync.state.Status == statesync.StatusAtRisk
	if block == s.block {
		return
	}
	s.block = block
	n.gate.SetBlockNew(block)
	if block {
		n.say(members.CodeNewBlocked, "new connections are dropped: state synchronisation is at risk: "+n.sync.state.Reason)
	} else {
		n.say(members.CodeNewAllowed, "new connections are taken again")
	}
}

// takesSlots reports whether this member takes any slot by the table in force.
func (n *node) takesSlots() bool {
	now, then := n.share.table.Takes()
	return now[n.local.Self.ID]+then[n.local.Self.ID] > 0
}

// othersFit reports whether another member could take this one's slots as planned.
func (n *node) othersFit() bool {
	for _, m := range n.local.Peers {
		if p := &n.share.peers[m.ID]; p.Heard && p.Fit && !p.Lacks && !p.Leaving {
			return true
		}
	}
	return false
}

// shareLeave goes on with what waits for this member to be without slots.
func (n *node) shareLeave(now int64) {
	s := &n.share
	if len(s.leave) == 0 || n.takesSlots() && n.othersFit() && now < s.leaveBy {
		return
	}
	then := s.leave
	s.leave, s.leaveBy = nil, 0
	for _, f := range then {
		f()
	}
}

// shareStay ends the wish to be without slots.
func (n *node) shareStay(now int64) {
	if s := &n.share; s.leaving {
		s.leaving, s.leave, s.leaveBy = false, nil, 0
		n.shareFollow(now)
	}
}

// shareWake is when the agreement has something to do at the latest, 0 for never.
func (n *node) shareWake() int64 {
	s := &n.share
	at := int64(0)
	for _, t := range []int64{s.wakeAt, s.doneBy, s.leaveBy, s.closeAt} {
		if t != 0 && (at == 0 || t < at) {
			at = t
		}
	}
	return at
}

// shareTick does what is due.
func (n *node) shareTick(now int64) {
	s := &n.share
	if s.agreement == nil {
		return
	}
	n.shareTold(now)
	if s.doneBy != 0 && now >= s.doneBy {
		n.shareApplied(true)
	}
	if s.closeAt != 0 && now >= s.closeAt {
		s.closes(now, n.shareCarries(s.table))
	}
	if s.wakeAt != 0 && now >= s.wakeAt || s.leaveBy != 0 && now >= s.leaveBy {
		n.shareFollow(now)
	}
}

// shareSample reads what the own gate has made of the traffic, once a second, and notes what the others say of theirs.
func (n *node) shareSample(now int64, counters map[bpf.Counter]uint64) {
	s := &n.share
	if s.agreement == nil {
		return
	}
	slots, err := n.gate.SlotPackets()
	if err != nil {
		n.log.Debug("read the packets of slots", "error", err)
		return
	}
	from, err := n.gate.MemberPackets()
	if err != nil {
		n.log.Debug("read the packets of members", "error", err)
		return
	}
	t := ccp.TrafficView{
		Passed: counters[bpf.SteerPassed], Corrected: counters[bpf.SteerCorrected], PassedIn: counters[bpf.SteerPassedIn],
		Duplicates: counters[bpf.SteerDuplicate], Unknown: counters[bpf.SteerUnknown], Foreign: counters[bpf.SteerForeign],
	}
	for i := range slots {
		t.Taken += slots[i].Taken
		t.Bytes += slots[i].TakenBytes
	}
	for i := range from {
		t.Taken += from[i].From
		t.Bytes += from[i].FromBytes
	}
	s.traffic = t
	s.meter.take(now, n.local.Self.ID, t)
	for _, m := range n.local.Peers {
		if h := n.wire.told[m.ID]; h != nil && s.peers[m.ID].Heard {
			s.meter.take(now, m.ID, h.Traffic)
		} else {
			s.meter.forget(m.ID)
		}
	}
	n.adapt(now)
}

// resetWeights ends what was ordered at run time.
func (n *node) resetWeights(now int64) {
	leader := n.machine.View(now).Active
	if leader == members.Nobody {
		leader = n.local.Self.ID
	}
	n.reweigh(now, leader, true)
	n.shareFollow(now)
}
