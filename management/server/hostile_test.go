// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
)

func asError(err error) *api.Error {
	var e *api.Error
	errors.As(err, &e)
	return e
}

func TestWhoIsRefused(t *testing.T) {
	s := newStand(t)
	admin, viewer := s.person("admin", management.Admin), s.person("viv", management.Viewer)
	operator := s.person("olga", management.Operator)
	s.cluster(admin)
	gw := s.enrol(admin, "gw-a")
	ca, key, err := pki.NewAuthority(rand.Reader, "test", time.Now())
	must(t, err)
	other, err := pki.LoadAuthority(ca, key)
	must(t, err)
	person := pki.Identity{Kind: management.PersonCertificate, User: "admin"}
	forged := s.certify(other, person, false)
	forged.token = admin.token
	unknown := s.certify(s.authority, person, false) // of our authority, and nobody wrote it down
	unknown.token = admin.token
	mixed := &identity{tls: viewer.tls, token: admin.token}
	stolen := &identity{tls: gw.tls, token: admin.token}
	host := s.certify(s.authority, pki.Identity{Kind: management.ServerCertificate, Host: "mgmt2"}, true)
	report := api.Report{Run: "1"}
	install := api.InstallRequest{Ruleset: rulesetText}
	for _, c := range []struct {
		name         string
		who          *identity
		method, path string
		in           any
		want         api.Code
	}{
		{"no certificate", nil, "POST", "/v1/users", api.UserRequest{Name: "x", Role: "admin"}, api.CodeCertificateRequired},
		{"no certificate, reading", nil, "GET", "/v1/clusters", nil, api.CodeCertificateRequired},
		{"no certificate, no route", nil, "GET", "/v1/secret", nil, api.CodeCertificateRequired},
		{"another authority", forged, "POST", "/v1/users", api.UserRequest{Name: "x", Role: "admin"}, api.CodeCertificateUnknown},
		{"not issued", unknown, "GET", "/v1/users", nil, api.CodeCertificateUnknown},
		{"a server's", host, "GET", "/v1/users", nil, api.CodeForbidden},
		{"no token", &identity{tls: admin.tls}, "GET", "/v1/users", nil, api.CodeTokenRequired},
		{"wrong token", &identity{tls: admin.tls, token: "hfmt_000000000000_x"}, "GET", "/v1/users", nil, api.CodeTokenUnknown},
		{"somebody else's token", mixed, "GET", "/v1/users", nil, api.CodeTokenUnknown},
		{"a member as a person", stolen, "GET", "/v1/users", nil, api.CodeForbidden},
		{"a person as a member", admin, "POST", "/v1/member/report", report, api.CodeForbidden},
		{"viewer installs", viewer, "POST", "/v1/clusters/edge/installs", install, api.CodeForbidden},
		{"viewer makes a token", viewer, "POST", "/v1/clusters/edge/members/gw-a/token", nil, api.CodeForbidden},
		{"operator adds a person", operator, "POST", "/v1/users", api.UserRequest{Name: "x", Role: "admin"}, api.CodeForbidden},
		{"operator makes itself admin", operator, "PUT", "/v1/users/olga", api.UserRequest{Role: "admin"}, api.CodeForbidden},
		{"operator backs up", operator, "GET", "/v1/backup", nil, api.CodeForbidden},
		{"last admin goes", admin, "DELETE", "/v1/users/admin", nil, api.CodeRefused},
		{"last admin steps down", admin, "PUT", "/v1/users/admin", api.UserRequest{Role: "viewer"}, api.CodeRefused},
		{"no such route", admin, "GET", "/v1/secret", nil, api.CodeNotFound},
		{"wrong method", admin, "DELETE", "/v1/clusters", nil, api.CodeMethod},
		{"no such cluster", admin, "GET", "/v1/clusters/none", nil, api.CodeNotFound},
		{"no such member", admin, "POST", "/v1/clusters/edge/members/none/token", nil, api.CodeNotFound},
		{"cluster twice", admin, "POST", "/v1/clusters", api.ClusterRequest{Config: clusterYAML}, api.CodeRefused},
		{"cluster that is none", admin, "POST", "/v1/clusters", api.ClusterRequest{Config: "id: 0"}, api.CodeInvalid},
		{"another cluster's file", admin, "PUT", "/v1/clusters/none", api.ClusterRequest{Config: clusterYAML}, api.CodeInvalid},
		{"field that there is not", admin, "POST", "/v1/users", map[string]string{"name": "x", "role": "admin", "rolle": "y"}, api.CodeInvalid},
		{"name that is none", admin, "POST", "/v1/users", api.UserRequest{Name: "../x", Role: "admin"}, api.CodeInvalid},
		{"role that is none", admin, "POST", "/v1/users", api.UserRequest{Name: "x", Role: "root"}, api.CodeInvalid},
		{"too long", admin, "POST", "/v1/users", api.UserRequest{Name: strings.Repeat("x", 100000), Role: "admin"}, api.CodeTooLarge},
		{"number that is none", admin, "GET", "/v1/clusters/edge/policies/-1", nil, api.CodeInvalid},
		{"anchor that is none", admin, "GET", "/v1/audit/verify?anchor=1:x", nil, api.CodeInvalid},
		{"token for ever", admin, "POST", "/v1/clusters/edge/members/gw-a/token", api.TokenRequest{ForMs: 1 << 62}, api.CodeInvalid},
		{"numbers below those known", admin, "POST", "/v1/clusters/edge/numbers", api.NumbersRequest{}, ""},
		{"report with a long name", gw, "POST", "/v1/member/report", api.Report{Run: strings.Repeat("x", 65)}, api.CodeInvalid},
		{"report with many peers", gw, "POST", "/v1/member/report", api.Report{Peers: make([]api.PeerReport, 9)}, api.CodeInvalid},
		{"report with control characters", gw, "POST", "/v1/member/report", api.Report{State: "\x1b[2J"}, api.CodeInvalid},
		{"report that is too long", gw, "POST", "/v1/member/report", api.Report{Drift: strings.Repeat("x", 70000)}, api.CodeTooLarge},
		{"policy that there is not", gw, "GET", "/v1/member/policies/1/" + strings.Repeat("0", 64), nil, api.CodeNotFound},
		{"digest that is none", gw, "GET", "/v1/member/policies/1/x", nil, api.CodeInvalid},
	} {
		if got := s.call(c.who, c.method, c.path, c.in, nil); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	tokens, err := s.records.Tokens(context.Background())
	must(t, err)
	for _, one := range tokens {
		if one.Kind != management.PersonToken || one.User != "admin" {
			continue
		}
		if got := s.call(operator, "DELETE", "/v1/tokens/"+one.ID, nil, nil); got != api.CodeForbidden {
			t.Errorf("an operator ends an administrator's token: %q", got)
		}
	}
	users, err := s.records.Users(context.Background())
	must(t, err)
	if len(users) != 3 {
		t.Errorf("users: %+v", users)
	}
	audited := s.audited()
	for _, want := range []struct{ object, code string }{
		{"POST /v1/users", "certificate-required"}, {"GET /v1/clusters", "certificate-required"}, {"POST /v1/users", "certificate-unknown"}, {"GET /v1/users", "token-unknown"},
		{"POST /v1/clusters/edge/installs", "forbidden"}, {"PUT /v1/users/olga", "forbidden"}, {"GET /v1/backup", "forbidden"},
	} {
		if !slices.Contains(audited[want.object], want.code) {
			t.Errorf("%s with %s is not in the audit log: %v", want.object, want.code, audited[want.object])
		}
	}
	if _, err := s.records.VerifyAudit(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestCertificatesEnd(t *testing.T) {
	s := newStand(t)
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	gw, other := s.enrol(admin, "gw-a"), s.enrol(admin, "gw-b")
	report := func(i *identity) api.Code { return s.call(i, "POST", "/v1/member/report", api.Report{Run: "1"}, nil) }
	if got := report(gw); got != "" {
		t.Fatal(got)
	}

	// A renewed certificate works beside the old one; a third ends the first.
	keyPEM, csr, err := pki.NewRequest(rand.Reader)
	must(t, err)
	var e api.Enrolment
	if code := s.call(gw, "POST", "/v1/member/renew", api.RenewRequest{CSR: string(csr)}, &e); code != "" || e.Serial == gw.serial || e.Member != "gw-a" {
		t.Fatalf("renew: %s %+v", code, e)
	}
	pair, err := tls.X509KeyPair([]byte(e.Certificate), keyPEM)
	must(t, err)
	fresh := &identity{tls: &pair, serial: e.Serial}
	if report(fresh) != "" || report(gw) != "" {
		t.Error("one of both certificates is refused after the renewal")
	}
	if code := s.call(fresh, "POST", "/v1/member/renew", api.RenewRequest{CSR: "no"}, nil); code != api.CodeInvalid {
		t.Errorf("a request that is none: %q", code)
	}

	// Revocation holds for what is known already.
	if code := s.call(admin, "POST", "/v1/certificates/"+gw.serial+"/revoke", api.RevokeRequest{Why: "stolen"}, nil); code != "" {
		t.Fatal(code)
	}
	s.eventually("the revoked certificate is refused", func() bool { return report(gw) == api.CodeCertificateRevoked })
	if report(fresh) != "" {
		t.Error("the other certificate went with it")
	}
	if code := s.call(admin, "POST", "/v1/clusters/edge/members/gw-b/revoke", nil, nil); code != "" {
		t.Fatal(code)
	}
	s.eventually("the revoked member is refused", func() bool { return report(other) == api.CodeCertificateRevoked })

	s.clock.move(25 * time.Hour) // people's are for a day here
	if code := s.call(admin, "GET", "/v1/users", nil, nil); code != api.CodeCertificateExpired {
		t.Errorf("expired: %q", code)
	}
	s.clock.move(-25*time.Hour - 30*time.Minute)
	if code := s.call(admin, "GET", "/v1/users", nil, nil); code != api.CodeCertificateEarly {
		t.Errorf("not yet valid: %q", code)
	}
}

func (s *stand) eventually(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(time.Millisecond) {
		if ok() {
			return
		}
	}
	s.t.Errorf("it does not happen that %s", what)
}

func TestTokensAreUsedOnce(t *testing.T) {
	s := newStand(t)
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	grant := func(path string, in any) string {
		t.Helper()
		var v api.TokenGranted
		if code := s.call(admin, "POST", path, in, &v); code != "" {
			t.Fatal(code)
		}
		g, err := api.ParseGrant(v.Grant)
		must(t, err)
		if g.Fingerprint != api.Fingerprint(s.authority.Certificate()) {
			t.Error("the token names another authority")
		}
		return g.Token
	}
	_, csr, err := pki.NewRequest(rand.Reader)
	must(t, err)
	use := func(token string) api.Code {
		return s.call(nil, "POST", "/v1/enroll", api.EnrollRequest{Token: token, CSR: string(csr)}, nil)
	}
	member := "/v1/clusters/edge/members/gw-a/token"
	token := grant(member, nil)
	if code := s.call(nil, "POST", "/v1/enroll", api.EnrollRequest{Token: token, CSR: "no"}, nil); code != api.CodeInvalid {
		t.Errorf("a bad request: %q", code)
	}
	for _, q := range []api.EnrollRequest{{Kind: api.EnrollPerson}, {Kind: api.EnrollMember, For: "edge/gw-b"}, {For: "gw-a"}, {Kind: "x"}} {
		if q.Token, q.CSR = token, string(csr); s.call(nil, "POST", "/v1/enroll", q, nil) != api.CodeRefused {
			t.Errorf("it is another's: %q is taken for a %s of %q", token, q.Kind, q.For)
		}
	}
	if got := []api.Code{use(token), use(token)}; got[0] != "" || got[1] != api.CodeTokenUsed {
		t.Errorf("used twice: %q", got)
	}
	older := grant(member, nil)
	newer := grant(member, nil)
	if got := []api.Code{use(older), use(newer)}; got[0] != api.CodeTokenRevoked || got[1] != "" {
		t.Errorf("replaced: %q", got)
	}
	late := grant(member, api.TokenRequest{ForMs: 60_000})
	s.clock.move(2 * time.Minute)
	if got := use(late); got != api.CodeTokenExpired {
		t.Errorf("late: %q", got)
	}
	if got := use("hfmt_000000000000_x"); got != api.CodeTokenUnknown {
		t.Errorf("unknown: %q", got)
	}
	if got := use(admin.token); got != api.CodeTokenUnknown {
		t.Errorf("a person's token enrols: %q", got)
	}
	p := grant("/v1/users", api.UserRequest{Name: "olga", Role: "operator"})
	if code := s.call(nil, "POST", "/v1/enroll", api.EnrollRequest{Token: p, CSR: string(csr), Kind: api.EnrollMember, For: "edge/gw-a"}, nil); code != api.CodeRefused {
		t.Errorf("a person's for a member: %q", code)
	}
	var e api.Enrolment
	if code := s.call(nil, "POST", "/v1/enroll", api.EnrollRequest{Token: p, CSR: string(csr), Kind: api.EnrollPerson}, &e); code != "" || e.User != "olga" || e.Role != "operator" || e.Token == "" {
		t.Errorf("a person enrols: %s %+v", code, e)
	}
	for _, code := range []string{"token-used", "token-revoked", "token-expired", "token-unknown", "invalid", "refused"} {
		if !slices.Contains(s.audited()["POST /v1/enroll"], code) {
			t.Errorf("%s is not in the audit log: %v", code, s.audited()["POST /v1/enroll"])
		}
	}
}

func TestRates(t *testing.T) {
	s := newStand(t)
	last, began := api.Code(""), time.Now()
	for n := 0; last != api.CodeTooMany && n < 20*int(unknownRate.burst); n++ { // while it asks, more is allowed
		last = s.call(nil, "POST", "/v1/enroll", api.EnrollRequest{}, nil)
	}
	if last != api.CodeTooMany {
		t.Errorf("too many: %q", last)
	}
	if n := len(s.audited()["POST /v1/enroll"]); n > int(auditRate.burst+auditRate.perSecond*time.Since(began).Seconds())+1 {
		t.Errorf("%d entries in the audit log", n)
	}
	now := time.Now()
	b := newBuckets(rate{perSecond: 1, burst: 1}, func() time.Time { return now })
	for i := range 3 * maxBuckets {
		b.take(string(rune(i)) + "x")
	}
	if len(b.all) > maxBuckets {
		t.Errorf("%d clients are remembered", len(b.all))
	}
	b.take("a")
	if ok, refused := b.take("a"); ok || refused != 1 {
		t.Error("the second is let through")
	}
	now = now.Add(time.Second)
	if ok, refused := b.take("a"); !ok || refused != 1 {
		t.Error("it is not let through a second later, with what was left out")
	}
}

func TestEncodedBodies(t *testing.T) {
	s := newStand(t)
	admin := s.person("admin", management.Admin)
	conf, err := pki.ClientTLS(s.ca, admin.tls)
	must(t, err)
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}}
	defer hc.CloseIdleConnections()
	for name, c := range map[string]struct {
		body   string
		header string
		want   api.Code
	}{
		"packed": {"\x1f\x8b", "gzip", api.CodeInvalid}, "two values": {`{"name":"x","role":"viewer"}{}`, "", api.CodeInvalid},
		"cut off": {`{"name":"x"`, "", api.CodeInvalid}, "deep": {strings.Repeat("[", 15000), "", api.CodeInvalid}, "empty": {"", "", api.CodeInvalid}, "null": {"null", "", api.CodeInvalid},
	} {
		req, err := http.NewRequest("POST", s.url+"/v1/users", bytes.NewReader([]byte(c.body)))
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+admin.token)
		if c.header != "" {
			req.Header.Set("Content-Encoding", c.header)
		}
		resp, err := hc.Do(req)
		must(t, err)
		data, err := io.ReadAll(resp.Body)
		must(t, err)
		must(t, resp.Body.Close())
		var e api.Error
		if err := json.Unmarshal(data, &e); err != nil || e.Code != c.want || resp.StatusCode != e.Status() {
			t.Errorf("%s: %s %s", name, resp.Status, data)
		}
	}
}

// Who goes away at once leaves an entry all the same.
func TestRefusedAndGone(t *testing.T) {
	s := newStand(t)
	s.cluster(s.person("admin", management.Admin)) // until it runs
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.server.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "https://mgmt/v1/clusters", nil))
	if got := s.audited()["GET /v1/clusters"]; len(got) != 1 || got[0] != string(api.CodeCertificateRequired) {
		t.Errorf("audited: %v", got)
	}
}
