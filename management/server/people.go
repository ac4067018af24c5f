// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
)

// tokenLife is that of a one-time token for which no time is named.
const tokenLife = time.Hour

func (c *call) self() (any, error) {
	v := api.Self{Kind: c.who.Kind, User: c.who.User, Cluster: c.who.Cluster, Member: c.who.Member, Serial: c.who.Serial, NotAfter: c.who.NotAfter.UTC(),
		Server: c.server.o.Host, Version: c.server.o.Version}
	if c.role != 0 {
		v.Role = c.role.String()
	}
	return v, nil
}

// grant makes a one-time token, with the time that the body names.
func (c *call) grant(t management.Token, whom string) (any, error) {
	var q api.TokenRequest
	if err := c.maybe(&q); err != nil {
		return nil, err
	}
	life := time.Duration(q.ForMs) * time.Millisecond
	if q.ForMs == 0 {
		life = tokenLife
	} else if q.ForMs < 0 || life/time.Millisecond != time.Duration(q.ForMs) {
		return nil, invalid(fmt.Sprintf("for_ms %d", q.ForMs), "write a positive number of milliseconds")
	}
	return c.granted(t, life, whom)
}

func (c *call) granted(t management.Token, life time.Duration, whom string) (any, error) {
	text, made, err := c.server.o.Records.NewToken(c.context(), c.actor, t, life)
	if err != nil {
		return nil, err
	}
	g := api.Grant{Token: text, Fingerprint: api.Fingerprint(c.server.o.Authority.Certificate())}
	return api.TokenGranted{ID: made.ID, Grant: g.String(), For: whom, Expires: at(made.Expires)}, nil
}

func (c *call) memberToken() (any, error) {
	cluster, member := c.path("cluster"), c.path("member")
	return c.grant(management.Token{Kind: management.MemberToken, Cluster: cluster, Member: member}, cluster+"/"+member)
}

func (c *call) revokeMember() (any, error) {
	var q api.RevokeRequest
	if err := c.maybe(&q); err != nil {
		return nil, err
	}
	if err := c.server.o.Records.RevokeMember(c.context(), c.actor, c.path("cluster"), c.path("member"), q.Why); err != nil {
		return nil, err
	}
	return api.Done{Done: fmt.Sprintf("%s/%s has no access any more", c.path("cluster"), c.path("member"))}, nil
}

func userView(u management.User) api.User {
	return api.User{Name: u.Name, Role: u.Role.String(), Added: at(u.Added), By: u.By}
}

func (c *call) users() (any, error) {
	all, err := c.server.o.Records.Users(c.context())
	if err != nil {
		return nil, err
	}
	out := make([]api.User, 0, len(all))
	for _, u := range all {
		out = append(out, userView(u))
	}
	return out, nil
}

// readUser reads a name and a role.
func (c *call) readUser() (name string, role management.Role, err error) {
	var q api.UserRequest
	if err := c.body(&q); err != nil {
		return "", 0, err
	}
	role, err = management.ParseRole(q.Role)
	return q.Name, role, err
}

// addUser adds a person and answers with the token with which that person gets a certificate.
func (c *call) addUser() (any, error) {
	name, role, err := c.readUser()
	if err != nil {
		return nil, err
	}
	u, err := c.server.o.Records.AddUser(c.context(), c.actor, name, role)
	if err != nil {
		return nil, err
	}
	return c.granted(management.Token{Kind: management.PersonEnrolment, User: u.Name}, day, u.Name)
}

func (c *call) changeUser() (any, error) {
	name, role, err := c.readUser()
	if err != nil {
		return nil, err
	}
	if name != "" && name != c.path("user") {
		return nil, invalid(fmt.Sprintf("the body names %.64q, the path %.64q", name, c.path("user")), "a person keeps the name; add the other one")
	}
	u, err := c.server.o.Records.ChangeUser(c.context(), c.actor, c.path("user"), role)
	if err != nil {
		return nil, err
	}
	return userView(u), nil
}

func (c *call) removeUser() (any, error) {
	if err := c.server.o.Records.RemoveUser(c.context(), c.actor, c.path("user")); err != nil {
		return nil, err
	}
	return api.Done{Done: c.path("user") + " is gone, with all certificates and tokens"}, nil
}

func (c *call) userToken() (any, error) {
	return c.grant(management.Token{Kind: management.PersonEnrolment, User: c.path("user")}, c.path("user"))
}

func (c *call) tokens() (any, error) {
	all, err := c.server.o.Records.Tokens(c.context())
	if err != nil {
		return nil, err
	}
	now := c.server.o.Now().UnixNano()
	out := make([]api.Token, 0, len(all))
	for _, t := range all {
		v := api.Token{ID: t.ID, Kind: t.Kind.String(), For: t.User, Status: "open", Created: at(t.Created), By: t.By, Expires: at(t.Expires), Used: when(t.Used)}
		if t.Kind == management.MemberToken {
			v.For = t.Cluster + "/" + t.Member
		}
		switch {
		case t.Revoked != 0:
			v.Status = "revoked"
		case t.Used != 0 && t.Kind.Once():
			v.Status = "used"
		case t.Expires <= now:
			v.Status = "expired"
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b api.Token) int { return a.Created.Compare(b.Created) })
	return out, nil
}

func (c *call) revokeToken() (any, error) {
	var kinds []management.TokenKind // who may not make people's tokens may not end them: nobody else would be left to administer
	if !c.role.Includes(management.Admin) {
		kinds = []management.TokenKind{management.MemberToken}
	}
	if err := c.server.o.Records.RevokeToken(c.context(), c.actor, c.path("id"), kinds...); err != nil {
		return nil, err
	}
	return api.Done{Done: "token " + c.path("id") + " is revoked"}, nil
}

func (c *call) certificates() (any, error) {
	all, err := c.server.o.Records.Certificates(c.context())
	if err != nil {
		return nil, err
	}
	now := c.server.o.Now().UnixNano()
	out := make([]api.Certificate, 0, len(all))
	for _, one := range all {
		v := api.Certificate{Serial: one.Serial, Kind: one.Kind.String(), For: cmp.Or(one.User, one.Host), Status: "good", Issued: at(one.Issued), By: one.By,
			NotAfter: at(one.NotAfter), Revoked: when(one.Revoked), Why: one.Why}
		if one.Kind == management.MemberCertificate {
			v.For = one.Cluster + "/" + one.Member
		}
		switch {
		case one.Revoked != 0:
			v.Status = "revoked"
		case one.NotAfter <= now:
			v.Status = "expired"
		}
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b api.Certificate) int { return a.Issued.Compare(b.Issued) })
	return out, nil
}

func (c *call) revokeCertificate() (any, error) {
	var q api.RevokeRequest
	if err := c.maybe(&q); err != nil {
		return nil, err
	}
	if err := c.server.o.Records.Revoke(c.context(), c.actor, c.path("serial"), q.Why); err != nil {
		return nil, err
	}
	return api.Done{Done: "certificate " + c.path("serial") + " is revoked"}, nil
}
