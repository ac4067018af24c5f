// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"slices"
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

var twoKeys = []ccp.Key{{Number: 1, Key: ccp.ClusterKey{1, 2, 3}}, {Number: 2, Key: ccp.ClusterKey{4, 5, 6}}}

// TestRekeyEndsWhatKnowsOldKeys: a repair that would go on would take all entries for stale; a member that has another key yet is not
// served; what is held stays held.
func TestRekeyEndsWhatKnowsOldKeys(t *testing.T) {
	p := newPure(t)
	now := boottime()
	s := p.asks(now, ccp.SyncWantRepair, bulkCredit)
	r := udp(5, record.OpNew)
	id, err := p.hasher.Identify(r)
	must(t, err)
	p.held.Put(id.Key, id.Print, now+1e9, r.Append(nil))
	p.askers[0] = asked(t, stageRemoving)
	p.askers[0].wanted = allBuckets
	if !p.askers[0].stale(id.Key, id.Bucket()) {
		t.Fatal("not stale: this test shows nothing")
	}
	p.Rekey(twoKeys, 2)
	after, err := p.hasher.Identify(r)
	must(t, err)
	if after == id {
		t.Fatal("the same identity under both keys")
	}
	if p.askers[0].stage != stageIdle || p.askers[0].stale(after.Key, after.Bucket()) {
		t.Errorf("asker at %v", p.askers[0].stage)
	}
	if s.active() {
		t.Error("it still serves by the old key")
	}
	if p.held.Has(id.Key) || !p.held.Has(after.Key) || p.held.Wake() != now+1e9 || p.held.Due(now+1e9).print != after.Print {
		t.Error("what is held is not known by its new key")
	}
	if got := p.mayServe(&p.peers[1], ccp.SyncWantRead, ccp.SyncTable{}); got != ccp.SyncBusy {
		t.Errorf("a member with the old key is answered %v", got)
	}
	p.peers[1].key = 2
	if got := p.mayServe(&p.peers[1], ccp.SyncWantRead, ccp.SyncTable{}); got != ccp.SyncAccepted {
		t.Errorf("a member with the new key is answered %v", got)
	}
}

// TestRekeyDuringFullSync: the joiner keeps what it has, and gets what it lacks.
func TestRekeyDuringFullSync(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1, func(c *Config) { c.FullSyncRate = 4000; c.Keys = slices.Clone(twoKeys) })
	w.ready()
	w.members[0].flows(record.OpNew, 0, 10_000)
	w.members[1].halt()
	w.members[1].flows(record.OpNew, 0, 10_000)
	w.members[0].flows(record.OpNew, 10_000, 11_000)
	w.members[1].start()
	w.hello()
	joiner := w.members[1].plane
	w.eventually("a full sync is under way", 5e9, func() bool {
		s := joiner.State().FullSync
		return s.Stage == "receiving" && s.Done > 1000
	})
	for _, m := range w.members {
		m.plane.Rekey(twoKeys, 2)
	}
	w.eventually("the joiner has the owner's table", 30e9, func() bool { return joiner.State().Current && w.equal(11_000)() })
	w.same()
	if s := joiner.Stats(); s.Removed != 0 || s.Deleted != 0 {
		t.Errorf("%d removed, %d deleted", s.Removed, s.Deleted)
	}
}
