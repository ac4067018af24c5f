// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// TestReached: what a plane says of a peer by what its HELLO tells and by when it was heard.
func TestReached(t *testing.T) {
	const now, s = int64(1e12), int64(1e9)
	for _, k := range []struct {
		name   string
		told   Peer
		heard  int64 // ago
		owner  int64 // since when it is one by its HELLO, ago
		status Status
		reason string
		bound  bool
	}{
		{"well", Peer{ID: 1, Incarnation: 77, Role: RoleOwner}, 4 * s, 60 * s, StatusOK, "", true},
		{"a copy has nothing to say", Peer{ID: 1, Incarnation: 77, Role: RoleCopy}, 500 * s, 0, StatusOK, "", true},
		{"an owner says nothing", Peer{ID: 1, Incarnation: 77, Role: RoleOwner}, 13 * s, 60 * s, StatusAtRisk, "nothing heard from member 1 for more than 10s", true},
		{"and for long", Peer{ID: 1, Incarnation: 77, Role: RoleOwner}, 500 * s, 300 * s, StatusAtRisk, "nothing heard from member 1 for more than 1m0s", true},
		{"an owner since a moment ago", Peer{ID: 1, Incarnation: 77, Role: RoleOwner}, 500 * s, 2 * s, StatusOK, "", true},
		{"no HELLO any more", Peer{ID: 1}, 2 * s, 0, StatusOK, "", true},
		{"dead", Peer{ID: 1}, 6 * s, 0, StatusOff, "alone: no other member synchronises", false},
		{"another life of it", Peer{ID: 1, Incarnation: 78, Role: RoleCopy}, 6 * s, 0, StatusAtRisk, "1 of 1 members not reached on a sync interface", false},
	} {
		t.Run(k.name, func(t *testing.T) {
			p := newPure(t)
			p.role, p.have = RoleCopy, allBuckets
			p.cfg.Interfaces = []Interface{{Name: "sync0", Up: true}}
			q := &p.peers[1]
			p.bind(now-k.heard, q, 77)
			q.status.Role, q.heard, q.told = wireRole(RoleCopy), now-k.heard, k.told
			if k.owner != 0 {
				q.ownerSince = now - k.owner
			}
			if status, reason := p.health(now).judge(); status != k.status || reason != k.reason {
				t.Errorf("%v %q, want %v %q", status, reason, k.status, k.reason)
			}
			if got := p.peerState(now, q, nil).Bound; got != k.bound {
				t.Errorf("connected %v", got)
			}
			if at := q.showAt(now, true); at <= now {
				t.Errorf("to be looked at again %v ago", nanoseconds(now-at))
			}
		})
	}
}

// TestDeafInterface: one that has carrier and on which nobody is heard, while somebody is on another, does not count as up.
func TestDeafInterface(t *testing.T) {
	p := newPure(t)
	now := int64(1e12)
	p.ports = []*port{{Interface: Interface{Name: "sync0", Up: true}}, {Interface: Interface{Name: "sync1", Up: true}}}
	if list := p.interfaces(now); list[0].Error != "" || list[1].Error != "" {
		t.Errorf("nobody is heard anywhere: %+v", list)
	}
	p.ports[0].heard[1] = now - 3e9
	if list := p.interfaces(now); list[0].Error != "" || list[1].Error == "" {
		t.Errorf("one is deaf: %+v", list)
	}
	p.ports[1].since = now - 10e9
	if list := p.interfaces(now); list[1].Error != "" {
		t.Errorf("it has just come up: %+v", list)
	}
}

// TestDeafInterfaceByClocks: what a second interface has later than the first one counts there, whatever the two members' clocks say, which began
// with their boots.
func TestDeafInterfaceByClocks(t *testing.T) {
	for name, sequence := range map[string]uint64{"booted together": 1e12, "a peer that is up for long": 1e16, "a peer that has just booted": 60e9} {
		t.Run(name, func(t *testing.T) {
			p := newPure(t)
			now := int64(1e12)
			p.ports = []*port{{Interface: Interface{Name: "sync0", Up: true}}, {Interface: Interface{Name: "sync1", Up: true}}}
			p.bind(now, &p.peers[1], 77)
			p.peers[1].lastSequence, p.ports[0].heard[1] = sequence, now
			key := p.cfg.key()
			of := func(incarnation, sequence uint64) []byte {
				s := ccp.NewSealer(key.Key, key.Number, p.cfg.Cluster, 1, incarnation)
				return s.Seal(nil, ccp.Header{Type: ccp.TypeSync, Target: p.cfg.Self, Sequence: sequence}, make([]byte, 100))
			}
			p.heardTwin(now, p.ports[1], of(76, sequence))
			p.heardTwin(now, p.ports[1], of(77, sequence-20e9))
			if p.ports[1].heard[1] != 0 {
				t.Error("a frame of long ago, or of another life of the peer, shows that the interface works")
			}
			p.heardTwin(now, p.ports[1], of(77, sequence-50e6))
			if list := p.interfaces(now); list[1].Error != "" {
				t.Errorf("%s: %s", list[1].Name, list[1].Error)
			}
		})
	}
}

// TestGoodbye: a member that stops is not waited for, was not too slow, and is back when it says so.
func TestGoodbye(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1)
	w.ready()
	w.members[1].halt()
	w.hello()
	m := w.members[0]
	w.soon("the one that is left is alone", 4*time.Second, func() bool {
		s := m.plane.State()
		return s.Status == StatusOff && strings.HasPrefix(s.Reason, "alone") && !s.Peers[0].Bound
	})
	m.flows(record.OpNew, 0, 100)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(t, m.plane.Flush(ctx))
	w.members[1].start()
	w.hello()
	w.ready()
	w.eventually("all is well again", 5*time.Second, func() bool { return w.equal(100)() && m.plane.State().Status == StatusOK })
}

// TestStoppedPlane: one that has said goodbye is neither awaited nor greeted until its HELLO has told of another, or of none.
func TestStoppedPlane(t *testing.T) {
	p := newPure(t)
	q := &p.peers[1]
	now := boottime()
	p.bind(now, q, 77)
	q.lastSequence = 1000
	must(t, p.takePart(now, q, goodbye(t)))
	if q.bound != 0 || q.gone != 77 || q.goneAt != 1000 {
		t.Fatalf("bound to %d, gone %d at %d", q.bound, q.gone, q.goneAt)
	}
	if lanes := p.sender.Peers(now, nil); len(lanes) != 0 {
		t.Errorf("acknowledgements are waited for, and missed: %+v", lanes)
	}
	p.SetPeers([]Peer{{ID: 1, Incarnation: 77, Role: RoleCopy}})
	if q.greetAt != never || p.health(now).awaited != 0 {
		t.Error("a plane that has stopped is waited for")
	}
	p.SetPeers([]Peer{{ID: 1}})
	p.SetPeers([]Peer{{ID: 1, Incarnation: 77, Role: RoleCopy}})
	if q.greetAt == never || p.health(now).awaited != 1 {
		t.Error("a plane that is back is not greeted")
	}
}

func goodbye(t *testing.T) ccp.SyncPart {
	t.Helper()
	part, _, err := ccp.NextSync(ccp.SyncStatus{Role: ccp.SyncCopy, Stopping: true}.Append(nil))
	must(t, err)
	return part
}
