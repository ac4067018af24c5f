// SPDX-License-Identifier: Apache-2.0

package server

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
)

// access is whom a route is for.
type access uint8

const (
	nobody  access = iota // no certificate is asked for
	members               // a member's certificate
	persons               // a person's certificate, and a token of the same person
	anybody               // a certificate of any of them
)

// address is where the client is, without the port.
func (c *call) address() string {
	host, _, err := net.SplitHostPort(c.r.RemoteAddr)
	if err != nil {
		return c.r.RemoteAddr
	}
	return host
}

// identify finds out who asks. c.actor says as much as was found, also when it fails.
func (c *call) identify() error {
	c.actor = management.Actor{Kind: management.ByNobody, Address: c.address()}
	if c.route.access == nobody {
		return nil
	}
	var chain []*x509.Certificate
	if c.r.TLS != nil {
		chain = c.r.TLS.PeerCertificates
	}
	shown, err := c.whose(chain)
	if err != nil {
		return err
	}
	c.actor.Name, c.actor.Serial = shown.Name(), shown.Serial
	if err := shown.At(c.server.o.Now()); err != nil {
		return err
	}
	if _, err := c.server.known.certificate(c.context(), shown.Serial); err != nil {
		return certificateError(shown, err)
	}
	c.who = shown
	c.actor.Kind = management.ByMember
	if shown.Kind == management.PersonCertificate {
		c.actor.Kind = management.ByPerson
	}
	switch {
	case c.route.access == members && shown.Kind != management.MemberCertificate:
		return forbidden("this is for members, and the certificate is a person's", "members enrol with \"holdfast enroll\"")
	case c.route.access == persons && shown.Kind != management.PersonCertificate:
		return forbidden("this is for people, and the certificate is a member's", "use holdfast-mgmt with a person's profile")
	case shown.Kind == management.MemberCertificate:
		return nil
	}
	return c.person()
}

// whose says whose a certificate is, once a connection: the handshake's stays that of the connection.
func (c *call) whose(chain []*x509.Certificate) (pki.Shown, error) {
	conn := c.connection()
	if conn == nil {
		return c.server.known.whose(chain)
	}
	if shown := conn.whose.Load(); shown != nil {
		return *shown, nil
	}
	shown, err := c.server.known.whose(chain)
	if err == nil {
		conn.whose.Store(&shown)
	}
	return shown, err
}

// person looks at the token, which is to be of the person whom the certificate names.
func (c *call) person() error {
	text, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return &api.Error{Code: api.CodeTokenRequired, What: "a person shows a token beside the certificate",
			WayOut: "send the header Authorization: Bearer TOKEN"}
	}
	u, _, err := c.server.o.Records.PersonOf(c.context(), text)
	if err != nil {
		return err
	}
	if u.Name != c.who.User {
		return &api.Error{Code: api.CodeTokenUnknown, What: fmt.Sprintf("the token is not that of %s, whose the certificate is", c.who.User),
			WayOut: "use both of one profile"}
	}
	c.role = u.Role
	if !u.Role.Includes(c.route.role) {
		return forbidden(fmt.Sprintf("%s %s needs the role %s, and %s is %s", c.r.Method, c.r.URL.Path, c.route.role, u.Name, u.Role),
			"ask an administrator")
	}
	return nil
}

// certificateError says why a certificate of ours is not good.
func certificateError(s pki.Shown, err error) error {
	if errors.Is(err, errNone) {
		return &api.Error{Code: api.CodeCertificateUnknown, What: fmt.Sprintf("certificate %s of %s: management did not issue it, or was restored from a backup that is older", s.Serial, s.Name()),
			WayOut: "enrol again"}
	}
	return err
}

// limited takes one request of the client's rate.
func (c *call) limited() error {
	var b *buckets
	var key string
	switch c.who.Kind {
	case management.MemberCertificate:
		b, key = c.server.limits.members, c.who.Serial
	case management.PersonCertificate:
		b, key = c.server.limits.persons, c.who.User
	default:
		b, key = c.server.limits.unknown, network(c.address())
	}
	if ok, _ := b.take(key); !ok {
		return &api.Error{Code: api.CodeTooMany, What: fmt.Sprintf("more than %g requests a second of %s", b.rate.perSecond, key), WayOut: "wait, and ask less often"}
	}
	return nil
}
