// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
)

// report takes a member's report and answers with its orders, when there are new ones or its time is over.
func (c *call) report() (any, error) {
	r, err := c.said()
	if err != nil {
		return nil, err
	}
	o, err := c.server.o.Coordinator.Report(c.context(), c.who.Cluster, c.who.Member, r)
	if err != nil {
		return nil, err
	}
	return c.ordered(o)
}

// ordered is an answer as it is sent, and the orders in it.
type ordered struct {
	orders api.Orders
	body   []byte
}

// ordered writes orders, unless the answer before, over the same connection, had the same ones.
func (c *call) ordered(o api.Orders) (any, error) {
	conn := c.connection()
	if conn != nil {
		if last := conn.ordered.Load(); last != nil && last.orders.Same(o) {
			return file{"application/json", last.body}, nil
		}
	}
	body, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	body = append(body, '\n')
	if conn != nil {
		conn.ordered.Store(&ordered{o, body})
	}
	return file{"application/json", body}, nil
}

// said is a report as it came, byte for byte, and what it says.
type said struct {
	body   []byte
	report api.Report
}

// said reads a report. Most say what the one before said, over the same connection: they are compared, and not read again.
func (c *call) said() (api.Report, error) {
	if err := c.read(); err != nil {
		return api.Report{}, err
	}
	conn := c.connection()
	if conn != nil {
		if last := conn.said.Load(); last != nil && bytes.Equal(last.body, c.raw) {
			return last.report, nil
		}
	}
	news := &said{body: c.raw}
	if err := c.body(&news.report); err != nil {
		return api.Report{}, err
	}
	if err := checkReport(&news.report); err != nil {
		return api.Report{}, err
	}
	if conn != nil && len(news.body) <= tiny {
		conn.said.Store(news)
	}
	return news.report, nil
}

// checkReport bounds what a member can make the server remember and show.
func checkReport(r *api.Report) error {
	for _, f := range [...]struct{ name, text string }{{"run", r.Run}, {"state", r.State}, {"version", r.Version}, {"config_digest", r.ConfigDigest},
		{"policy_status", r.PolicyStatus}, {"attempt.state", r.Attempt.State}} {
		if len(f.text) > api.MaxRunSize || !printable(f.text) {
			return invalid(fmt.Sprintf("%s of %d bytes", f.name, len(f.text)), fmt.Sprintf("at most %d printable bytes", api.MaxRunSize))
		}
	}
	long := []*string{&r.PolicyReason, &r.Drift, &r.Attempt.Why}
	if len(r.Peers) > api.MaxPeers {
		return invalid(fmt.Sprintf("%d peers", len(r.Peers)), fmt.Sprintf("at most %d", api.MaxPeers))
	}
	for _, p := range r.Peers {
		if len(p.Name) > api.MaxRunSize || !printable(p.Name) {
			return invalid("the name of a peer", fmt.Sprintf("at most %d printable bytes", api.MaxRunSize))
		}
	}
	for _, text := range long {
		if len(*text) > api.MaxWhy || !utf8.ValidString(*text) {
			return invalid(fmt.Sprintf("a text of %d bytes", len(*text)), fmt.Sprintf("at most %d bytes of UTF-8", api.MaxWhy))
		}
	}
	return nil
}

func printable(s string) bool {
	for _, b := range []byte(s) {
		if b < ' ' || b > '~' {
			return false
		}
	}
	return true
}

// memberPolicy gives a member a file of its own cluster.
func (c *call) memberPolicy() (any, error) {
	generation, err := c.number("generation")
	if err != nil {
		return nil, err
	}
	digest, err := c.digest()
	if err != nil {
		return nil, err
	}
	p, data, err := c.sharedPolicy(c.who.Cluster, generation)
	if err != nil {
		return nil, err
	}
	if p.Digest != digest {
		return nil, &api.Error{Code: api.CodeNotFound, What: fmt.Sprintf("generation %d of cluster %s has the digest %s here, not %s", generation, c.who.Cluster, p.Digest.Short(), digest.Short()),
			WayOut: "ask for what the orders name"}
	}
	return file{policyType, data}, nil
}

const policyType = "application/vnd.holdfast.policy"

// enroll gives a certificate for a one-time token, to a member or a person: the token says which.
func (c *call) enroll() (any, error) {
	var q api.EnrollRequest
	if err := c.body(&q); err != nil {
		return nil, err
	}
	key, err := pki.ParseRequest([]byte(q.CSR)) // before the token is used: a bad request does not cost it
	if err != nil {
		return nil, err
	}
	o := c.server.o
	var e api.Enrolment
	issue := func(t management.Token) (management.Certificate, error) {
		if err := meant(q, t); err != nil {
			return management.Certificate{}, err
		}
		whose, life := pki.Identity{Kind: management.MemberCertificate, Cluster: t.Cluster, Member: t.Member}, o.Lives.Member
		if t.Kind == management.PersonEnrolment {
			whose, life = pki.Identity{Kind: management.PersonCertificate, User: t.User}, o.Lives.Person
		}
		der, shown, err := o.Authority.Issue(o.Random, key, whose, nil, o.Now(), life)
		e = c.enrolment(der, shown)
		return shown.Record(), err
	}
	kind := management.MemberToken
	cert, err := o.Records.Enrol(c.context(), c.actor, q.Token, kind, issue)
	if errors.Is(err, management.ErrTokenUnknown) {
		kind = management.PersonEnrolment
		cert, err = o.Records.Enrol(c.context(), c.actor, q.Token, kind, issue)
	}
	if err != nil {
		return nil, err
	}
	if kind == management.MemberToken {
		return c.completeMember(e)
	}
	u, err := o.Records.User(c.context(), cert.User)
	if err != nil {
		return nil, err
	}
	e.Role = u.Role.String()
	by := management.Actor{Kind: management.ByPerson, Name: cert.User, Address: c.actor.Address, Serial: cert.Serial}
	e.Token, _, err = o.Records.NewToken(c.context(), by, management.Token{Kind: management.PersonToken, User: cert.User}, o.Lives.Person)
	return e, err
}

// meant refuses a token that is for somebody else than the client thinks: used by mistake it would cost whom it is for the certificates that there are.
func meant(q api.EnrollRequest, t management.Token) error {
	kind, whom := api.EnrollMember, t.Cluster+"/"+t.Member
	if t.Kind == management.PersonEnrolment {
		kind, whom = api.EnrollPerson, t.User
	}
	if (q.Kind == "" || q.Kind == kind) && (q.For == "" || q.For == whom) {
		return nil
	}
	return &api.Error{Code: api.CodeRefused, What: fmt.Sprintf("the token is for the %s %s", kind, whom),
		WayOut: "use it there, it has not been used; or ask for another one: \"holdfast enroll\" takes those of \"member token\", \"holdfast-mgmt login\" those of \"user token\""}
}

func (c *call) enrolment(der []byte, s pki.Shown) api.Enrolment {
	return api.Enrolment{
		Certificate: string(pki.EncodeCertificate(der)), CA: string(pki.EncodeCertificate(c.server.o.Authority.Certificate())),
		Serial: s.Serial, NotAfter: s.NotAfter.UTC(), RenewAfter: s.RenewAfter().UTC(), Cluster: s.Cluster, Member: s.Member, User: s.User,
	}
}

// completeMember adds what a member has to know besides.
func (c *call) completeMember(e api.Enrolment) (any, error) {
	cluster, err := c.server.o.Records.Cluster(c.context(), e.Cluster)
	if err != nil {
		return nil, err
	}
	e.ClusterID, e.PolicyKeys = cluster.ID, string(c.server.o.PolicyKeys)
	return e, nil
}

// renew gives whoever has a good certificate another one for the same name. A person is given another token as well.
func (c *call) renew() (any, error) {
	var q api.RenewRequest
	if err := c.body(&q); err != nil {
		return nil, err
	}
	key, err := pki.ParseRequest([]byte(q.CSR))
	if err != nil {
		return nil, err
	}
	o := c.server.o
	life := o.Lives.Member
	if c.who.Kind == management.MemberCertificate {
		if ok, _ := c.server.limits.renewals.take(c.who.Name()); !ok {
			return nil, &api.Error{Code: api.CodeTooMany, What: c.who.Name() + " has just renewed its certificate", WayOut: "wait a minute"}
		}
	}
	if c.who.Kind == management.PersonCertificate {
		life = o.Lives.Person
	}
	der, shown, err := o.Authority.Issue(o.Random, key, c.who.Identity, nil, o.Now(), life)
	if err != nil {
		return nil, err
	}
	record := shown.Record()
	record.Renews = c.who.Serial
	if err := o.Records.AddCertificate(c.context(), c.actor, record); err != nil {
		return nil, err
	}
	e := c.enrolment(der, shown)
	if c.who.Kind == management.MemberCertificate {
		return c.completeMember(e)
	}
	e.Role = c.role.String()
	e.Token, _, err = o.Records.NewToken(c.context(), c.actor, management.Token{Kind: management.PersonToken, User: c.who.User}, o.Lives.Person)
	return e, err
}

// offer is a reference as the API shows it.
func offer(r management.Ref) api.Offer {
	return api.Offer{Generation: r.Generation, Digest: r.Digest}
}
