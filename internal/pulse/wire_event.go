// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// The appenders take pointers and append to a buffer with room, so that the pulse allocates nothing.

func appendHeard(b []byte, e *Heard) []byte {
	b = append(b, byte(msgHeard), e.Peer, e.Slot, bit(e.Query))
	b = appendInt(b, e.At)
	b = appendInt(b, int64(e.RTT))
	b = appendInt(b, int64(e.Incarnation))
	b = appendInt(b, int64(e.Stamp))
	return appendReply(b, &e.Reply)
}

func appendSilent(b []byte, e *Silent) []byte {
	b = append(b, byte(msgSilent), e.Peer, e.Slot, bit(e.Unsent))
	b = appendInt(b, e.At)
	return appendInt(b, e.Since)
}

func appendMissed(b []byte, e *Missed) []byte {
	b = append(b, byte(msgMissed), e.Peer, e.Slot)
	b = appendInt(b, e.At)
	return appendInt(b, e.Since)
}

func appendYielded(b []byte, e *YieldReply) []byte {
	b = append(b, byte(msgYielded), e.Peer, e.Slot, e.Group, byte(e.Kind))
	b = binary.LittleEndian.AppendUint32(b, e.Term)
	b = appendInt(b, e.At)
	b = appendInt(b, int64(e.RTT))
	b = appendInt(b, int64(e.Incarnation))
	return appendReply(b, &e.Reply)
}

func appendGate(b []byte, e *GateChanged) []byte {
	b = append(b, byte(msgGate), e.Group, byte(e.Bits), e.Grantee, byte(e.Lost))
	b = binary.LittleEndian.AppendUint32(b, e.Lease)
	b = binary.LittleEndian.AppendUint32(b, e.FenceTerm)
	b = binary.LittleEndian.AppendUint32(b, e.Leased)
	return appendInt(b, e.At)
}

func appendShare(b []byte, e *ShareChanged) []byte {
	b = append(b, byte(msgShared), bit(e.Open), bit(e.Forward), byte(e.Lost))
	b = binary.LittleEndian.AppendUint32(b, e.Term)
	b = binary.LittleEndian.AppendUint32(b, e.FenceTerm)
	b = binary.LittleEndian.AppendUint32(b, e.Leased)
	b = binary.LittleEndian.AppendUint32(b, e.Number)
	return appendInt(b, e.At)
}

func appendHealth(b []byte, e *Health) []byte {
	return appendInt(appendInt(append(b, byte(msgHealth)), e.OnTimeSince), int64(e.Late))
}

func appendNotice(b []byte, e *Notice) []byte {
	return appendText(append(b, byte(msgNotice), byte(e.Code), e.Slot), e.Text)
}

func appendStats(b []byte, e *Stats) []byte {
	b = append(b, byte(msgStats), bit(e.Realtime), bit(e.Locked), byte(len(e.Links)))
	for _, v := range [...]int64{
		e.At, int64(e.Ticks), int64(e.Skipped), int64(e.WorstLate), int64(e.MaxLate), int64(e.Renewals),
		int64(e.WorstRenewal), int64(e.Softirq), int64(e.MaxSoftirq), e.OnTimeSince, int64(e.Held), int64(e.Faults),
	} {
		b = appendInt(b, v)
	}
	b = appendHistogram(b, &e.Late)
	for _, v := range e.Dropped {
		b = appendInt(b, int64(v))
	}
	for i := range e.Links {
		l := &e.Links[i]
		b = append(b, l.Peer, l.Slot, bit(l.Silent))
		b = appendInt(appendInt(appendInt(b, int64(l.Sent)), int64(l.Unsent)), int64(l.Answered))
		b = appendInt(appendInt(b, int64(l.AnswersLastSecond)), int64(l.SlowAnswers))
		b = appendHistogram(b, &l.RTT)
	}
	return b
}

func appendHistogram(b []byte, h *Histogram) []byte {
	b = appendInt(appendInt(b, int64(h.Count)), int64(h.Sum))
	for _, v := range h.Buckets {
		b = appendInt(b, int64(v))
	}
	return b
}

func appendReply(b []byte, r *ccp.Reply) []byte {
	b = binary.LittleEndian.AppendUint64(b, r.Nonce)
	b = append(b, r.Group, byte(r.Bits), r.Grantee, byte(r.Result))
	b = binary.LittleEndian.AppendUint32(b, r.Term)
	b = binary.LittleEndian.AppendUint32(b, r.FenceTerm)
	b = binary.LittleEndian.AppendUint16(b, r.LeaseAgeMs)
	b = append(b, r.Heard[:]...)
	return binary.LittleEndian.AppendUint32(b, r.Closed)
}

// errFailed is what Start's error wraps when the child could not begin.
var errFailed = errors.New("pulse: the child cannot begin")

// decodeEvent reads one packet from the pulse. For msgReady it returns nil, nil; for msgFailed the child's reason as an error.
func decodeEvent(b []byte) (Event, error) {
	r := reader{b: b}
	var e Event
	switch msgType(r.u8()) {
	case msgReady:
	case msgFailed:
		text := r.text()
		if err := r.end(); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %s", errFailed, text)
	case msgHeard:
		e = Heard{Peer: r.u8(), Slot: r.u8(), Query: r.bool(), At: r.int(), RTT: r.duration(), Incarnation: r.u64(), Stamp: r.u64(), Reply: r.reply()}
	case msgSilent:
		e = Silent{Peer: r.u8(), Slot: r.u8(), Unsent: r.bool(), At: r.int(), Since: r.int()}
	case msgMissed:
		e = Missed{Peer: r.u8(), Slot: r.u8(), At: r.int(), Since: r.int()}
	case msgYielded:
		e = YieldReply{
			Peer: r.u8(), Slot: r.u8(), Group: r.u8(), Kind: ccp.YieldKind(r.u8()), Term: r.u32(), At: r.int(),
			RTT: r.duration(), Incarnation: r.u64(), Reply: r.reply(),
		}
	case msgGate:
		e = GateChanged{
			Group: r.u8(), Bits: ccp.Bits(r.u8()), Grantee: r.u8(), Lost: Lost(r.u8()),
			Lease: r.u32(), FenceTerm: r.u32(), Leased: r.u32(), At: r.int(),
		}
	case msgShared:
		e = ShareChanged{
			Open: r.bool(), Forward: r.bool(), Lost: Lost(r.u8()), Term: r.u32(), FenceTerm: r.u32(), Leased: r.u32(), Number: r.u32(),
			At: r.int(),
		}
	case msgHealth:
		e = Health{OnTimeSince: r.int(), Late: r.duration()}
	case msgNotice:
		e = Notice{Code: NoticeCode(r.u8()), Slot: r.u8(), Text: r.text()}
	case msgStats:
		e = r.stats()
	default:
		return nil, errMessage
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return e, nil
}

func (r *reader) duration() time.Duration { return time.Duration(r.int()) }

func (r *reader) reply() ccp.Reply {
	p := ccp.Reply{
		Nonce: r.u64(), Group: r.u8(), Bits: ccp.Bits(r.u8()), Grantee: r.u8(), Result: ccp.Result(r.u8()),
		Term: r.u32(), FenceTerm: r.u32(), LeaseAgeMs: r.u16(),
	}
	copy(p.Heard[:], r.take(len(p.Heard)))
	p.Closed = r.u32()
	return p
}

func (r *reader) stats() Stats {
	s := Stats{Realtime: r.bool(), Locked: r.bool()}
	links := int(r.u8())
	s.At, s.Ticks, s.Skipped, s.WorstLate, s.MaxLate, s.Renewals = r.int(), r.u64(), r.u64(), r.duration(), r.duration(), r.u64()
	s.WorstRenewal, s.Softirq, s.MaxSoftirq = r.duration(), r.duration(), r.duration()
	s.OnTimeSince, s.Held, s.Faults = r.int(), r.u64(), r.u64()
	s.Late = r.histogram()
	for i := range s.Dropped {
		s.Dropped[i] = r.u64()
	}
	for ; links > 0 && !r.bad; links-- {
		s.Links = append(s.Links, LinkStats{
			Peer: r.u8(), Slot: r.u8(), Silent: r.bool(), Sent: r.u64(), Unsent: r.u64(), Answered: r.u64(),
			AnswersLastSecond: r.u64(), SlowAnswers: r.u64(), RTT: r.histogram(),
		})
	}
	return s
}

func (r *reader) histogram() Histogram {
	h := Histogram{Count: r.u64(), Sum: r.duration()}
	for i := range h.Buckets {
		h.Buckets[i] = r.u64()
	}
	return h
}
