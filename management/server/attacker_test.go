// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
	"github.com/holdfast-project/holdfast/management/records"
)

// Who comes with a certificate that is over, or not yet good, is in the audit log: by name and serial, at the time that it was by the server's clock, with
// the reason. So is whom only the store knows to be refused.
func TestCertificatesThatEndAreAudited(t *testing.T) {
	s := newStand(t, func(o *Options) { o.Lives.Member = 2 * time.Hour }) // people's are for a day here
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	gw := s.enrol(admin, "gw-a")
	for _, c := range []struct {
		move         time.Duration
		who          *identity
		name         string
		method, path string
		want         api.Code
		why          string
	}{
		{time.Hour, gw, "edge/gw-a", "POST", "/v1/member/report", "", ""},
		{time.Hour + time.Minute, gw, "edge/gw-a", "POST", "/v1/member/report", api.CodeCertificateExpired, "expired"},
		{0, gw, "edge/gw-a", "POST", "/v1/member/renew", api.CodeCertificateExpired, "expired"}, // one that is over renews nothing
		{22 * time.Hour, admin, "admin", "GET", "/v1/users", api.CodeCertificateExpired, "expired"},
		{-24*time.Hour - 30*time.Minute, gw, "edge/gw-a", "POST", "/v1/member/report", api.CodeCertificateEarly, "not valid yet"},
	} {
		s.clock.move(c.move)
		before, err := s.records.AuditHead(t.Context())
		must(t, err)
		earliest := s.clock.now()
		if got := s.call(c.who, c.method, c.path, api.Report{Run: "1"}, nil); got != c.want {
			t.Errorf("%s after %v: %q, want %q", c.name, c.move, got, c.want)
		}
		log, err := s.records.AuditLog(t.Context(), before.Number, 10)
		must(t, err)
		log = slices.DeleteFunc(log, func(r records.Record) bool { return r.Event.Actor.Kind == management.ByServer }) // it renews its own
		if c.want == "" {
			if len(log) != 0 {
				t.Errorf("a report is an entry: %+v", log)
			}
			continue
		}
		if len(log) != 1 {
			t.Fatalf("%s after %v: %d entries", c.name, c.move, len(log))
		}
		e := log[0].Event
		if e.Action != "api.refused" || e.Outcome != management.Refused || e.Object != c.method+" "+c.path || e.Detail["error"] != string(c.want) ||
			e.Actor.Kind != management.ByNobody || e.Actor.Name != c.name || e.Actor.Serial != c.who.serial || e.Actor.Address != "127.0.0.1" {
			t.Errorf("%s after %v: %+v", c.name, c.move, e)
		}
		if !strings.Contains(e.Why, c.why) || !strings.Contains(e.Why, c.who.serial) {
			t.Errorf("%s after %v: why %q", c.name, c.move, e.Why)
		}
		if at := time.Unix(0, e.Time); at.Before(earliest) || at.After(s.clock.now()) {
			t.Errorf("%s after %v: the entry is of %v", c.name, c.move, at)
		}
	}
	_, err := s.records.VerifyAudit(t.Context())
	must(t, err)
}

// A member has what is its own cluster's, whatever it calls itself, or asks for.
func TestMembersOfAnotherCluster(t *testing.T) {
	s := newStand(t)
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	branch := strings.NewReplacer("id: 7", "id: 8", "name: edge", "name: branch").Replace(clusterYAML)
	if code := s.call(admin, "POST", "/v1/clusters", api.ClusterRequest{Config: branch}, nil); code != "" {
		t.Fatal(code)
	}
	s.members(admin)
	lines, err := s.install(admin, "installs", api.InstallRequest{File: "edge.nft", Ruleset: rulesetText})
	must(t, err)
	installed := lines[len(lines)-1].Install
	if installed == nil || installed.Phase != "confirmed" {
		t.Fatalf("%+v", installed)
	}
	p := installed.Policy
	// The same name as a member of edge, enrolled by a token for the other cluster.
	var granted api.TokenGranted
	if code := s.call(admin, "POST", "/v1/clusters/branch/members/gw-a/token", nil, &granted); code != "" {
		t.Fatal(code)
	}
	g, err := api.ParseGrant(granted.Grant)
	must(t, err)
	key, csr, err := pki.NewRequest(rand.Reader)
	must(t, err)
	var e api.Enrolment
	if code := s.call(nil, "POST", "/v1/enroll", api.EnrollRequest{Token: g.Token, CSR: string(csr)}, &e); code != "" || e.Cluster != "branch" {
		t.Fatal(code, e.Cluster)
	}
	pair, err := tls.X509KeyPair([]byte(e.Certificate), key)
	must(t, err)
	stranger := &identity{tls: &pair, serial: e.Serial}
	path := fmt.Sprintf("/v1/member/policies/%d/%s", p.Generation, p.Digest)
	if code := s.call(stranger, "GET", path, nil, nil); code != api.CodeNotFound {
		t.Errorf("another cluster's policy: %q", code)
	}
	// A report that says that it takes part in the other cluster's install is its own cluster's matter.
	var o api.Orders
	report := api.Report{Run: "1", Attempt: api.AttemptState{Number: installed.Number, Policy: p, State: "refused", Why: "I do not want it"}}
	if code := s.call(stranger, "POST", "/v1/member/report", report, &o); code != "" || !o.Current.None() || o.Attempt != nil {
		t.Errorf("%q, %+v", code, o)
	}
	var now api.Install
	if code := s.call(admin, "GET", fmt.Sprintf("/v1/clusters/edge/installs/%d", installed.Number), nil, &now); code != "" || now.Phase != "confirmed" {
		t.Errorf("%q, %+v", code, now)
	}
	for _, m := range now.Members {
		if m.State != "confirmed" {
			t.Errorf("%+v", m)
		}
	}
}

// raw sends text over a connection of its own and returns the statuses of the answers, at most two, and what they say.
func (s *stand) raw(who *identity, text string) (answers []int, bodies []string) {
	s.t.Helper()
	var own *tls.Certificate
	if who != nil {
		own = who.tls
	}
	conf, err := pki.ClientTLS(s.ca, own)
	must(s.t, err)
	conf.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), conf)
	must(s.t, err)
	defer conn.Close()
	must(s.t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(conn, text)
	must(s.t, err)
	in := bufio.NewReader(conn)
	for range 2 {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return answers, bodies
		}
		body, err := io.ReadAll(resp.Body)
		must(s.t, errors.Join(err, resp.Body.Close()))
		answers, bodies = append(answers, resp.StatusCode), append(bodies, string(body))
		if resp.Close {
			return answers, bodies
		}
	}
	return answers, bodies
}

// What a proxy and a server could read as two different requests is none, and names in paths are names, whatever they look like.
func TestSmuggling(t *testing.T) {
	s := newStand(t)
	admin, viewer := s.person("admin", management.Admin), s.person("viv", management.Viewer)
	s.cluster(admin)
	gw := s.enrol(admin, "gw-a")
	body := `{"name":"mallory","role":"admin"}`
	hidden := "POST /v1/users HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer " + admin.token + "\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body
	bearer := func(i *identity) string { return "Authorization: Bearer " + i.token + "\r\n" }
	get := func(path, more string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: m\r\n" + more + "Connection: close\r\n\r\n"
	}
	for _, c := range []struct {
		name string
		who  *identity
		text string
		want []int
	}{
		{"two lengths", gw, "POST /v1/member/report HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\nContent-Length: 300\r\n\r\n{}" + hidden, []int{400}},
		{"a negative length", gw, "POST /v1/member/report HTTP/1.1\r\nHost: m\r\nContent-Length: -1\r\n\r\n" + hidden, []int{400}},
		{"chunks of another kind", gw, "POST /v1/member/report HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: xchunked\r\n\r\n" + hidden, []int{501}},
		{"a member's request behind its report", gw, "POST /v1/member/report HTTP/1.1\r\nHost: m\r\nContent-Length: 11\r\n\r\n{\"run\":\"1\"}" + hidden, []int{200, 403}},
		{"two hosts", gw, "GET /v1/self HTTP/1.1\r\nHost: m\r\nHost: n\r\n\r\n", []int{400}},
		{"a name with a space", gw, "GET /v1/self HTTP/1.1\r\nHost: m\r\nX : y\r\n\r\n", []int{400}},
		{"the administrator's token second", viewer, get("/v1/backup", bearer(viewer)+bearer(admin)), []int{403}},
		{"the administrator's token first", viewer, get("/v1/backup", bearer(admin)+bearer(viewer)), []int{401}},
		{"who it says to be", viewer, get("/v1/backup", bearer(viewer)+"X-Forwarded-User: admin\r\nX-Client-Cert: admin\r\n"), []int{403}},
		{"another method than it says", viewer, strings.Replace(get("/v1/users/viv", bearer(viewer)+"X-HTTP-Method-Override: DELETE\r\n"), "GET", "PUT", 1), []int{403}},
		{"up", viewer, get("/v1/clusters/..%2f..%2fbackup", bearer(viewer)), []int{404}},
		{"up, twice encoded", viewer, get("/v1/clusters/%252e%252e%252fbackup", bearer(viewer)), []int{404}},
		{"another key of the store", viewer, get("/v1/clusters/edge%2fpolicies", bearer(viewer)), []int{404}},
		{"the end of a string", viewer, get("/v1/clusters/edge%00", bearer(viewer)), []int{400}},
		{"a member of another", viewer, get("/v1/clusters/edge/members/..%2f..%2fother%2fgw-a", bearer(viewer)), []int{404}},
		{"headers without end", nil, "GET /v1/health HTTP/1.1\r\nHost: m\r\nX: " + strings.Repeat("x", 4*maxHeader) + "\r\n\r\n", []int{431}},
	} {
		got, bodies := s.raw(c.who, c.text)
		for i, status := range got {
			e := api.Error{}
			if status == http.StatusInternalServerError || json.Unmarshal([]byte(bodies[i]), &e) == nil && e.Code == api.CodeInternal {
				t.Errorf("%s: %s", c.name, bodies[i])
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v: %q", c.name, got, c.want, bodies)
		}
	}
	users, err := s.records.Users(context.Background())
	must(t, err)
	if len(users) != 2 {
		t.Errorf("users: %+v", users)
	}
}

// Who has one good certificate after another comes no further by trying tokens, and what a wrong one is refused for says nothing of it.
func TestTokensTried(t *testing.T) {
	s := newStand(t)
	admin := s.person("admin", management.Admin)
	parts := strings.SplitN(admin.token, "_", 3)
	var told []string
	for _, token := range []string{
		parts[0] + "_" + parts[1] + "_" + strings.Repeat("A", len(parts[2])),  // the right number, a wrong secret
		parts[0] + "_" + "000000000000" + "_" + parts[2],                      // the right secret of no number
		parts[0] + "_" + parts[1] + "_" + parts[2][:len(parts[2])-1] + "_",    // all but the end
		parts[0] + "_" + strings.ToUpper(parts[1]) + "_" + parts[2],           // nearly
		parts[0] + "_" + parts[1] + "_" + parts[2] + strings.Repeat("=", 100), // more
		parts[0] + "_" + parts[1] + "/../" + parts[1] + "_" + parts[2],        // another key
		parts[0] + "_" + parts[1][:10] + "\x00\x00" + "_" + parts[2],          // no key
	} {
		tried := &identity{tls: admin.tls, token: strings.ReplaceAll(token, "\x00", "%00")}
		err := s.client(tried).Call(t.Context(), "GET", "/v1/users", nil, nil)
		e := asError(err)
		if e == nil || e.Code != api.CodeTokenUnknown || strings.Contains(e.What, parts[2][:8]) {
			t.Errorf("%q: %v", token, err)
			continue
		}
		told = append(told, e.What)
	}
	if len(told) > 1 && told[0] != told[1] {
		t.Errorf("a wrong secret and a wrong number are told apart: %q, %q", told[0], told[1])
	}
}
