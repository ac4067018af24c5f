// SPDX-License-Identifier: Apache-2.0

package flow

import "testing"

// pump carries n items of 150 bytes from a sender to a receiver and back: what both sides together do for each.
type pump struct {
	s     *Sender
	r     *Receiver
	now   int64
	key   uint64
	data  []byte
	bytes uint64
}

func newPump(t testing.TB) *pump {
	p := &pump{s: newSender(t, SenderConfig{}), r: newReceiver(t, ReceiverConfig{}), data: make([]byte, 150)}
	p.s.SetPeer(0, 1, 1)
	p.exchange()
	return p
}

func (p *pump) item(class Class) {
	p.key++
	_ = p.s.Add(p.now, Item{mix(p.key), class, p.data})
	p.now += 16_000 // 60,000 items a second
}

func (p *pump) exchange() {
	for {
		_, b, ok := p.s.Next(p.now)
		if !ok {
			break
		}
		for _, b := range p.r.Receive(p.now, b).Ready {
			p.bytes += uint64(len(b.Payload))
		}
	}
	if a, ok := p.r.Ack(p.now); ok {
		p.s.Acked(p.now, 1, 1, a)
	}
	p.r.Gap(p.now)
}

// BenchmarkItem is one item, its share of batch, acknowledgement and delivery, both sides together.
func BenchmarkItem(b *testing.B) {
	p := newPump(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.item(News)
		if i%8 == 7 {
			p.exchange()
		}
	}
	b.ReportMetric(float64(p.s.n.Batches)/float64(p.key), "batches/item")
}

// BenchmarkOverload is one item of few keys while no peer has room: it merges.
func BenchmarkOverload(b *testing.B) {
	p := newPump(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.key = uint64(i % 50_000)
		p.item([]Class{News, Change, Delete}[i/50_000%3])
	}
}

// TestNoAllocations: nothing is allocated for an item once things have found their size.
func TestNoAllocations(t *testing.T) {
	p := newPump(t)
	run := func() {
		for i := range 2000 {
			p.item(News)
			if i%8 == 7 {
				p.exchange()
			}
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n > 0 {
		t.Errorf("2000 items allocate %v times", n)
	}
	for range 1000 {
		p.now += ms
		p.exchange()
	}
	if want := p.key * 150; p.bytes != want || !p.s.Settled(1) {
		t.Errorf("%d bytes of %d arrived", p.bytes, want)
	}
}
