// SPDX-License-Identifier: Apache-2.0

package records_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/records"
)

// TestTidy: what was over long ago goes, with whatever names it; what counts, and the audit log, stays.
func TestTidy(t *testing.T) {
	r, _, c := with(t)
	tidy := func(n int) {
		t.Helper()
		if got, err := r.Tidy(t.Context(), other); err != nil || got != n {
			t.Errorf("%d removed, %v; want %d", got, err, n)
		}
	}
	// pass lets time pass as it does, with a tidying now and then.
	pass := func(d time.Duration) (removed int) {
		t.Helper()
		for ; d > 0; d -= records.TidyLeap {
			c.at = c.at.Add(min(d, records.TidyLeap))
			n, err := r.Tidy(t.Context(), other)
			if err != nil {
				t.Error(err)
			}
			removed += n
		}
		return removed
	}
	enrol(t, r, "aa01") // good for ever
	if err := r.AddCertificate(t.Context(), gwA, management.Certificate{Serial: "bb01", Kind: management.MemberCertificate, Cluster: "paris", Member: "gw-a",
		Renews: "aa01", NotBefore: 1, NotAfter: c.at.Add(time.Hour).UnixNano()}); err != nil {
		t.Fatal(err)
	}
	_, unused := newToken(t, r, memberToken)
	p := add(t, r)
	for range records.KeepAttempts + 3 {
		a := begin(t, r, p.Generation)
		decide(t, r, a, management.Committed, management.Confirmed)
		if _, err := r.EndAttempt(t.Context(), other, "paris", a.Number, nil); err != nil {
			t.Fatal(err)
		}
	}
	tidy(3)
	all, err := r.Attempts(t.Context(), "paris")
	if err != nil || len(all) != records.KeepAttempts || all[0].Number != 4 {
		t.Errorf("%d attempts are left, from %d, %v", len(all), all[0].Number, err)
	}
	if n := pass(records.KeepOver - time.Minute); n != 0 {
		t.Errorf("%d removed too early", n)
	}
	c.at = c.at.Add(2 * time.Hour)
	identify(t, r, nil, "bb01")
	tidy(3) // a token that was used, one that was not, and the certificate that is over
	identify(t, r, records.ErrNone, "bb01")
	identify(t, r, nil, "aa01")
	tokens, err := r.Tokens(t.Context())
	if err != nil || len(tokens) != 0 {
		t.Errorf("tokens: %+v, %v; %s was never used", tokens, err, unused.ID)
	}
	// Nothing names what is gone: a member may be given another token, and enrol.
	enrol(t, r, "aa02")
	if n := pass(2 * 365 * 24 * time.Hour); n == 0 {
		t.Error("nothing removed in two years")
	}
	enrol(t, r, "aa03")
	identify(t, r, nil, "aa03")
	if certificates, err := r.Certificates(t.Context()); err != nil || len(certificates) != 3 { // two are revoked, and not over
		t.Errorf("certificates: %+v, %v", certificates, err)
	}
	begin(t, r, p.Generation)
	tidy(1)
	if _, err := r.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTidyDoubtsALeap: a clock that is years ahead removes nothing, and when it is set back nothing is lost. One that stays there is believed
// after a week, and one that goes back is.
func TestTidyDoubtsALeap(t *testing.T) {
	r, _, c := with(t)
	const day, year = 24 * time.Hour, 365 * 24 * time.Hour
	enrol(t, r, "aa01") // good for ever
	if err := r.AddCertificate(t.Context(), gwA, management.Certificate{Serial: "bb01", Kind: management.MemberCertificate, Cluster: "paris", Member: "gw-a",
		Renews: "aa01", NotBefore: 1, NotAfter: c.at.Add(90 * day).UnixNano()}); err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		by      time.Duration
		doubted bool
		left    bool
	}{
		{0, false, true},
		{day, false, true},
		{3 * year, true, true}, // somebody sets the clock, or a battery is empty
		{day, true, true},
		{-3*year + day, false, true}, // and it is put right
		{3 * year, true, true},
		{-year, true, true}, // wrong still, otherwise
		{6 * day, true, true},
		{2 * year, true, true}, // a week of this is not over
		{8 * day, false, false},
		{-4 * year, false, false},
		{day, false, false},
	} {
		c.at = c.at.Add(step.by)
		if _, err := r.Tidy(t.Context(), other); errors.Is(err, records.ErrLeap) != step.doubted || err != nil && !step.doubted {
			t.Errorf("step %d: %v", i, err)
		}
		all, err := r.Certificates(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if left := slices.ContainsFunc(all, func(x management.Certificate) bool { return x.Serial == "bb01" }); left != step.left {
			t.Errorf("step %d: the certificate is there: %t", i, left)
		}
	}
}
