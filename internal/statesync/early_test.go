// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
)

// TestOwnersBeforeSlots: owners that are told before it is known how connections sort change nothing at first, and are not forgotten: the plane is then
// what it is when they are told in the other order.
func TestOwnersBeforeSlots(t *testing.T) {
	type view struct {
		role   Role
		shown  State
		owns   bool
		follow uint8
	}
	look := func(p *Plane) view {
		s := p.State()
		p.mu.Lock()
		defer p.mu.Unlock()
		v := view{role: p.role, owns: p.owns(3), follow: p.owner()}
		v.shown = State{Status: s.Status, Reason: s.Reason, Sharing: s.Sharing, Buckets: s.Buckets, TableTerm: s.TableTerm, Current: s.Current}
		v.shown.Peers = []PeerState{{Buckets: s.Peers[0].Buckets}}
		return v
	}
	same := func(a, b view) bool {
		peers := a.shown.Peers[0].Buckets == b.shown.Peers[0].Buckets
		return peers && a.role == b.role && a.owns == b.owns && a.follow == b.follow && a.shown.Status == b.shown.Status && a.shown.Reason == b.shown.Reason &&
			a.shown.Buckets == b.shown.Buckets && a.shown.TableTerm == b.shown.TableTerm && a.shown.Current == b.shown.Current && a.shown.Sharing == b.shown.Sharing
	}
	inOrder, early := still(t), still(t)
	before := look(early)
	for _, term := range []uint32{5, 7} {
		select {
		case <-early.SetOwners(*parts(term, 0, 3)):
		default:
			t.Error("a plane without anything to apply keeps its caller waiting")
		}
	}
	if got := look(early); !same(got, before) || got.shown.Sharing {
		t.Errorf("before it shares: %+v, want %+v", got, before)
	}
	inOrder.SetSlots(bySourcePort)
	inOrder.SetOwners(*parts(7, 0, 3))
	early.SetSlots(bySourcePort)
	want, got := look(inOrder), look(early)
	if !same(got, want) || want.role != RoleOwner || want.shown.Buckets == 0 || want.shown.TableTerm != 7 {
		t.Errorf("%+v, want %+v", got, want)
	}
	// And only once: other rules later do not bring back what is old.
	early.SetOwners(*parts(8, 1, 3))
	other := bySourcePort
	other.Rules++
	early.SetSlots(other)
	if got := look(early); got.shown.TableTerm != 8 {
		t.Errorf("goes by the table of term %d", got.shown.TableTerm)
	}
	if r := early.mayServe(&early.peers[1], ccp.SyncWantWords, ccp.SyncTable{}); r == ccp.SyncAccepted {
		t.Errorf("who sorts otherwise is answered %v", r)
	}
}
