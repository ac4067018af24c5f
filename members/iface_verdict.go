// SPDX-License-Identifier: Apache-2.0

package members

// fault says whose fault a silence is.
type fault uint8

const (
	faultNone fault = iota // nobody's, the other side's, or not decided yet
	faultHere
	faultUndecided
)

// way says whether frames pass in one direction.
type way uint8

const (
	wayUnknown way = iota
	wayUp
	wayDown
)

// verdict is what was decided about an interface. It is comparable, so that the words are made only when it changes.
type verdict struct {
	fault    fault
	peer     uint8 // that is silent
	in, out  way
	meet     bool // other members hear each other there
	resolved bool // neighbours' MACs are still told, by a proxy perhaps
	targets  bool // it is about the neighbours of a private interface
}

// verdictText says the verdict in words.
func (m *Machine) verdictText(f *iface, v verdict) string {
	mac := ""
	if v.resolved {
		mac = " (ARP is answered, but may be by a proxy)"
	}
	switch {
	case v.fault == faultNone:
		return ""
	case v.targets && v.fault == faultHere:
		return f.Name + ": none of its neighbours answers any more" + mac
	case v.targets:
		return f.Name + ": none of its neighbours has answered yet" + mac
	case v.fault == faultUndecided:
		return m.name(v.peer) + " is silent on " + f.Name + waysText(v) + " and no neighbour can tell whose fault it is"
	case v.meet:
		return f.Name + " is silent" + waysText(v) + ": other members hear each other there, but not this one"
	}
	return f.Name + " is silent" + waysText(v) + ": neither " + m.name(v.peer) + " nor a neighbour is heard" + mac
}

// waysText names the directions where they differ, or contradict the silence.
func waysText(v verdict) string {
	switch {
	case v.in == wayUp && v.out == wayDown:
		return " (receive up, transmit down)"
	case v.in == wayDown && v.out == wayUp:
		return " (receive down, transmit up)"
	case v.in == wayUp && v.out == wayUp:
		return " (CCP passes both ways, but no probe is answered)"
	}
	return ""
}

// ccpIn notes that a frame of a peer's daemon came in.
func (m *Machine) ccpIn(id, slot uint8) {
	p, i := m.peer(id), m.ifaceIndex(slot)
	if p == nil || i < 0 {
		return
	}
	p.ifs[i].inAt = m.now
	m.ifaces[i].received = true
}

// heardHere are the members whose CCP comes in on interface i.
func (m *Machine) heardHere(i int) uint8 {
	var heard uint8
	if m.ifaces[i].down() {
		return 0
	}
	for k := range m.peers {
		f := &m.peers[k].ifs[i]
		if f.status == pathHeard || f.status == pathMissed || f.inAt != 0 && m.now-f.inAt < 3*m.t.hello {
			heard |= 1 << m.peers[k].id
		}
	}
	return heard
}

// telling returns what p says of a slot, if it was said so long after the question began that it is about the time since: what
// came in before is told for three HELLOs.
func (m *Machine) telling(p *peer, i int) *InterfaceView {
	f := &m.ifaces[i]
	if !p.alive || p.helloAt < f.questionAt+max(2*m.t.dead, 4*m.t.hello)-m.t.hello/2 || !m.helloFresh(p) {
		return nil
	}
	return p.tells(f.Slot)
}

// ways says which way CCP passes on an interface where peers are silent: in by what came in since the question began, out by what
// peers tell, through other interfaces, of what comes in there.
func (m *Machine) ways(i int) (in, out way) {
	f := &m.ifaces[i]
	if m.now >= f.questionAt+3*m.t.hello {
		in = wayDown
	}
	for k := range m.peers {
		p := &m.peers[k]
		if p.alive && p.ifs[i].inAt >= f.questionAt {
			in = wayUp
		}
		if v := m.telling(p, i); v != nil && v.Heard&(1<<m.self) != 0 {
			out = wayUp
		} else if v != nil && out == wayUnknown {
			out = wayDown
		}
	}
	return in, out
}

// othersMeet returns a peer that hears another peer on interface i, where this member hears nobody: then the fault is on this side.
func (m *Machine) othersMeet(i int) *peer {
	for k := range m.peers {
		p := &m.peers[k]
		if v := m.telling(p, i); v != nil && v.Heard&^(1<<m.self|1<<p.id) != 0 {
			return p
		}
	}
	return nil
}
