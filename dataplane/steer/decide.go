// SPDX-License-Identifier: Apache-2.0

package steer

// Why is the reason of a decision, as operators read it.
type Why string

// The reasons.
const (
	WhySlot       Why = "by its slot"
	WhyMoving     Why = "unknown, and its slot is moving: where it moves to"
	WhyRange      Why = "by the member's part of the SNAT range"
	WhyConnection Why = "by the slot of its connection's original direction"
	WhyDrained    Why = "its slot, or its connection's, is moving, and its taker has told all: where it moves to"
	WhyBegun      Why = "its connection has begun at the decider, which its slot is moving to"
	WhyFragment   Why = "a later fragment: goes where its first went; before that, to everybody"
	WhyUnknown    Why = "unknown, and an answer to nothing that the cluster sent: dropped"
	WhyBlocked    Why = "unknown, and new connections are blocked"
	WhyNobody     Why = "nobody takes its slot"
)

// Decision is what becomes of a packet.
type Decision struct {
	// Slot is the packet's.
	Slot uint16
	// Decider is who decides: in multicast the taker of the slot, or the member of that part of the range; in unicast the pivot. Nobody if
	// nobody does, Everybody for a later fragment in multicast.
	Decider uint8
	// Taker is who takes it in the end, Nobody if it is dropped, Everybody for a later fragment of which nothing is known.
	Taker uint8
	// Corrected reports whether the taker is another than the packet's slot or range says.
	Corrected bool
	Why       Why
}

// Decide says what becomes of a packet under a table. known is the original direction of its connection, nil if there is none (of an ICMP
// error: of the packet inside). It takes what the decider knows for what all know.
func (r *Rules) Decide(t *Table, p Packet, known *Packet) Decision {
	later := p.Fragment == LaterFragment
	p = p.steered()
	slot, part := r.slot(&p), r.byRange(&p)
	if part != Nobody && !t.takes(part) {
		part = Nobody
	}
	d := Decision{Slot: slot, Decider: part, Taker: Nobody, Why: WhyNobody}
	e := t.entry(slot)
	if part == Nobody {
		d.Decider = e.Taker()
	}
	byHash := d.Decider
	switch r.Mode {
	case ModeHA:
		d.Decider, d.Taker, d.Why = t.Leader, t.Leader, WhySlot
		return d
	case ModeUnicast:
		d.Decider = t.Leader
	}
	if later {
		d.Taker, d.Why = Everybody, WhyFragment
		if r.Mode == ModeMulticast {
			d.Decider = Everybody
		}
		return d
	}
	if d.Decider == Nobody {
		return d
	}
	switch {
	case known != nil && (!r.blind(&p) || answersTo(&p, known)):
		// Neither the range nor a fragment: an original tuple has its slot, and that is all.
		o := t.entry(r.slot(known))
		d.Taker, d.Why = o.Taker(), WhyConnection
		if r.drains(o, d.Decider) {
			d.Taker, d.Why = o.Next(), WhyDrained
		} else if known.Here && o.Moving() && o.Next() == d.Decider {
			d.Taker, d.Why = o.Next(), WhyBegun
		}
		if d.Taker == Nobody {
			d.Why = WhyNobody
		}
		d.Corrected = d.Taker != byHash
		return d
	case part != Nobody:
		d.Taker, d.Why = part, WhyRange
	case e.Moving() && !r.blind(&p):
		d.Taker, d.Why = e.Next(), WhyMoving
	case !e.Nobody():
		d.Taker, d.Why = e.Taker(), WhySlot
		if r.drains(e, d.Decider) {
			d.Taker, d.Why, d.Corrected = e.Next(), WhyDrained, true
		}
	}
	if r.blind(&p) {
		return d
	}
	if r.BlockNew {
		d.Taker, d.Why = Nobody, WhyBlocked
	} else if part != Nobody || r.answers(&p) {
		d.Taker, d.Why = Nobody, WhyUnknown
	}
	return d
}

// drains reports whether the decider passes on what it would take of a slot, because the others know all that it knows.
func (r *Rules) drains(e Entry, decider uint8) bool {
	return r.Drained && e.Moving() && e.Taker() == decider
}

// blind reports whether it cannot be told if a packet's connection is known: the kernel's functions look up TCP and UDP only.
func (r *Rules) blind(p *Packet) bool { return r.Blind || p.Proto != ProtoTCP && p.Proto != ProtoUDP }

// answersTo reports whether a packet is an answer of a translated connection of a protocol that the kernel's functions do not know: of those
// deciders have notes.
func answersTo(p, known *Packet) bool {
	if p.Proto == ProtoTCP || p.Proto == ProtoUDP || p.Proto != known.Proto {
		return false
	}
	if (p.Proto == ProtoICMP || p.Proto == ProtoICMPv6) && !p.isEchoReply() {
		return false
	}
	back := known.Reversed()
	return !p.sameEnds(known) && !p.sameEnds(&back)
}

// LooksUp reports whether deciders look a packet's connection up, and so correct where it goes: else addresses, ports and the range say all.
func (r *Rules) LooksUp(p Packet) bool {
	p = p.steered()
	return !r.blind(&p)
}

// Notes reports whether deciders have a note of a packet, by which it goes to the taker of the slot of the direction known: it is an answer of
// a translated connection of a protocol that they do not look up.
func (r *Rules) Notes(p Packet, known *Packet) bool {
	p = p.steered()
	return known != nil && answersTo(&p, known)
}

// answers reports whether a packet would make the stack of whoever takes it, and does not know its connection, speak up for another member.
func (r *Rules) answers(p *Packet) bool {
	return p.Proto == ProtoTCP && p.Fragment != LaterFragment && p.TCPFlags&(TCPAck|TCPRst) != 0 && r.isVIP(p.Dst)
}

// entry returns a slot's, nobody's if the table knows nothing.
func (t *Table) entry(slot uint16) Entry {
	if t.Phase == PhaseNone {
		return entryNobody
	}
	return t.Entry[slot%Slots]
}

// takes reports whether a member takes any slot.
func (t *Table) takes(member uint8) bool {
	if t.Phase == PhaseNone {
		return false
	}
	for _, e := range t.Entry {
		if e.Taker() == member {
			return true
		}
	}
	return false
}
