// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/store"
)

// AddCertificate writes down a certificate that is issued to a server or a person, or renews one (Renews names it, and it is not revoked). A member's first
// one comes by Enrol only. When a renewed one is renewed, what it renewed is revoked: nobody has more than two.
func (r *Records) AddCertificate(ctx context.Context, by management.Actor, cert management.Certificate) error {
	return r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
		var none management.Event
		cert.Issued, cert.By, cert.Revoked, cert.RevokedBy, cert.Why = now, by.String(), 0, "", ""
		if cert.Kind == management.MemberCertificate && cert.Renews == "" {
			return none, fmt.Errorf("certificate %s: %w: a member's first one needs a token", cert.Serial, management.ErrValue)
		}
		if cert.Renews != "" {
			if err := renews(tx, by, cert, now); err != nil {
				return none, err
			}
		}
		return certificateEvent("certificate.add", cert), addCertificate(tx, cert, now)
	})
}

// renews checks that the older certificate is good and the same one's, and revokes those that are neither of both.
func renews(tx store.Tx, by management.Actor, cert management.Certificate, now int64) error {
	old, err := identify(tx, cert.Renews)
	switch {
	case err != nil:
		return err
	case old.Kind != cert.Kind || old.Cluster != cert.Cluster || old.Member != cert.Member || old.User != cert.User || old.Host != cert.Host:
		return fmt.Errorf("certificate %s: %w: it is for somebody else than %s, which it renews", cert.Serial, management.ErrValue, old.Serial)
	case cert.Kind != management.MemberCertificate:
		return nil
	}
	_, m, err := readMember(tx, cert.Cluster, cert.Member)
	if err != nil {
		return err
	}
	if err := revokeAll(tx, without(m.Certificates, old.Serial), by, "renewed", now); err != nil {
		return err
	}
	m.Certificates = []string{old.Serial}
	return writeMember(tx, m)
}

// addCertificate writes a new one, and notes it with whose it is.
func addCertificate(tx store.Tx, cert management.Certificate, now int64) error {
	if err := cert.Validate(); err != nil {
		return err
	}
	if _, err := tx.Get(certificateKey(cert.Serial)); err == nil {
		return fmt.Errorf("certificate %s: %w", cert.Serial, ErrExists)
	} else if !errors.Is(err, store.ErrNone) {
		return err
	}
	switch cert.Kind {
	case management.MemberCertificate:
		_, m, err := readMember(tx, cert.Cluster, cert.Member)
		if err != nil {
			return err
		}
		m.Certificates = append(m.Certificates, cert.Serial)
		if err := writeMember(tx, m); err != nil {
			return err
		}
	case management.PersonCertificate:
		u, err := readUser(tx, cert.User)
		if err != nil {
			return err
		}
		if u.Certificates, err = goodCertificates(tx, u.Certificates, now); err != nil {
			return err
		}
		if len(u.Certificates) >= maxPerUser {
			return fmt.Errorf("user %s: %w: %d certificates already, the most there may be: revoke one", u.Name, management.ErrValue, len(u.Certificates))
		}
		u.Certificates = append(u.Certificates, cert.Serial)
		if err := write(tx, userKey(u.Name), u); err != nil {
			return err
		}
	}
	return write(tx, certificateKey(cert.Serial), cert)
}

// goodCertificates leaves out those that are over.
func goodCertificates(s store.Reader, serials []string, now int64) (good []string, err error) {
	for _, serial := range serials {
		c, err := readCertificate(s, serial)
		if err != nil {
			return nil, err
		}
		if c.Revoked == 0 && c.NotAfter > now {
			good = append(good, serial)
		}
	}
	return good, nil
}

func revokeAll(tx store.Tx, serials []string, by management.Actor, why string, now int64) error {
	for _, serial := range serials {
		c, err := readCertificate(tx, serial)
		if err != nil {
			return err
		}
		if c.Revoked != 0 {
			continue
		}
		c.Revoked, c.RevokedBy, c.Why = now, by.String(), why
		if err := write(tx, certificateKey(serial), c); err != nil {
			return err
		}
	}
	return nil
}

// Revoke takes a certificate back. One that is revoked already stays as it is.
func (r *Records) Revoke(ctx context.Context, by management.Actor, serial, why string) error {
	return r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
		c, err := readCertificate(tx, serial)
		if err != nil || c.Revoked != 0 {
			return management.Event{}, err
		}
		e := certificateEvent("certificate.revoke", c)
		e.Detail["why"] = cut(why)
		return e, revokeAll(tx, []string{serial}, by, why, now)
	})
}

// RevokeMember takes back all that a member has: certificates, and a token that is not used.
func (r *Records) RevokeMember(ctx context.Context, by management.Actor, cluster, member, why string) error {
	return r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
		m, err := read[management.Member](tx, memberKey(cluster, member), fmt.Sprintf("member %s of cluster %s: certificates or tokens", member, cluster))
		if err != nil {
			return management.Event{}, err
		}
		err = errors.Join(revokeAll(tx, m.Certificates, by, why, now), revokeUnused(tx, m.Token, now))
		m.Certificates, m.Token = nil, ""
		return management.Event{Action: "member.revoke", Cluster: cluster, Object: member, Detail: map[string]string{"why": cut(why)}},
			errors.Join(err, writeMember(tx, m))
	})
}

// Certificates reads all, by serial.
func (r *Records) Certificates(ctx context.Context) ([]management.Certificate, error) {
	return list[management.Certificate](ctx, r, "certificate/")
}

// Identify reads the certificate that somebody came with, whose signature and times TLS has checked. The error wraps ErrNone if management did not issue it,
// management.ErrRevoked if it was taken back, ErrMember if the cluster no longer names the member.
func (r *Records) Identify(ctx context.Context, serial string) (c management.Certificate, err error) {
	err = r.store.View(ctx, func(s store.Reader) error {
		c, err = identify(s, serial)
		return err
	})
	return c, err
}

func identify(s store.Reader, serial string) (management.Certificate, error) {
	c, err := readCertificate(s, serial)
	switch {
	case err != nil:
		return c, err
	case c.Revoked != 0:
		return c, fmt.Errorf("certificate %s: %w: since %s, by %s: %s", serial, management.ErrRevoked, time.Unix(0, c.Revoked).UTC().Format(time.RFC3339), c.RevokedBy, c.Why)
	case c.Kind == management.MemberCertificate:
		_, _, err = readMember(s, c.Cluster, c.Member)
	case c.Kind == management.PersonCertificate:
		_, err = readUser(s, c.User)
	}
	return c, err
}

func readCertificate(s store.Reader, serial string) (management.Certificate, error) {
	return read[management.Certificate](s, certificateKey(serial), "certificate "+serial)
}

func certificateEvent(action string, c management.Certificate) management.Event {
	d := map[string]string{"kind": c.Kind.String(), "not-after": time.Unix(0, c.NotAfter).UTC().Format(time.RFC3339)}
	for k, v := range map[string]string{"member": c.Member, "user": c.User, "host": c.Host, "renews": c.Renews} {
		if v != "" {
			d[k] = v
		}
	}
	return management.Event{Action: action, Cluster: c.Cluster, Object: c.Serial, Detail: d}
}
