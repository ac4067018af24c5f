// SPDX-License-Identifier: Apache-2.0

package records_test

import (
	"testing"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/records"
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
	if err != nil || c.Current != first.Ref() {
		t.Fatalf("after the rollback: %+v, %v", c, err)
	}
	_, err = r.BeginAttempt(t.Context(), alice, attempt(second.Generation))
	want(t, err, records.ErrDeclined)
	_, err = r.Decide(t.Context(), other, "paris", b.Number, management.Confirmed, "", nil)
	want(t, err, management.ErrDecided)
	open, err := r.OpenAttempts(t.Context())
	if err != nil || len(open) != 1 || open[0].Number != b.Number {
		t.Fatalf("open attempts: %+v, %v", open, err)
	}
	if _, err := r.VerifyAudit(t.Context()); err != nil {
		t.Fatal(err)
	}
}
