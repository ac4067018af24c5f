// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"slices"
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// zoned is udp in conntrack zone 5 (CTA_ZONE of linux/uapi/linux/netfilter/nfnetlink_conntrack.h).
func zoned(n int, op record.Op) record.Record {
	r := udp(n, op)
	if op == record.OpDelete {
		r.Attrs = r.Attrs[:len(r.Attrs)-16] // an end has neither status nor time-out
	}
	r.Attrs = append(slices.Clone(r.Attrs), attr(18, be16(5))...)
	return r
}

// TestForeignZone: after a reload that leaves a zone out, a peer's records of it are refused and counted, and one's own entries of it are
// neither told, nor counted, nor removed.
func TestForeignZone(t *testing.T) {
	p := still(t)
	peers := func() (taken int) {
		for _, r := range []record.Record{zoned(1, record.OpNew), zoned(2, record.OpDelete)} {
			p.injectLot(&lot{kind: lotDelta, peer: 1}, r.Append(nil))
			taken += len(p.inject.rs)
			p.inject.rs, p.inject.ids = p.inject.rs[:0], p.inject.ids[:0]
		}
		return taken
	}
	if peers() != 2 {
		t.Fatalf("zone 5 is refused where all are taken: %v", p.refused)
	}
	c := p.cfg
	c.Zones = []uint16{0, 7}
	must(t, p.Reconfigure(c))
	if n := peers(); n != 0 || p.refused[record.ReasonZone.String()] != 2 {
		t.Errorf("%d taken, refused: %v", n, p.refused)
	}
	for _, r := range []record.Record{zoned(3, record.OpNew), zoned(3, record.OpDelete)} {
		if _, v := p.judge.Examine(p.hasher, r); v.Skip != record.SkipZone {
			t.Errorf("an own entry of zone 5 is left out for %s", v.Skip)
		}
	}
	p.askers[0] = asked(t, stageRemoving)
	p.askers[0].wanted = allBuckets
	for want, r := range map[bool]record.Record{false: zoned(4, record.OpNew), true: udp(4, record.OpNew)} {
		id, err := p.hasher.Identify(r)
		must(t, err)
		if !p.askers[0].stale(id.Key, id.Bucket()) {
			t.Fatal("not stale: this test shows nothing")
		}
		if got := p.chosen(&lot{kind: lotStale}, r, id, p.judge.Judge(r)); got != want {
			t.Errorf("removed: %v, want %v: %s", got, want, record.Text(r))
		}
	}
}
