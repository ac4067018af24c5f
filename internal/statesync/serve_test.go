// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// newPure makes a plane that is not served: it decides, and sends nothing.
func newPure(t *testing.T) *Plane {
	t.Helper()
	p, err := New(Config{Cluster: 7, Members: 3, UseKey: 1, Keys: []ccp.Key{{Number: 1, Key: ccp.ClusterKey{1, 2, 3}}}}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	must(t, err)
	p.role, p.tallyGood = RoleOwner, true
	return p
}

// asks has member 1 ask for something, and returns what it is served.
func (p *Plane) asks(now int64, want ccp.SyncWant, limit uint64) *serving {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := &p.peers[1]
	if q.bound == 0 {
		p.bind(now, q, 77)
		q.key = 1
	}
	p.takeRequest(now, q, ccp.SyncRequest{Log: 5, Want: want, Limit: limit, Buckets: allBuckets})
	return q.serving
}

// TestServingEndsWithItsAsker: the dumper waits for a member that has no room; when that member is started again, or is not configured any
// more, it goes on at once.
func TestServingEndsWithItsAsker(t *testing.T) {
	for name, gone := range map[string]func(p *Plane){
		"started again":  func(p *Plane) { p.bind(boottime(), &p.peers[1], 78) },
		"not configured": func(p *Plane) { p.cfg.Members = 1; p.forgetPeers() },
		"says nothing": func(p *Plane) { // and the session is nobody's any more
			s := p.peers[1].serving
			p.peers[1].serving = nil
			p.giveUp(boottime(), s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPure(t)
			s := p.asks(boottime(), ccp.SyncWantRepair, 100)
			if !s.active() {
				t.Fatal("not served")
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- p.offer(ctx, []*serving{s}, 3, make([]byte, 120)) }()
			p.mu.Lock()
			gone(p)
			p.mu.Unlock()
			if err := <-done; err != nil || s.active() {
				t.Errorf("active %v, error %v", s.active(), err)
			}
		})
	}
}
