// SPDX-License-Identifier: Apache-2.0

package members

// echoMemory is for how many intervals of regular questions an echo reply is remembered.
const echoMemory = 10

// neighbourAnswer takes the answer of a third station in. An echo reply always counts: it comes from the host itself. A mere
// ARP answer (or neighbour advertisement) may be given in a host's place by something that is nearer: a proxy, a switch that
// suppresses ARP, a hypervisor. So it counts only on a segment where no echo request was answered lately, because the hosts
// there do not answer any. Which it is does not change while a question is open.
func (m *Machine) neighbourAnswer(e NeighbourAnswer) {
	i := m.ifaceIndex(e.Iface)
	if i < 0 || !e.Answered {
		return
	}
	asked := e.Asked
	if asked == 0 {
		asked = m.now - m.t.probe
	}
	f := &m.ifaces[i]
	f.received = true
	switch {
	case e.Echo:
		f.echoAt, f.byARP = max(f.echoAt, asked), false
	case f.echoAt == 0:
		f.byARP = true
	case f.questionAt == 0 && f.problem == "" && !m.isolated:
		f.byARP = asked-f.echoAt >= echoMemory*m.t.neighbours
	}
	if !e.Echo && !f.byARP {
		f.resolvedAt = max(f.resolvedAt, asked)
		return
	}
	f.neighbourAt, f.unansweredAt = max(f.neighbourAt, asked), 0
}

// neighbourKnown reports whether a neighbour answered not long before the time at.
func (m *Machine) neighbourKnown(f *iface, at int64) bool {
	return f.neighbourAt != 0 && f.neighbourAt >= at-3*m.t.neighbours
}

// ask asks the neighbours of an interface, once every interval.
func (m *Machine) ask(f *iface, every int64) {
	if f.askedAt == 0 || m.now-f.askedAt >= every {
		f.askedAt = m.now
		if f.unansweredAt == 0 {
			f.unansweredAt = m.now
		}
		m.do(AskNeighbours{Iface: f.Slot})
	}
	m.wakeAt(f.askedAt + every)
}

// askRegularly keeps it known which neighbours there are, so that their silence says something later. One that has just
// fallen silent is asked more often.
func (m *Machine) askRegularly(f *iface) {
	if !f.asks() || f.down() || !m.initDone {
		return
	}
	every := m.t.neighbours
	if f.unansweredAt != 0 && m.neighbourKnown(f, m.now) && m.now-f.unansweredAt >= 2*m.t.dead {
		every = m.t.hello
	} else if f.unansweredAt != 0 && m.neighbourKnown(f, m.now) {
		m.wakeAt(f.unansweredAt + 2*m.t.dead)
	}
	m.ask(f, every)
}
