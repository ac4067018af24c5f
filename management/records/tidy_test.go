// SPDX-License-Identifier: Apache-2.0

package records_test

import (
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
	c.at = c.at.Add(records.KeepOver - time.Minute)
	tidy(0)
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
	c.at = c.at.Add(2 * 365 * 24 * time.Hour)
	if n, err := r.Tidy(t.Context(), other); err != nil || n == 0 {
		t.Errorf("%d removed, %v", n, err)
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
