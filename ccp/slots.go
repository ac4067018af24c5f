// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"encoding/binary"
	"fmt"
)

// SlotCount is how many slots the traffic of a cluster that shares load is divided into. Part of the wire format.
const SlotCount = 1024

// SlotPhase is how far a table of slots has been agreed. ONLY APPEND; zero is none.
type SlotPhase uint8

// The phases.
const (
	// SlotsPrepare: slots that move are still their old taker's; whoever decides gives it what is known, and their next what is not.
	SlotsPrepare SlotPhase = 1
	// SlotsCommit: every slot is its taker's.
	SlotsCommit SlotPhase = 2
)

// String returns the phase as operators read it.
func (p SlotPhase) String() string {
	switch p {
	case 0:
		return "none"
	case SlotsPrepare:
		return "prepare"
	case SlotsCommit:
		return "commit"
	}
	return fmt.Sprintf("phase-%d", uint8(p))
}

// SlotVersion orders tables of slots: by Term, then by Number, then by Phase. The zero value is older than every table.
type SlotVersion struct {
	// Term is that of the leader that made the table.
	Term uint32
	// Number counts the tables of a term.
	Number uint32
	Phase  SlotPhase
}

// Slots is the body of a TypeSlots: who takes which part of the traffic.
type Slots struct {
	SlotVersion
	// Share is for each member the term under which it may hold its share of the traffic, 0 for a member that may not.
	Share [MaxMembers]uint32
	// Key is the secret of the hash that sorts packets into slots: it lives as long as the cluster does, whatever becomes of cluster keys,
	// so that a rotation moves nothing. Never all zero.
	Key [16]byte
	// Entry is for each slot: its taker in bits 0-2, the one that is to take it next in bits 3-5, 64 if it moves from one to the other,
	// 128 if nobody takes it.
	Entry [SlotCount]byte
}

// ShareView is what a HELLO says of the sender's share of the traffic; zero if it has none and wants none.
type ShareView struct {
	// Table is the newest table that the sender goes by, and Leader the member that made it, Nobody if that is not known.
	Table  SlotVersion
	Leader uint8
	// Term is that of the sender's share, 0 without one.
	Term uint32
	// Open: the gate takes the sender's share. Flushed: every member has what the sender knows of the connections that it loses by
	// Table. Leaving: it wants to be without slots, in order. Dropped: it has given its share up by itself and cannot take any.
	// Fit: it could carry a share, and has the connections of those who do.
	Open, Flushed, Leaving, Dropped, Fit bool
	// Follows is the member whose tables the sender takes, itself if it makes them, Nobody if it knows of none.
	Follows uint8
	// Serial numbers the newest order of weights that the sender knows of, 0 for none, and By is the member that it was given to: the higher
	// pair is the newer one. Ordered: Weight holds instead of the configuration's.
	Serial  uint32
	By      uint8
	Ordered bool
	Weight  [MaxMembers]uint16
	// Rules is a fingerprint of those settings by which packets are sorted and passed on, 0 if the sender does not say.
	Rules uint64
}

// TrafficView is what a HELLO says of the traffic that the sender's gate has seen since it was loaded, in packets, but for Bytes.
type TrafficView struct {
	// Taken are those that it took, of its own slots or passed to it; Bytes are theirs.
	Taken, Bytes uint64
	// Passed were given to another member by a pivot, Corrected by a member that was not the owner of the connection.
	Passed, Corrected uint64
	// PassedIn came from another member, Duplicates of them were dropped because they had been taken here already.
	PassedIn, Duplicates uint64
	// Unknown were dropped because no member knew their connection, Foreign were other members'.
	Unknown, Foreign uint64
}

// The TLVs of a SLOTS body. ONLY APPEND; zero ends the list.
const tlvTable = 1

// Lengths of the values of this version. Values may grow at their end.
const (
	slotVersionLen = 4 + 4 + 1
	tableLen       = slotVersionLen + MaxMembers*4 + 16 + SlotCount
	shareLen       = slotVersionLen + 1 + 4 + 1 + 1 + 4 + 1 + MaxMembers*2
	trafficLen     = 8 * 8

	flagOpen    = 1
	flagFlushed = 2
	flagLeaving = 4
	flagDropped = 8
	flagOrdered = 16
	flagFit     = 32
)

// Append appends the body of the SLOTS to b, which holds the echo list by then. It allocates nothing if b has room.
func (s *Slots) Append(b []byte) []byte {
	b, at := beginTLV(b, tlvTable)
	b = s.SlotVersion.append(b)
	for _, term := range s.Share {
		b = binary.BigEndian.AppendUint32(b, term)
	}
	b = append(b, s.Key[:]...)
	return endTLV(append(b, s.Entry[:]...), at)
}

// ParseSlots reads the body of a TypeSlots (Opened.Body). TLVs that it does not know are skipped. A body without a table, or with one
// that nobody can have made, is an error that wraps ErrMalformed; the Slots is zero then. What the entries say is for package
// dataplane/steer to judge.
func ParseSlots(body []byte) (Slots, error) {
	var s Slots
	for {
		typ, value, rest, err := nextTLV(body)
		switch {
		case err != nil:
			return Slots{}, fmt.Errorf("slots: %w", err)
		case typ == 0 && s.Phase == 0:
			return Slots{}, fmt.Errorf("slots: %w: no table", ErrMalformed)
		case typ == 0:
			return s, nil
		case typ == tlvTable && len(value) < tableLen:
			return Slots{}, fmt.Errorf("slots: %w: table of %d bytes, not %d", ErrMalformed, len(value), tableLen)
		case typ == tlvTable:
			r := reader(value)
			s.SlotVersion = r.slotVersion()
			for i := range s.Share {
				s.Share[i] = r.u32()
			}
			copy(s.Key[:], r.take(len(s.Key)))
			copy(s.Entry[:], r)
			if s.Term == 0 || s.Key == ([16]byte{}) || s.Phase < SlotsPrepare || s.Phase > SlotsCommit {
				return Slots{}, fmt.Errorf("slots: %w: table of term %d, %v, or without a key", ErrMalformed, s.Term, s.Phase)
			}
		}
		body = rest
	}
}

func (v SlotVersion) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, v.Term)
	b = binary.BigEndian.AppendUint32(b, v.Number)
	return append(b, byte(v.Phase))
}

func (r *reader) slotVersion() SlotVersion {
	return SlotVersion{Term: r.u32(), Number: r.u32(), Phase: SlotPhase(r.u8())}
}

// append appends the value of a HELLO's TLV, and so does that of TrafficView.
func (v *ShareView) append(b []byte) []byte {
	b = append(v.Table.append(b), v.Leader)
	b = binary.BigEndian.AppendUint32(b, v.Term)
	b = append(b, flag(v.Open, flagOpen)|flag(v.Flushed, flagFlushed)|flag(v.Leaving, flagLeaving)|flag(v.Dropped, flagDropped)|
		flag(v.Ordered, flagOrdered)|flag(v.Fit, flagFit), v.Follows)
	b = binary.BigEndian.AppendUint32(b, v.Serial)
	b = append(b, v.By)
	for _, w := range v.Weight {
		b = binary.BigEndian.AppendUint16(b, w)
	}
	return binary.BigEndian.AppendUint64(b, v.Rules)
}

func parseShareView(r reader) ShareView {
	v := ShareView{Table: r.slotVersion(), Leader: r.u8(), Term: r.u32()}
	f := r.u8()
	v.Open, v.Flushed, v.Leaving, v.Dropped = f&flagOpen != 0, f&flagFlushed != 0, f&flagLeaving != 0, f&flagDropped != 0
	v.Ordered, v.Fit = f&flagOrdered != 0, f&flagFit != 0
	v.Follows, v.Serial, v.By = r.u8(), r.u32(), r.u8()
	for i := range v.Weight {
		v.Weight[i] = r.u16()
	}
	if len(r) >= 8 {
		v.Rules = r.u64()
	}
	return v
}

func (v *TrafficView) append(b []byte) []byte {
	for _, n := range [...]uint64{v.Taken, v.Bytes, v.Passed, v.Corrected, v.PassedIn, v.Duplicates, v.Unknown, v.Foreign} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

func parseTrafficView(r reader) TrafficView {
	return TrafficView{Taken: r.u64(), Bytes: r.u64(), Passed: r.u64(), Corrected: r.u64(), PassedIn: r.u64(), Duplicates: r.u64(),
		Unknown: r.u64(), Foreign: r.u64()}
}
