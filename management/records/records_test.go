// SPDX-License-Identifier: Apache-2.0

package records_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/store"
	"github.com/holdfast-project/holdfast/policy"
)

var (
	key   = ed25519.NewKeyFromSeed(make([]byte, 32))
	alice = management.Actor{Kind: management.ByPerson, Name: "alice", Address: "192.0.2.7"}
	other = management.Actor{Kind: management.ByServer, Name: "mgmt-b"}
	gwA   = management.Actor{Kind: management.ByMember, Name: "paris/gw-a"}
	paris = management.Cluster{Name: "paris", ID: 7, Members: []string{"gw-a", "gw-b"}, Config: []byte("cluster: {id: 7}\n")}
)

// clock is what a test says the time is.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func open(t testing.TB) (*records.Records, store.Store, *clock) {
	t.Helper()
	s, err := store.OpenFile(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	return records.New(s, records.Options{Now: c.now}), s, c
}

// with is a store with the cluster paris.
func with(t testing.TB) (*records.Records, store.Store, *clock) {
	t.Helper()
	r, s, c := open(t)
	if _, err := r.AddCluster(t.Context(), alice, paris); err != nil {
		t.Fatal(err)
	}
	return r, s, c
}

func seal(id uint16, text string) func(uint64) (*policy.Sealed, error) {
	return func(generation uint64) (*policy.Sealed, error) {
		return policy.Seal(&policy.Bundle{Cluster: id, Generation: generation, Created: 1, Author: "alice", Comment: "because",
			File: "p.nft", Ruleset: text}, key)
	}
}

func add(t testing.TB, r *records.Records) management.Policy {
	t.Helper()
	p, err := r.AddPolicy(t.Context(), alice, "paris", seal(7, "table inet filter {\n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func begin(t testing.TB, r *records.Records, generation uint64) management.Attempt {
	t.Helper()
	a, err := r.BeginAttempt(t.Context(), alice, attempt(generation))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func attempt(generation uint64) management.Attempt {
	return management.Attempt{Cluster: "paris", Policy: management.Ref{Generation: generation}, PrepareWithin: 60e9, ConfirmWithin: 30e9,
		Replies: []management.Reply{{Member: "gw-a"}, {Member: "gw-b"}}}
}

func want(t testing.TB, err, is error) {
	t.Helper()
	if !errors.Is(err, is) {
		t.Fatalf("the error is %v; it is to be %v", err, is)
	}
}

// decide moves an attempt and fails if it cannot.
func decide(t testing.TB, r *records.Records, a management.Attempt, to ...management.Phase) {
	t.Helper()
	for _, phase := range to {
		if _, err := r.Decide(context.Background(), other, a.Cluster, a.Number, phase, "", nil); err != nil {
			t.Fatal(err)
		}
	}
}
