// SPDX-License-Identifier: Apache-2.0

package records_test

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/store"
	"github.com/holdfast-project/holdfast/policy"
)

func TestAttemptConfirmedAndRolledBack(t *testing.T) {
	r, _, _ := with(t)
	first, second := add(t, r), add(t, r)
	a := begin(t, r, first.Generation)
	_, err := r.BeginAttempt(t.Context(), alice, attempt(second.Generation))
	want(t, err, records.ErrBusy)
	decide(t, r, a, management.Committed, management.Committed, management.Confirmed)
	if _, err := r.EndAttempt(t.Context(), other, "paris", a.Number, nil); err != nil {
		t.Fatal(err)
	}

	b := begin(t, r, second.Generation)
	if b.Number != a.Number+1 || b.Before != first.Ref() || b.Policy != second.Ref() || b.By != "alice" {
		t.Fatalf("the second attempt is %+v", b)
	}
	decide(t, r, b, management.Committed)
	c, err := r.Cluster(t.Context(), "paris")
	if err != nil || c.Current != second.Ref() || c.Previous != first.Ref() {
		t.Fatalf("after the commit: %+v, %v", c, err)
	}
	decide(t, r, b, management.RolledBack)
	c, err = r.Cluster(t.Context(), "paris")
	if err != nil || c.Current != first.Ref() || !c.Previous.None() {
		t.Fatalf("after the rollback: %+v, %v", c, err)
	}
	_, err = r.BeginAttempt(t.Context(), alice, attempt(second.Generation))
	want(t, err, records.ErrDeclined)
	_, err = r.Decide(t.Context(), other, "paris", b.Number, management.Confirmed, "", nil)
	want(t, err, management.ErrDecided)
	open, err := r.OpenAttempts(t.Context(), nil)
	if err != nil || len(open) != 1 || open[0].Number != b.Number {
		t.Fatalf("open attempts: %+v, %v", open, err)
	}
	if _, err := r.VerifyAudit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestRolledBackTwice: what was before the current policy is known again after an install that was taken back.
func TestRolledBackTwice(t *testing.T) {
	r, _, _ := with(t)
	first, second := add(t, r), add(t, r)
	for _, p := range []management.Policy{first, second} {
		decide(t, r, begin(t, r, p.Generation), management.Committed, management.Confirmed)
	}
	for range 2 {
		decide(t, r, begin(t, r, add(t, r).Generation), management.Committed, management.RolledBack)
		if c, err := r.Cluster(t.Context(), "paris"); err != nil || c.Current != second.Ref() || c.Previous != first.Ref() {
			t.Fatalf("after the rollback: %+v, %v", c, err)
		}
	}
}

func TestAttemptRefused(t *testing.T) {
	r, _, _ := with(t)
	first, second := add(t, r), add(t, r)
	decide(t, r, begin(t, r, second.Generation), management.Committed, management.Confirmed)
	for name, c := range map[string]struct {
		change func(*management.Attempt)
		want   error
	}{
		"older":        {func(a *management.Attempt) { a.Policy.Generation = first.Generation }, policy.ErrOlder},
		"none":         {func(a *management.Attempt) { a.Policy.Generation = 9 }, records.ErrNone},
		"a stranger":   {func(a *management.Attempt) { a.Replies = []management.Reply{{Member: "gw-z"}} }, records.ErrMember},
		"nobody":       {func(a *management.Attempt) { a.Replies = nil }, management.ErrValue},
		"no time":      {func(a *management.Attempt) { a.PrepareWithin = 0 }, management.ErrValue},
		"no guard":     {func(a *management.Attempt) { a.ConfirmWithin = -1 }, management.ErrValue},
		"no cluster":   {func(a *management.Attempt) { a.Cluster = "rome" }, records.ErrNone},
		"current once": {func(*management.Attempt) {}, nil},
	} {
		a := attempt(second.Generation)
		c.change(&a)
		begun, err := r.BeginAttempt(t.Context(), alice, a)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		// The generation that is current already, for members that were left out: a rollback takes nothing back.
		_, err = r.EndAttempt(t.Context(), other, "paris", begun.Number, nil)
		want(t, err, management.ErrValue)
		decide(t, r, begun, management.Committed, management.RolledBack)
		if cluster, err := r.Cluster(t.Context(), "paris"); err != nil || cluster.Current != second.Ref() {
			t.Errorf("%+v, %v", cluster, err)
		}
		if p, err := r.Policy(t.Context(), "paris", second.Generation); err != nil || p.Declined != 0 {
			t.Errorf("%+v, %v", p, err)
		}
		replies := []management.Reply{{Member: "gw-a", State: management.MemberRolledBack}}
		ended, err := r.EndAttempt(t.Context(), other, "paris", begun.Number, replies)
		if err != nil || ended.Ended == 0 || len(ended.Replies) != 1 {
			t.Errorf("%+v, %v", ended, err)
		}
	}
	_, err := r.Decide(t.Context(), other, "paris", 99, management.Aborted, "", nil)
	want(t, err, records.ErrNone)
	all, err := r.Attempts(t.Context(), "paris")
	if err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	_, err = r.Attempts(t.Context(), "rome")
	want(t, err, records.ErrNone)
}

func TestPolicyRefused(t *testing.T) {
	r, s, _ := with(t)
	_, err := r.AddPolicy(t.Context(), alice, "paris", seal(8, "x\n"))
	want(t, err, management.ErrValue)
	_, err = r.AddPolicy(t.Context(), alice, "rome", seal(7, "x\n"))
	want(t, err, records.ErrNone)
	failed := errors.New("failed")
	_, err = r.AddPolicy(t.Context(), alice, "paris", func(uint64) (*policy.Sealed, error) { return nil, failed })
	want(t, err, failed)
	replayed := func(uint64) (*policy.Sealed, error) { return seal(7, "x\n")(9) }
	_, err = r.AddPolicy(t.Context(), alice, "paris", replayed)
	want(t, err, management.ErrValue)
	if all, err := r.Policies(t.Context(), "paris"); err != nil || len(all) != 0 {
		t.Fatal(all, err)
	}

	p := add(t, r)
	_, file, err := r.PolicyFile(t.Context(), "paris", p.Generation)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := policy.Open(file, policy.Trust{Cluster: 7, Keys: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}})
	if err != nil || sealed.Head().Digest() != p.Digest || p.Author != "alice" || p.Comment != "because" {
		t.Fatal(p, err)
	}
	// Somebody changes the record in the store: the file that it names is not there, or not that one.
	err = s.Update(t.Context(), func(tx store.Tx) error {
		key := "policy/paris/00000000000000000001"
		b, err := tx.Get(key)
		if err != nil {
			return err
		}
		return tx.Put(key, []byte(strings.Replace(string(b), `"file":{"digest":"`, `"file":{"digest":"0`, 1)))
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.PolicyFile(t.Context(), "paris", 1); !errors.Is(err, store.ErrNone) && !errors.Is(err, store.ErrDamaged) {
		t.Error(err)
	}
}
