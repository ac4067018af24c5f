// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
)

// FuzzRequests sends requests of anybody to any path: the server never fails, refuses with a typed error, and changes nothing for those who may not.
func FuzzRequests(f *testing.F) {
	methods := []string{"GET", "POST", "PUT", "DELETE"}
	for i, r := range table {
		path := strings.NewReplacer("{cluster}", "edge", "{member}", "gw-a", "{generation}", "1", "{number}", "1", "{user}", "viv", "{digest}", strings.Repeat("0", 64)).Replace(r.path)
		for who := range uint8(4) {
			for m, method := range methods {
				if method == r.method {
					f.Add(who, uint8(m), path, `{"name":"x","role":"admin","ruleset":"table ip t {}","run":"1","for_ms":1}`)
				}
			}
		}
		f.Add(uint8(i), uint8(1), path+"/../x?after=-1&anchor=1:2", `{"attempt":{"number":18446744073709551615},"peers":[{},{}]}`)
	}
	s := newStand(f)
	s.server.limits.members, s.server.limits.persons, s.server.limits.unknown = endless(), endless(), endless()
	admin, viewer := s.person("admin", management.Admin), s.person("viv", management.Viewer)
	s.cluster(admin)
	all := []*identity{nil, viewer, s.enrol(admin, "gw-a"), admin}
	f.Fuzz(func(t *testing.T, who, method uint8, path, body string) {
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		if _, err := url.ParseRequestURI(path); err != nil || strings.ContainsAny(path, " \r\n") {
			return // no client can send it
		}
		i := all[int(who)%len(all)]
		before := s.fingerprint(t)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // an install would wait for members that are not there
		defer cancel()
		req := httptest.NewRequestWithContext(ctx, methods[int(method)%len(methods)], path, strings.NewReader(body))
		req.TLS = &tls.ConnectionState{}
		if i != nil {
			leaf, err := x509.ParseCertificate(i.tls.Certificate[0])
			must(t, err)
			req.TLS.PeerCertificates = []*x509.Certificate{leaf}
			req.Header.Set("Authorization", "Bearer "+i.token)
		}
		rec := httptest.NewRecorder()
		s.server.ServeHTTP(rec, req)
		if rec.Code >= 400 {
			var e api.Error
			if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil || e.Code == "" || e.Status() != rec.Code || e.Code == api.CodeInternal {
				t.Errorf("%s %s: %d %s", req.Method, path, rec.Code, rec.Body)
			}
		}
		if i != admin && before != s.fingerprint(t) {
			t.Errorf("%s %s of %v changed something: %d %s", req.Method, path, who, rec.Code, rec.Body)
		}
		if i == admin { // it may take everything away
			s.repair(t)
		}
	})
}

func endless() *buckets { return newBuckets(rate{perSecond: 1e9, burst: 1e9}, time.Now) }

// fingerprint is what only people with a role may change.
func (s *stand) fingerprint(t *testing.T) string {
	t.Helper()
	users, err := s.records.Users(t.Context())
	must(t, err)
	clusters, err := s.records.Clusters(t.Context())
	must(t, err)
	tokens, err := s.records.Tokens(t.Context())
	must(t, err)
	text := fmt.Sprint(users, tokens)
	for _, c := range clusters {
		text += fmt.Sprint(c.Name, c.ID, c.Members, string(c.Config), c.Current, c.Attempt)
	}
	return text
}

// repair gives back what an administrator's request may have taken from those who ask next.
func (s *stand) repair(t *testing.T) {
	t.Helper()
	ctx, by := context.Background(), management.Actor{Kind: management.ByHost}
	if _, err := s.records.User(ctx, "viv"); err != nil {
		_, err := s.records.AddUser(ctx, by, "viv", management.Viewer)
		must(t, err)
	}
	if u, err := s.records.User(ctx, "viv"); err == nil && u.Role != management.Viewer {
		_, err := s.records.ChangeUser(ctx, by, "viv", management.Viewer)
		must(t, err)
	}
}
