// SPDX-License-Identifier: Apache-2.0

package members

import "github.com/holdfast-project/holdfast/members/device"

// proven reports whether p's problem is one that moves serving to this member: any but an interface's does. An interface's fault is proven
// if a third station on that segment was heard here after the loss, so that a switch which goes down as a whole moves nothing. Where none
// can be heard other things are proof: where no neighbour is known, that p lost its carrier and this member has kept its own for the
// settle time; on a private interface without configured neighbours, any fault. Of a group as many interfaces must be well here as it needs.
// What has failed on both sides is left to the weights: of what has failed at p alone, all must be proven, and something must be.
func (m *Machine) proven(p *peer) bool {
	if p.hello.Stopping || !onlyInterfaces(p.hello.Devices) {
		return true
	}
	both, well, unproven := 0, 0, 0
	count := func(here, proven bool) {
		switch {
		case !here:
			both++
		case proven:
			well++
		default:
			unproven++
		}
	}
	for k := range p.hello.Interfaces {
		theirs := &p.hello.Interfaces[k]
		if i := m.ifaceIndex(theirs.Slot); theirs.Problem && i >= 0 && m.groupOf(theirs.Slot) == nil {
			here := m.ifaces[i].problem == ""
			count(here, here && m.provenHere(p, theirs))
		}
	}
	for k := range m.groups {
		if g := &m.groups[k]; m.groupShort(p, g) {
			here := m.groupProblem(g) == ""
			count(here, here && m.groupProven(p, g) >= g.MinUp)
		}
	}
	return unproven == 0 && (well > 0 || both == 0)
}

// onlyInterfaces reports whether nothing but interfaces is in problem among the devices.
func onlyInterfaces(d []DeviceView) bool {
	for i := range d {
		if d[i].Status == device.Problem && d[i].Name != device.ProblemNotification && d[i].Name != device.InterfaceActiveCheck {
			return false
		}
	}
	return true
}

// provenHere reports whether an interface on which p has a problem is shown to be well here.
func (m *Machine) provenHere(p *peer, theirs *InterfaceView) bool {
	i := m.ifaceIndex(theirs.Slot)
	if i < 0 {
		return false
	}
	f := &m.ifaces[i]
	if f.down() || f.problem != "" {
		return false
	}
	since := p.ifs[i].faultAt
	if f.neighbourAt >= since || f.heardAt >= since {
		return true
	}
	if m.now < since+10*m.t.dead {
		m.ask(f, m.t.probe)
		m.query()
	} else { // nobody answers there: whoever does later is heard soon enough
		m.ask(f, m.t.hello)
	}
	if (!theirs.Carrier || f.Private && !f.Targets) && !m.neighbourKnown(f, since) {
		if m.now >= since+m.t.settle {
			return true
		}
		m.wakeAt(since + m.t.settle)
	}
	return false
}

// groupShort reports whether p has fewer interfaces of the group well than it needs.
func (m *Machine) groupShort(p *peer, g *group) bool {
	well := 0
	for _, slot := range g.Slots {
		if v := p.tells(slot); v == nil || !v.Problem {
			well++
		}
	}
	return well < g.MinUp
}

// groupProven counts the interfaces of the group that are well here, proven so where p has a problem.
func (m *Machine) groupProven(p *peer, g *group) int {
	well := 0
	for _, slot := range g.Slots {
		switch v := p.tells(slot); {
		case v != nil && v.Problem:
			if m.provenHere(p, v) {
				well++
			}
		case m.wellHere(slot):
			well++
		}
	}
	return well
}

// spreading returns until when a claim for p's interface fault waits because another member told of one on the same segment at about
// the same time: the segment may be going down port by port, and this member's may be next. 0 if it need not wait.
func (m *Machine) spreading(p *peer) (until int64) {
	hold := max(4*m.t.dead, m.t.hello)
	for i := range m.peers {
		q := &m.peers[i]
		if q == p {
			continue
		}
		for k := range m.ifaces {
			slot, at, other := m.ifaces[k].Slot, p.ifs[k].faultAt, q.ifs[k].faultAt
			if at == 0 || other == 0 || max(at-other, other-at) >= hold {
				continue
			}
			if v, o := p.tells(slot), q.tells(slot); v != nil && v.Problem && o != nil && o.Problem {
				until = max(until, max(at, other)+hold)
			}
		}
	}
	return until
}
