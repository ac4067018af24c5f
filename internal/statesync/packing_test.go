// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/flow"
)

// packs says whether the next batch of news is packed, and checks that it comes out as it went in.
func (p *Plane) packs(t *testing.T) bool {
	t.Helper()
	now := boottime()
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.sender.Position(now)
	var plain []byte
	for n := range 3 {
		data := udp(n, record.OpNew).Append(nil)
		plain = append(plain, data...)
		must(t, p.sender.Add(now, flowItem(uint64(n), data)))
	}
	p.sender.Flush()
	for {
		_, b, ok := p.sender.Next(now)
		if !ok {
			t.Fatal("nothing is sent")
		}
		if b.Sequence <= before {
			continue
		}
		got, err := ccp.UnpackSync(nil, b.Payload)
		must(t, err)
		if string(got) != string(plain) {
			t.Fatalf("sent %x, want %x", got, plain)
		}
		return len(b.Payload) < len(plain)
	}
}

// TestPackingWithOlderMembers: batches are packed while all members that hear them have said that they can unpack them, and not from the
// moment on at which one is there that may not.
func TestPackingWithOlderMembers(t *testing.T) {
	p := newPure(t)
	is := func(when string, want bool) {
		t.Helper()
		if got := p.packs(t); got != want {
			t.Errorf("%s: packed: %v", when, got)
		}
	}
	do := func(f func(now int64)) {
		p.mu.Lock()
		defer p.mu.Unlock()
		f(boottime())
	}
	status := func(id int, unpacks bool) {
		do(func(now int64) { p.takeStatus(now, &p.peers[id], ccp.SyncStatus{Role: ccp.SyncCopy, Unpacks: unpacks}) })
	}
	do(func(now int64) { p.bind(now, &p.peers[1], 71) })
	is("one has said nothing yet", false)
	status(1, true)
	is("one that can", true)
	do(func(now int64) { p.bind(now, &p.peers[2], 72) })
	is("another has said nothing yet", false)
	status(2, false)
	is("an older one", false)
	do(func(now int64) { p.left(now, &p.peers[2]) })
	is("it has left", true)
	do(func(now int64) { p.bind(now, &p.peers[1], 73) })
	is("the first was started again", false)
	status(1, true)
	is("and is as new as before", true)
}

// TestServesPacked: who asks gets what it can read, and credit counts what is sent.
func TestServesPacked(t *testing.T) {
	for _, unpacks := range []bool{false, true} {
		p := newPure(t)
		now := boottime()
		p.bind(now, &p.peers[1], 77)
		p.takeStatus(now, &p.peers[1], ccp.SyncStatus{Role: ccp.SyncCopy, Unpacks: unpacks})
		p.peers[1].key = 1
		s := p.asks(now, ccp.SyncWantRepair, bulkCredit)
		var plain []byte
		for n := range 5 {
			data := udp(n, record.OpNew).Append(nil)
			plain = append(plain, data...)
			if ok, err := s.bulk.Offer(now, data); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		s.bulk.Flush()
		var b flow.Batch
		for ok := true; ok && b.Sequence == 0; {
			b, ok = s.bulk.Next(now)
		}
		got, err := ccp.UnpackSync(nil, b.Payload)
		must(t, err)
		if string(got) != string(plain) || (len(b.Payload) < len(plain)) != unpacks {
			t.Errorf("unpacks %v: %d bytes of %d, %x", unpacks, len(b.Payload), len(plain), got)
		}
		// And at the other end the lot's credit is that of the batch.
		q := newPure(t)
		must(t, q.inject.put(now, lot{kind: lotBulk}, b.Payload))
		if l := q.inject.lots[0]; l.payload != len(b.Payload) || l.n != len(plain) || l.records != 5 {
			t.Errorf("unpacks %v: lot of %d records in %d bytes, of %d", unpacks, l.records, l.n, l.payload)
		}
	}
}

// TestBrokenPacking: what cannot be unpacked is counted, and what came before it applied.
func TestBrokenPacking(t *testing.T) {
	p := newPure(t)
	var packer ccp.SyncPacker
	b, _ := packer.Append(packer.Begin(nil), udp(1, record.OpNew).Append(nil), 1000)
	p.queue(boottime(), lot{kind: lotDelta}, append(b, 9, 0))
	if n := p.inject.lots[0].records; n != 1 || p.refused["packed records"] != 1 {
		t.Errorf("%d records, refused %v", n, p.refused)
	}
}
