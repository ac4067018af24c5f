// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"testing"
)

const ms = int64(1e6)

func newSender(t testing.TB, c SenderConfig) *Sender {
	t.Helper()
	if c.Log == 0 {
		c.Log = 0xA
	}
	s, err := NewSender(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newReceiver(t testing.TB, c ReceiverConfig) *Receiver {
	t.Helper()
	r, err := NewReceiver(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// all returns what the sender sends now, with the payloads copied.
func all(now int64, s *Sender) (out []Batch) {
	for {
		_, b, ok := s.Next(now)
		if !ok {
			return out
		}
		b.Payload = append([]byte(nil), b.Payload...)
		out = append(out, b)
	}
}

func add(t testing.TB, s *Sender, now int64, key uint64, class Class, data string) {
	t.Helper()
	if err := s.Add(now, Item{Key: key, Class: class, Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
}

func TestDeltaThereAndBack(t *testing.T) {
	s, r := newSender(t, SenderConfig{}), newReceiver(t, ReceiverConfig{})
	s.SetPeer(0, 1, 77)
	bs := all(0, s)
	if len(bs) != 1 || bs[0].Sequence != 0 || bs[0].Floor != 1 {
		t.Fatalf("a peer that joins is told %+v; want its floor, 1", bs)
	}
	if got := r.Receive(0, bs[0]); !got.Started {
		t.Fatalf("the first batch of a log: %+v; want Started", got)
	}
	a, ok := r.Ack(0)
	if !ok || s.Acked(0, 1, 77, a) != Duplicate {
		t.Fatalf("the floor is not acknowledged: %+v %v", a, ok)
	}
	if w := s.Wake(); w != never {
		t.Fatalf("an idle sender wakes at %d", w)
	}
	add(t, s, 0, 5, News, "five")
	add(t, s, 0, 6, News, "six")
	if w := s.Wake(); w != ms || len(all(ms-1, s)) != 0 {
		t.Fatalf("what was added wakes at %d and does not wait for company", w)
	}
	bs = all(ms, s)
	if len(bs) != 1 || string(bs[0].Payload) != "fivesix" || bs[0].Sequence != 1 {
		t.Fatalf("sent %+v; want both in one", bs)
	}
	if got := r.Receive(ms, bs[0]); len(got.Ready) != 1 || string(got.Ready[0].Payload) != "fivesix" {
		t.Fatalf("handed out %+v; want both", got)
	}
	if s.Settled(1) {
		t.Error("settled before it is acknowledged")
	}
	if a, ok = r.Ack(r.Wake()); !ok || s.Acked(r.Wake(), 1, 77, a) != Taken || !s.Settled(1) {
		t.Errorf("not settled after %+v %v", a, ok)
	}
}
