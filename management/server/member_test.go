// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"sync"

	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/policy"
)

// standIn is a member that does as it is ordered.
type standIn struct {
	s      *stand
	name   string
	client *api.Client
	refuse string // why it refuses to prepare; "": it prepares

	mu     sync.Mutex
	report api.Report
	failed error
}

// run reports until ctx ends.
func (m *standIn) run(ctx context.Context) {
	for ctx.Err() == nil {
		var o api.Orders
		m.mu.Lock()
		r := m.report
		m.mu.Unlock()
		if err := m.client.Call(ctx, "POST", "/v1/member/report", r, &o); err != nil {
			if ctx.Err() == nil {
				m.fail(err)
			}
			return
		}
		m.follow(ctx, o)
	}
}

func (m *standIn) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed = err
}

func (m *standIn) follow(ctx context.Context, o api.Orders) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &m.report
	r.Serial = o.Serial
	a := o.Attempt
	if a == nil {
		return
	}
	if r.Attempt.Number != a.Number {
		r.Attempt = api.AttemptState{Number: a.Number, Policy: a.Policy, State: "idle"}
		r.HighestAttempt = max(r.HighestAttempt, a.Number)
	}
	switch state := r.Attempt.State; {
	case a.Phase == api.PhasePrepare && state == "idle":
		r.Attempt.State, r.Attempt.Why = "prepared", ""
		if err := m.fetch(ctx, a.Policy); err != nil {
			m.failed = err
		}
		if m.refuse != "" {
			r.Attempt.State, r.Attempt.Why = "refused", m.refuse
		}
	case a.Phase == api.PhaseCommit && state == "prepared":
		r.Attempt.State, r.Previous, r.InForce, r.Highest = "committed", r.InForce, a.Policy, a.Policy.Generation
	case a.Phase == api.PhaseConfirmed && state == "committed":
		r.Attempt.State, r.Attempt.Confirmed = "confirmed", true
	case a.Phase == api.PhaseAbort && (state == "prepared" || state == "idle"):
		r.Attempt.State = "aborted"
	case a.Phase == api.PhaseRolledBack && state == "committed":
		r.Attempt.State, r.InForce = "rolled-back", r.Previous
	}
}

// fetch reads the policy and verifies it as a member does.
func (m *standIn) fetch(ctx context.Context, o api.Offer) error {
	var b bytes.Buffer
	if err := m.client.Copy(ctx, fmt.Sprintf("/v1/member/policies/%d/%s", o.Generation, o.Digest), &b); err != nil {
		return err
	}
	sealed, err := policy.Open(b.Bytes(), policy.Trust{Cluster: 7, Keys: []ed25519.PublicKey{m.s.keys}})
	if err != nil {
		return err
	}
	if sealed.Head().Digest() != o.Digest {
		return fmt.Errorf("generation %d has the digest %s", o.Generation, sealed.Head().Digest())
	}
	return nil
}

// members enrols and runs all members of the cluster edge.
func (s *stand) members(admin *identity) map[string]*standIn {
	s.t.Helper()
	names := []string{"gw-a", "gw-b"}
	all := map[string]*standIn{}
	ctx, stop := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	for i, name := range names {
		m := &standIn{s: s, name: name, client: s.client(s.enrol(admin, name))}
		m.report = api.Report{Run: "1", State: "ACTIVE", Version: "test", PolicyStatus: "ok", Peers: []api.PeerReport{{Name: names[1-i], Heard: true}}}
		all[name] = m
		tasks.Go(func() { m.run(ctx) })
	}
	s.t.Cleanup(func() {
		stop()
		tasks.Wait()
		for _, m := range all {
			if m.failed != nil {
				s.t.Errorf("%s: %v", m.name, m.failed)
			}
		}
	})
	return all
}
