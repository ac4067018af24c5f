// SPDX-License-Identifier: Apache-2.0

package members

import (
	"time"

	"github.com/holdfast-project/holdfast/members/device"
)

// Hello returns the content of a HELLO as of the last Step.
func (m *Machine) Hello(now int64) Hello {
	h := Hello{
		Incarnation: m.boot.Incarnation, State: m.state, Term: m.term,
		Digest: m.cfg.Digest, Mode: m.cfg.Mode, Version: m.cfg.Version, Capabilities: m.cfg.Capabilities,
		Recovery: m.cfg.Recovery, ForcedTo: m.force.to, ForcedID: m.force.id, ForcedDone: m.force.done, Weight: m.weight(), Restarting: m.restarting, Stopping: m.stopping,
		Policy: m.policy.own,
	}
	if m.term != 0 && (m.stopping || m.relief.until != 0 && !m.relief.over) {
		h.State = StateDown
	}
	if m.force.until > now {
		h.ForcedFor = time.Duration(m.force.until - now)
	}
	if m.freeze > now {
		h.Frozen = time.Duration(m.freeze - now)
	}
	h.FlushAsk, h.Flushed = m.flushAsked(), m.flush.answered
	left, refill := m.budget()
	h.Budget = Budget{Left: uint8(min(left, 255)), Limit: uint8(min(m.cfg.FlapBudget, 255))}
	if refill > now {
		h.Budget.Damped = time.Duration(refill - now)
	}
	h.View[m.self] = MemberView{State: m.state}
	for i := range m.peers {
		p := &m.peers[i]
		state := p.state
		if p.oneWay { // others, whom its HELLOs may not reach, must not pass it over
			state = p.hello.State
		}
		h.View[p.id] = MemberView{State: state, Age: age(now, p.answered), HelloAge: age(now, p.helloAt)}
	}
	h.Devices = m.problems()
	h.Interfaces = make([]InterfaceView, 0, len(m.ifaces))
	for i := range m.ifaces {
		f := &m.ifaces[i]
		h.Interfaces = append(h.Interfaces, InterfaceView{Slot: f.Slot, Carrier: !f.down(), Problem: f.problem != "",
			Proven: f.problem != "" && f.proven, Undecided: f.undecided != "", Heard: m.heardHere(i),
			CarrierAge: age(now, f.since), NeighbourAge: age(now, f.neighbourAt)})
	}
	return h
}

// problems lists the devices that are not ok, but the one that sums them up.
func (m *Machine) problems() []DeviceView {
	var all []DeviceView
	for i := range m.devices.Len() {
		if d := m.devices.At(i); d.Status != device.OK && d.Name != device.ProblemNotification {
			all = append(all, DeviceView{Name: d.Name, Status: d.Status, Reason: d.Reason})
		}
	}
	if m.stopping {
		all = append(all, DeviceView{Name: device.Daemon, Status: device.Problem, Reason: "its daemon stops"})
	}
	return all
}

func age(now, at int64) time.Duration {
	if at == 0 {
		return 1<<63 - 1
	}
	return time.Duration(max(now-at, 0))
}

// View returns a copy of what the machine knows as of the last Step.
func (m *Machine) View(now int64) View {
	left, refill := m.budget()
	v := View{
		Self: m.self, State: m.state, Reason: m.reasonNow(), Term: m.term, Serving: m.gate.Serving, Active: m.server,
		Devices: m.devices.List(), Failovers: m.failovers, FailoversSince: m.lastReset, LastFailover: m.lastMove,
		FlapBudget: left, Damped: refill, ForcedTo: m.force.to, ForcedUntil: m.force.until, FrozenUntil: m.freeze,
		Stopped: m.stopping && m.term == 0,
		Members: make([]PeerView, 0, len(m.cfg.Names)), Interfaces: make([]LocalInterface, 0, len(m.ifaces)),
	}
	if until := m.frozenUntil(); until > now {
		v.FrozenUntil = until
	}
	for id := range m.cfg.Names {
		v.Members = append(v.Members, m.memberView(now, uint8(id)))
	}
	for i := range m.ifaces {
		v.Interfaces = append(v.Interfaces, m.interfaceView(i))
	}
	v.Groups = m.groupViews()
	if c := &m.claim; c.cause != 0 {
		v.Claim = ClaimView{Cause: c.cause, Term: c.term, Since: c.since, Held: c.held}
		for i := range m.peers {
			if p := &m.peers[i]; c.asked && !p.dead && c.granted&(1<<p.id) == 0 {
				v.Claim.Waiting = append(v.Claim.Waiting, p.id)
			}
		}
	}
	return v
}

func (m *Machine) memberView(now int64, id uint8) PeerView {
	p := m.peer(id)
	if p == nil {
		return PeerView{ID: id, Name: m.name(id), State: m.state, Reason: m.reasonNow(), Since: m.since, Term: m.term,
			Serving: m.term != 0, LastSeen: now, Problems: m.problems(), Version: m.cfg.Version}
	}
	v := PeerView{ID: id, Name: p.name, State: p.state, Reason: m.peerReason(p), Since: p.since, Term: p.reply.Term,
		Serving: p.alive && p.reply.Serving, LastSeen: p.answered, HelloAge: age(now, p.helloAt),
		Problems: append([]DeviceView(nil), p.hello.Devices...), Version: p.hello.Version}
	for i := range p.ifs {
		if s := p.ifs[i].status; s == pathSilent || s == pathUnknown || m.ifaces[i].down() {
			v.Silent = append(v.Silent, m.ifaces[i].Slot)
		}
	}
	return v
}

func (m *Machine) interfaceView(i int) LocalInterface {
	f := &m.ifaces[i]
	v := LocalInterface{Slot: f.Slot, Name: f.Name, Cluster: f.Cluster, Carrier: !f.down(), Since: f.since,
		Problem: f.problem, Undecided: f.undecided, Group: m.groupName(f.Slot), NeighbourAt: f.neighbourAt}
	for k := range m.peers {
		if s := m.peers[k].ifs[i].status; !f.down() && (s == pathHeard || s == pathMissed) {
			v.HeardFrom = append(v.HeardFrom, m.peers[k].id)
		}
	}
	return v
}
