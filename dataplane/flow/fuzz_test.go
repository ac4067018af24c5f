// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"encoding/binary"
	"testing"
)

// feed reads small and absurd numbers from fuzzed bytes.
type feed []byte

func (f *feed) byte() byte {
	if len(*f) == 0 {
		return 0
	}
	b := (*f)[0]
	*f = (*f)[1:]
	return b
}

// number is small, near a base, or anything.
func (f *feed) number(base uint64) uint64 {
	switch k := f.byte(); {
	case k < 100:
		return uint64(k % 20)
	case k < 230:
		return base + uint64(k) - 165
	default:
		var b [8]byte
		copy(b[:], *f)
		*f = (*f)[min(8, len(*f)):]
		return binary.BigEndian.Uint64(b[:])
	}
}

func (f *feed) ranges(base uint64) (rs []Range) {
	for range f.byte() % 4 {
		rs = append(rs, Range{f.number(base), f.number(base)})
	}
	return rs
}

// FuzzReceivers: whatever batches come, what is handed out ascends, nothing twice, nothing is held beyond its bounds, and
// what is said in answer is well-formed.
func FuzzReceivers(f *testing.F) {
	f.Add([]byte("\x00\x01\x01\x05abc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := feed(data)
		r := newReceiver(t, ReceiverConfig{Hold: 16})
		b, _ := NewBulkReceiver(ReceiverConfig{Hold: 16, Credit: 64})
		b.Open(0, 1)
		now, log, last, total, owed := int64(0), uint64(0), uint64(0), 0, 0
		for len(in) > 0 {
			now += int64(in.byte()) * 100_000
			batch := Batch{Lane: Lane(in.byte() % 3), Log: uint64(in.byte() % 4), Sequence: in.number(r.next), Floor: in.number(r.next),
				Payload: make([]byte, in.byte()%40)}
			if batch.Lane == LaneBulk {
				got := b.Receive(now, batch)
				for _, g := range got.Ready {
					total += len(g.Payload)
					owed += len(g.Payload)
				}
				if b.bytes+owed > 64 {
					t.Fatalf("%d bytes are held, %d not consumed; the credit is 64", b.bytes, owed)
				}
				if in.byte()%2 == 0 {
					b.Consumed(now, owed)
					owed = 0
				}
			} else {
				got := r.Receive(now, batch)
				if got.Started {
					log, last = 0, 0
				}
				for _, g := range got.Ready {
					if g.Log != log {
						log, last = g.Log, 0
					}
					if g.Sequence <= last {
						t.Fatalf("%d is handed out after %d", g.Sequence, last)
					}
					last = g.Sequence
				}
				if in.byte() == 7 {
					r.Drain(now)
					last = max(last, r.Position())
				}
			}
			for _, x := range []*inbox{&r.inbox, &b.inbox} {
				if x.count > 16 || x.end < x.next || x.end-x.next > 16 || (x.count == 0) != (x.end == x.next) {
					t.Fatalf("%d held from %d to %d", x.count, x.next, x.end)
				}
				if a, ok := x.ack(now); ok {
					wellOrdered(t, a.Next, a.Ranges)
				}
				if g, ok := x.gap(now); ok {
					wellOrdered(t, x.next-1, g.Missing)
				}
				if x.count > 0 && x.askAt == never {
					t.Fatalf("%d are held, and nobody asks for what is missing", x.count)
				}
			}
		}
	})
}

func wellOrdered(t *testing.T, above uint64, rs []Range) {
	t.Helper()
	if len(rs) > MaxRanges {
		t.Fatalf("%d ranges", len(rs))
	}
	for _, r := range rs {
		if r.First > r.Last || r.First <= above {
			t.Fatalf("%v above %d", rs, above)
		}
		above = r.Last + 1
	}
}

// FuzzSenders: whatever answers come, the senders keep within their bounds, and peers that answer honestly are settled in the end.
func FuzzSenders(f *testing.F) {
	f.Add([]byte("\x00\x01\x01\x05abcdefghijklm"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := feed(data)
		s := newSender(t, SenderConfig{Log: 1, Payload: 30, Window: 8, Bytes: 5000, Deadline: 100 * ms, Lag: 300 * ms})
		b, _ := NewBulkSender(0, BulkConfig{Session: 1, Payload: 30, Window: 8})
		now := int64(0)
		for len(in) > 0 {
			now += int64(in.byte()) * 300_000
			id, inc := in.byte()%3, uint64(in.byte()%2)
			switch k := in.byte() % 12; k {
			case 0, 1, 2, 3:
				_ = s.Add(now, Item{uint64(in.byte() % 16), Class(in.byte() % 7), make([]byte, in.byte()%35)})
				_, _ = b.Offer(now, make([]byte, in.byte()%35))
			case 4:
				s.SetPeer(now, id, inc)
			case 5:
				s.RemovePeer(id)
			case 6, 7:
				a := Ack{Lane(in.byte() % 3), uint64(in.byte() % 3), in.number(s.log.next), in.ranges(s.log.next)}
				s.Acked(now, id, inc, a)
				b.Acked(now, a)
			case 8:
				g := Gap{Lane(in.byte() % 3), uint64(in.byte() % 3), in.ranges(s.log.next)}
				s.Requested(now, id, inc, g)
				b.Requested(now, g)
			case 9:
				b.Credit(now, Credit{uint64(in.byte() % 3), in.number(b.offered)})
			case 10:
				s.KeepDeletes(in.byte()%2 == 0)
				s.Position(now)
			case 11:
				s.Flush()
				b.Flush()
			}
			if s.held() > s.cfg.Bytes || b.offered > b.limit {
				t.Fatalf("%d bytes are held, %d offered with a credit of %d", s.held(), b.offered, b.limit)
			}
			if in.byte()%3 == 0 {
				drain(t, s, b, now)
			}
		}
		honest(t, s, now)
	})
}

func drain(t *testing.T, s *Sender, b *BulkSender, now int64) {
	for range 1000 {
		if _, out, ok := s.Next(now); !ok {
			for range 1000 {
				if _, ok := b.Next(now); !ok {
					return
				}
			}
			break
		} else if out.Floor == 0 || (out.Sequence != 0 && (out.Floor > out.Sequence || len(out.Payload) == 0)) {
			t.Fatalf("sends %+v", out)
		}
	}
	t.Fatal("a sender does not come to an end")
}

// honest has every peer acknowledge everything, for a while.
func honest(t *testing.T, s *Sender, now int64) {
	for end := now + 60_000*ms; now < end; now = max(now+1, min(s.Wake(), end)) {
		for range 1000 {
			id, b, ok := s.Next(now)
			if !ok {
				break
			}
			p := s.peer(id)
			s.Acked(now, id, p.incarnation, Ack{LaneDelta, s.Log(), max(b.Floor, b.Sequence+1), nil})
		}
		if s.Wake() == never {
			break
		}
	}
	for _, p := range s.peers {
		if !s.Settled(p.id) {
			t.Fatalf("an honest peer is not settled: %+v", s.Peers(now, nil))
		}
	}
}
