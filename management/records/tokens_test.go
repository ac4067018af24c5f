// SPDX-License-Identifier: Apache-2.0

package records_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/store"
)

var memberToken = management.Token{Kind: management.MemberToken, Cluster: "paris", Member: "gw-a"}

func newToken(t testing.TB, r *records.Records, token management.Token) (string, management.Token) {
	t.Helper()
	text, made, err := r.NewToken(t.Context(), alice, token, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return text, made
}

func enrol(t testing.TB, r *records.Records, serial string) management.Certificate {
	t.Helper()
	text, _ := newToken(t, r, memberToken)
	cert, err := r.Enrol(t.Context(), gwA, text, management.MemberToken, issue(serial))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func identify(t testing.TB, r *records.Records, is error, serials ...string) {
	t.Helper()
	for _, serial := range serials {
		_, err := r.Identify(t.Context(), serial)
		want(t, err, is)
	}
}

func TestEnrolment(t *testing.T) {
	r, s, c := with(t)
	text, made := newToken(t, r, memberToken)
	for name, bad := range map[string]struct {
		text string
		kind management.TokenKind
		want error
	}{
		"nonsense":        {"x", management.MemberToken, management.ErrTokenUnknown},
		"another secret":  {text[:len(text)-2] + "AA", management.MemberToken, management.ErrTokenUnknown},
		"another id":      {strings.Replace(text, made.ID, "00000000ffff", 1), management.MemberToken, management.ErrTokenUnknown},
		"a person's":      {text, management.PersonEnrolment, management.ErrTokenUnknown},
		"again and again": {text, management.PersonToken, management.ErrTokenUnknown},
	} {
		_, err := r.Enrol(t.Context(), gwA, bad.text, bad.kind, issue("01"))
		t.Log(name)
		want(t, err, bad.want)
	}
	somebodyElse := func(token management.Token) (management.Certificate, error) {
		token.Member = "gw-b"
		return issue("01")(token)
	}
	_, err := r.Enrol(t.Context(), gwA, text, management.MemberToken, somebodyElse)
	want(t, err, management.ErrValue)

	cert, err := r.Enrol(t.Context(), gwA, text, management.MemberToken, issue("01"))
	if err != nil || cert.Member != "gw-a" || cert.By != "paris/gw-a" || cert.Issued != c.at.UnixNano() {
		t.Fatal(cert, err)
	}
	_, err = r.Enrol(t.Context(), gwA, text, management.MemberToken, issue("02"))
	want(t, err, management.ErrTokenUsed)
	identify(t, r, nil, "01")

	enrol(t, r, "03")
	identify(t, r, management.ErrRevoked, "01")
	identify(t, r, nil, "03")
	m, err := r.Member(t.Context(), "paris", "gw-a")
	if err != nil || m.Enrolled == 0 || !slices.Equal(m.Certificates, []string{"03"}) {
		t.Error(m, err)
	}

	// Nothing that is stored is the secret.
	secret := strings.SplitN(text, "_", 3)[2]
	var backup bytes.Buffer
	if err := s.Backup(t.Context(), &backup); err != nil || bytes.Contains(backup.Bytes(), []byte(secret)) || bytes.Contains(backup.Bytes(), []byte(secret[:20])) {
		t.Errorf("the secret is in the store, or %v", err)
	}
}

func TestTokensEnd(t *testing.T) {
	r, _, c := with(t)
	first, _ := newToken(t, r, memberToken)
	second, made := newToken(t, r, memberToken)
	_, err := r.Enrol(t.Context(), gwA, first, management.MemberToken, issue("01"))
	want(t, err, management.ErrTokenRevoked)
	if err := r.RevokeToken(t.Context(), alice, made.ID); err != nil {
		t.Fatal(err)
	}
	_, err = r.Enrol(t.Context(), gwA, second, management.MemberToken, issue("01"))
	want(t, err, management.ErrTokenRevoked)
	third, _ := newToken(t, r, memberToken)
	c.at = c.at.Add(time.Hour)
	_, err = r.Enrol(t.Context(), gwA, third, management.MemberToken, issue("01"))
	want(t, err, management.ErrTokenExpired)
	fourth, _ := newToken(t, r, memberToken)
	if err := r.RevokeMember(t.Context(), alice, "paris", "gw-a", "stolen"); err != nil {
		t.Fatal(err)
	}
	_, err = r.Enrol(t.Context(), gwA, fourth, management.MemberToken, issue("01"))
	want(t, err, management.ErrTokenRevoked)

	for name, bad := range map[string]struct {
		token management.Token
		ttl   time.Duration
		want  error
	}{
		"no life":    {memberToken, 0, management.ErrValue},
		"long":       {memberToken, records.MaxEnrolment + 1, management.ErrValue},
		"no kind":    {management.Token{User: "bob"}, time.Hour, management.ErrValue},
		"no member":  {management.Token{Kind: management.MemberToken, Cluster: "paris", Member: "gw-z"}, time.Hour, records.ErrMember},
		"no cluster": {management.Token{Kind: management.MemberToken, Cluster: "rome", Member: "gw-a"}, time.Hour, records.ErrNone},
		"no user":    {management.Token{Kind: management.PersonToken, User: "bob"}, time.Hour, records.ErrNone},
	} {
		_, _, err := r.NewToken(t.Context(), alice, bad.token, bad.ttl)
		t.Log(name)
		want(t, err, bad.want)
	}
	if _, _, err := records.New(nil, records.Options{Random: strings.NewReader("")}).NewToken(t.Context(), alice, memberToken, time.Hour); err == nil {
		t.Error("a token without randomness")
	}
}

func TestTokensOfABackup(t *testing.T) {
	r, _, _ := with(t)
	if _, err := r.AddUser(t.Context(), alice, "bob", management.Viewer); err != nil {
		t.Fatal(err)
	}
	once, _ := newToken(t, r, memberToken)
	person, _ := newToken(t, r, management.Token{Kind: management.PersonToken, User: "bob"})
	var backup bytes.Buffer
	if err := r.Backup(t.Context(), alice, &backup); err != nil {
		t.Fatal(err)
	}
	restored, _, _ := open(t)
	if err := restored.Restore(t.Context(), alice, &backup, "a"); err != nil {
		t.Fatal(err)
	}
	_, err := restored.Enrol(t.Context(), gwA, once, management.MemberToken, issue("01"))
	want(t, err, management.ErrTokenRevoked)
	if u, _, err := restored.PersonOf(t.Context(), person); err != nil || u.Name != "bob" {
		t.Error(u, err)
	}
	if cert := enrol(t, restored, "01"); cert.Serial != "01" {
		t.Error(cert)
	}
	if err := restored.Restore(t.Context(), alice, &bytes.Buffer{}, "a"); err == nil {
		t.Error("a restore over what is there")
	} else {
		want(t, err, store.ErrNotEmpty)
	}
}

func renewal(of, serial string) management.Certificate {
	return management.Certificate{Serial: serial, Kind: management.MemberCertificate, Cluster: "paris", Member: "gw-a", NotBefore: 1, NotAfter: 1 << 62, Renews: of}
}

func TestRenewal(t *testing.T) {
	r, _, _ := with(t)
	enrol(t, r, "01")
	for i := 1; i < 20; i++ {
		if err := r.AddCertificate(t.Context(), gwA, renewal(fmt.Sprintf("%02x", i), fmt.Sprintf("%02x", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	identify(t, r, management.ErrRevoked, "01", "12")
	identify(t, r, nil, "13", "14")
	// Two from the same one: what was made first is void.
	if err := r.AddCertificate(t.Context(), gwA, renewal("13", "ff")); err != nil {
		t.Fatal(err)
	}
	identify(t, r, management.ErrRevoked, "14")
	identify(t, r, nil, "13", "ff")

	for name, c := range map[string]struct {
		cert management.Certificate
		want error
	}{
		"of a revoked one": {renewal("14", "aa"), management.ErrRevoked},
		"of none":          {renewal("99", "aa"), records.ErrNone},
		"without a token":  {renewal("", "aa"), management.ErrValue},
		"the same serial":  {renewal("ff", "01"), records.ErrExists},
		"another's":        {func() management.Certificate { c := renewal("ff", "aa"); c.Member = "gw-b"; return c }(), management.ErrValue},
		"as a server": {func() management.Certificate {
			c := renewal("ff", "aa")
			c.Kind = management.ServerCertificate
			return c
		}(), management.ErrValue},
		"no serial":         {renewal("ff", "AA"), management.ErrValue},
		"ends first":        {func() management.Certificate { c := renewal("ff", "aa"); c.NotAfter = 1; return c }(), management.ErrValue},
		"a server's, alone": {management.Certificate{Serial: "5e", Kind: management.ServerCertificate, Host: "mgmt-a", NotAfter: 1}, nil},
	} {
		err := r.AddCertificate(t.Context(), gwA, c.cert)
		t.Log(name)
		want(t, err, c.want)
	}
	identify(t, r, nil, "ff", "5e")
	if err := r.Revoke(t.Context(), alice, "ff", "stolen"); err != nil {
		t.Fatal(err)
	}
	identify(t, r, management.ErrRevoked, "ff")
	want(t, r.Revoke(t.Context(), alice, "77", ""), records.ErrNone)
	want(t, r.RevokeMember(t.Context(), alice, "paris", "gw-b", ""), records.ErrNone)
	enrol(t, r, "21")
	smaller := paris
	smaller.Members = []string{"gw-b"}
	if _, err := r.ChangeCluster(t.Context(), alice, smaller); err != nil {
		t.Fatal(err)
	}
	identify(t, r, management.ErrRevoked, "21")
	if err := r.RevokeMember(t.Context(), alice, "paris", "gw-a", "gone"); err != nil {
		t.Error(err)
	}
	identify(t, r, management.ErrRevoked, "21")
}

func TestUsers(t *testing.T) {
	r, _, c := with(t)
	for _, u := range []struct {
		name string
		role management.Role
		want error
	}{{"root", management.Admin, nil}, {"bob", management.Operator, nil}, {"bob", management.Viewer, records.ErrExists}, {"a b", management.Viewer, management.ErrValue}, {"carl", 0, management.ErrValue}} {
		_, err := r.AddUser(t.Context(), alice, u.name, u.role)
		want(t, err, u.want)
	}
	want(t, r.RemoveUser(t.Context(), alice, "root"), records.ErrLastAdmin)
	_, err := r.ChangeUser(t.Context(), alice, "root", management.Operator)
	want(t, err, records.ErrLastAdmin)
	if u, err := r.User(t.Context(), "root"); err != nil || u.Role != management.Admin {
		t.Fatal(u, err)
	}

	grant, _ := newToken(t, r, management.Token{Kind: management.PersonEnrolment, User: "bob"})
	if _, err := r.Enrol(t.Context(), alice, grant, management.PersonEnrolment, issue("b0")); err != nil {
		t.Fatal(err)
	}
	for i := range 14 {
		newToken(t, r, management.Token{Kind: management.PersonToken, User: "bob"})
		cert := management.Certificate{Serial: fmt.Sprintf("b%x", i+1), Kind: management.PersonCertificate, User: "bob", NotAfter: c.at.Add(time.Hour).UnixNano()}
		if err := r.AddCertificate(t.Context(), alice, cert); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := newToken(t, r, management.Token{Kind: management.PersonToken, User: "bob"})
	newToken(t, r, management.Token{Kind: management.PersonToken, User: "bob"})
	_, _, err = r.NewToken(t.Context(), alice, management.Token{Kind: management.PersonToken, User: "bob"}, time.Hour)
	want(t, err, management.ErrValue)
	if u, _, err := r.PersonOf(t.Context(), text); err != nil || u.Role != management.Operator {
		t.Fatal(u, err)
	}
	if _, err := r.ChangeUser(t.Context(), alice, "bob", management.Admin); err != nil {
		t.Fatal(err)
	}
	if u, _, err := r.PersonOf(t.Context(), text); err != nil || u.Role != management.Admin {
		t.Fatal(u, err)
	}
	if err := r.RemoveUser(t.Context(), alice, "bob"); err != nil {
		t.Fatal(err)
	}
	_, _, err = r.PersonOf(t.Context(), text)
	want(t, err, management.ErrTokenRevoked)
	identify(t, r, management.ErrRevoked, "b0", "b1", "be")
	if _, err := r.AddUser(t.Context(), alice, "bob", management.Viewer); err != nil {
		t.Fatal(err)
	}
	_, _, err = r.PersonOf(t.Context(), text)
	want(t, err, management.ErrTokenRevoked)

	// What is over makes room.
	if _, err := r.AddUser(t.Context(), alice, "dora", management.Viewer); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		newToken(t, r, management.Token{Kind: management.PersonToken, User: "dora"})
		c.at = c.at.Add(10 * time.Minute)
	}
	all, err := r.Users(t.Context())
	if err != nil || len(all) != 3 || len(all[1].Tokens) > 16 {
		t.Error(all, err)
	}
}
