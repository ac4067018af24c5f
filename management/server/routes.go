// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/policy"
)

// route is one operation of the API.
type route struct {
	method, path string
	access       access
	role         management.Role // that a person needs
	most         int64           // bytes of the body; 0: it has none
	heavy        bool            // it takes much memory or processor: few at a time, one of a person
	large        bool            // it answers with a whole file or list: few at a time of one client
	within       time.Duration   // to send the request, and until the answer begins; 0: 30 s
	status       int             // of success; 0: 200
	serve        func(*call) (any, error)
}

const (
	tiny   = 4 << 10 // a body that a place is made for before it came
	small  = 16 << 10
	medium = 1 << 20

	inTime     = 30 * time.Second
	inLongTime = 10 * time.Minute
)

// table is the whole API. openapi.yaml describes each route.
var table = []route{
	{method: "POST", path: "/v1/enroll", access: nobody, most: small, serve: (*call).enroll},
	{method: "GET", path: "/v1/health", access: nobody, serve: (*call).health},

	{method: "POST", path: "/v1/member/report", access: members, most: api.MaxReport, serve: (*call).report},
	{method: "GET", path: "/v1/member/policies/{generation}/{digest}", access: members, within: inLongTime, large: true, serve: (*call).memberPolicy},
	{method: "POST", path: "/v1/member/renew", access: members, most: small, serve: (*call).renew},

	{method: "GET", path: "/v1/openapi.yaml", access: anybody, role: management.Viewer, serve: (*call).document},
	{method: "GET", path: "/v1/self", access: anybody, role: management.Viewer, serve: (*call).self},
	{method: "POST", path: "/v1/renew", access: persons, role: management.Viewer, most: small, serve: (*call).renew},

	{method: "GET", path: "/v1/clusters", access: persons, role: management.Viewer, large: true, serve: (*call).clusters},
	{method: "POST", path: "/v1/clusters", access: persons, role: management.Admin, most: medium, status: 201, serve: (*call).addCluster},
	{method: "GET", path: "/v1/clusters/{cluster}", access: persons, role: management.Viewer, serve: (*call).cluster},
	{method: "PUT", path: "/v1/clusters/{cluster}", access: persons, role: management.Admin, most: medium, serve: (*call).changeCluster},
	{method: "POST", path: "/v1/clusters/{cluster}/numbers", access: persons, role: management.Admin, most: small, serve: (*call).numbers},

	{method: "GET", path: "/v1/clusters/{cluster}/members", access: persons, role: management.Viewer, large: true, serve: (*call).members},
	{method: "GET", path: "/v1/clusters/{cluster}/members/{member}", access: persons, role: management.Viewer, serve: (*call).member},
	{method: "POST", path: "/v1/clusters/{cluster}/members/{member}/token", access: persons, role: management.Operator, most: small, status: 201, serve: (*call).memberToken},
	{method: "POST", path: "/v1/clusters/{cluster}/members/{member}/revoke", access: persons, role: management.Admin, most: small, serve: (*call).revokeMember},

	{method: "GET", path: "/v1/clusters/{cluster}/policies", access: persons, role: management.Viewer, large: true, serve: (*call).policies},
	{method: "GET", path: "/v1/clusters/{cluster}/policies/{generation}", access: persons, role: management.Viewer, within: inLongTime, large: true, serve: (*call).policy},
	{method: "GET", path: "/v1/clusters/{cluster}/policies/{generation}/file", access: persons, role: management.Viewer, within: inLongTime, large: true, serve: (*call).policyFile},
	{method: "GET", path: "/v1/clusters/{cluster}/diff", access: persons, role: management.Viewer, heavy: true, within: inLongTime, serve: (*call).diff},

	{method: "POST", path: "/v1/clusters/{cluster}/installs", access: persons, role: management.Operator, most: api.MaxInstall, heavy: true, within: inLongTime, serve: (*call).install},
	{method: "POST", path: "/v1/clusters/{cluster}/rollback", access: persons, role: management.Operator, most: small, heavy: true, within: inLongTime, serve: (*call).rollback},
	{method: "GET", path: "/v1/clusters/{cluster}/installs", access: persons, role: management.Viewer, large: true, serve: (*call).installs},
	{method: "GET", path: "/v1/clusters/{cluster}/installs/{number}", access: persons, role: management.Viewer, within: inLongTime, serve: (*call).oneInstall},
	{method: "POST", path: "/v1/clusters/{cluster}/confirm", access: persons, role: management.Operator, most: small, serve: (*call).confirm},
	{method: "POST", path: "/v1/clusters/{cluster}/cancel", access: persons, role: management.Operator, most: small, serve: (*call).cancel},

	{method: "GET", path: "/v1/users", access: persons, role: management.Viewer, large: true, serve: (*call).users},
	{method: "POST", path: "/v1/users", access: persons, role: management.Admin, most: small, status: 201, serve: (*call).addUser},
	{method: "PUT", path: "/v1/users/{user}", access: persons, role: management.Admin, most: small, serve: (*call).changeUser},
	{method: "DELETE", path: "/v1/users/{user}", access: persons, role: management.Admin, serve: (*call).removeUser},
	{method: "POST", path: "/v1/users/{user}/token", access: persons, role: management.Admin, most: small, status: 201, serve: (*call).userToken},

	{method: "GET", path: "/v1/tokens", access: persons, role: management.Viewer, large: true, serve: (*call).tokens},
	{method: "DELETE", path: "/v1/tokens/{id}", access: persons, role: management.Operator, serve: (*call).revokeToken},
	{method: "GET", path: "/v1/certificates", access: persons, role: management.Viewer, large: true, serve: (*call).certificates},
	{method: "POST", path: "/v1/certificates/{serial}/revoke", access: persons, role: management.Admin, most: small, serve: (*call).revokeCertificate},

	{method: "GET", path: "/v1/audit", access: persons, role: management.Viewer, large: true, serve: (*call).audit},
	{method: "GET", path: "/v1/audit/verify", access: persons, role: management.Viewer, heavy: true, within: inLongTime, serve: (*call).verifyAudit},
	{method: "GET", path: "/v1/backup", access: persons, role: management.Admin, heavy: true, within: inLongTime, serve: (*call).backup},
	{method: "GET", path: "/metrics", access: persons, role: management.Viewer, serve: (*call).metrics},
}

// routes makes the multiplexer of the table. What no route has is answered with a typed error as well.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for i := range table {
		r := &table[i]
		methods[r.path] = append(methods[r.path], r.method)
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, q *http.Request) { s.handle(r, w, q) })
	}
	for path, allowed := range methods {
		mux.HandleFunc(path, func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			s.handle(&route{path: path, access: anybody, role: management.Viewer, serve: func(*call) (any, error) {
				return nil, &api.Error{Code: api.CodeMethod, What: fmt.Sprintf("%.20s is nothing that %s does", q.Method, path), WayOut: "use " + strings.Join(allowed, " or ")}
			}}, w, q)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		s.handle(&route{path: "other", access: anybody, role: management.Viewer, serve: func(*call) (any, error) {
			return nil, &api.Error{Code: api.CodeNotFound, What: fmt.Sprintf("there is no %.100q", q.URL.Path), WayOut: "see /v1/openapi.yaml"}
		}}, w, q)
	})
	return mux
}

// ServeHTTP implements http.Handler. The request's TLS state says who asks.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// handle does what all routes have in common.
func (s *Server) handle(rt *route, w http.ResponseWriter, r *http.Request) {
	c := &call{server: s, w: w, r: r, route: rt, light: func() {}, shared: func() {}}
	defer c.done() // with what is sent: it takes memory until then
	began := s.o.Now()
	var v any
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				s.o.Log.Error("a request made the server fail", "method", r.Method, "path", rt.path, "panic", p, "stack", string(debug.Stack()))
				err = &api.Error{Code: api.CodeInternal, What: "a fault of the server", WayOut: "its log says more"}
			}
		}()
		c.deadlines(max(rt.within, inTime))
		err = c.identify()
		c.met()
		if limited := c.limited(); limited != nil {
			return limited
		}
		if err != nil {
			return err
		}
		if err := c.admit(); err != nil {
			return err
		}
		if v, err = rt.serve(c); err != nil {
			return err
		}
		if s, ok := v.(streamed); ok && s.then != nil {
			s.then()
		}
		return nil
	}()
	code := api.Code("")
	if err != nil {
		e := s.explain(err)
		code = e.Code
		s.refused(c, e)
		c.answer(e.Status(), e)
	} else {
		switch v := v.(type) {
		case streamed:
		case file:
			c.send(http.StatusOK, v.kind, int64(len(v.data)), bytes.NewReader(v.data))
		case stored:
			c.send(http.StatusOK, v.kind, v.size, v.file)
		default:
			c.answer(max(rt.status, http.StatusOK), v)
		}
	}
	s.measured.request(rt, code, s.o.Now().Sub(began))
}

// auditWithin bounds how long a refusal's answer waits for its entry.
const auditWithin = 5 * time.Second

// refused writes down what strangers tried, and what people and members tried to change in vain. A rate bounds what one of them can fill the log
// with; what is left out is counted in the next entry.
func (s *Server) refused(c *call, e *api.Error) {
	switch e.Code {
	case api.CodeUnavailable, api.CodeInternal, api.CodeTooMany, api.CodeInstallRunning:
		return
	case api.CodeNotFound, api.CodeInvalid, api.CodeMethod:
		if c.r.Method == http.MethodGet && c.who.Serial != "" {
			return
		}
	}
	key := network(c.actor.Address)
	ok, before := s.limits.audited.take(key)
	if !ok {
		return
	}
	if c.who.Serial == "" {
		ok, others := s.limits.strangers.take("all")
		if !ok {
			return
		}
		before += others
	}
	event := management.Event{
		Time: s.o.Now().UnixNano(), Actor: c.actor, Action: "api.refused", Cluster: c.r.PathValue("cluster"), Object: c.r.Method + " " + c.r.URL.Path,
		Outcome: management.Refused, Why: e.What, Detail: map[string]string{"error": string(e.Code)},
	}
	if before > 0 {
		event.Detail["left_out_before"] = fmt.Sprint(before)
	}
	// A client that goes away leaves its entry as well.
	ctx, cancel := c.lasting(auditWithin)
	defer cancel()
	if err := s.o.Records.Refuse(ctx, event); err != nil {
		s.o.Log.Error("a refusal cannot be audited", "error", err, "what", e.What, "actor", c.actor.String(), "address", c.actor.Address)
	}
}

// digest reads the part of a path.
func (c *call) digest() (policy.Digest, error) {
	d, err := policy.ParseDigest(c.path("digest"))
	if err != nil {
		return d, invalid("digest: "+err.Error(), "write its 64 hexadecimal digits")
	}
	return d, nil
}
