// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/store"
)

// Longest lives of tokens.
const (
	MaxEnrolment = 30 * 24 * time.Hour  // of those that are used once
	MaxPerson    = 400 * 24 * time.Hour // of a person's
)

// NewToken makes a token, of which Kind and either Cluster and Member or User are given, that lives for ttl. text is the only copy of its secret. A new
// one for a member, or for a person's enrolment, ends the unused one before it.
func (r *Records) NewToken(ctx context.Context, by management.Actor, t management.Token, ttl time.Duration) (text string, made management.Token, err error) {
	most := MaxPerson
	if t.Kind.Once() {
		most = MaxEnrolment
	}
	if ttl <= 0 || ttl > most {
		return "", t, fmt.Errorf("token that lives %v: %w: more than 0, at most %v", ttl, management.ErrValue, most)
	}
	id, text, hash, err := management.NewSecret(r.random)
	if err != nil {
		return "", t, err
	}
	err = r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
		epoch, err := readEpoch(tx)
		if err != nil {
			return management.Event{}, err
		}
		made = management.Token{ID: id, Kind: t.Kind, Hash: hash, Cluster: t.Cluster, Member: t.Member, User: t.User,
			Created: now, By: by.String(), Expires: now + int64(ttl), Epoch: epoch}
		e := management.Event{Action: "token.add", Cluster: t.Cluster, Object: id, Detail: map[string]string{
			"kind": t.Kind.String(), "member": t.Member, "user": t.User, "expires": time.Unix(0, made.Expires).UTC().Format(time.RFC3339)}}
		return e, errors.Join(own(tx, made, now), write(tx, tokenKey(id), made))
	})
	if err != nil {
		return "", made, err
	}
	return text, made, nil
}

// own notes a new token with whom it is for, and revokes what it replaces.
func own(tx store.Tx, t management.Token, now int64) error {
	if t.Kind == management.MemberToken {
		_, m, err := readMember(tx, t.Cluster, t.Member)
		if err != nil {
			return err
		}
		if err := revokeUnused(tx, m.Token, now); err != nil {
			return err
		}
		m.Token = t.ID
		return writeMember(tx, m)
	}
	if _, err := t.Kind.MarshalText(); err != nil {
		return err
	}
	u, err := readUser(tx, t.User)
	if err != nil {
		return err
	}
	var live []string
	for _, id := range u.Tokens {
		old, err := read[management.Token](tx, tokenKey(id), "token "+id)
		switch {
		case err != nil:
			return err
		case old.Kind == management.PersonEnrolment && t.Kind == management.PersonEnrolment:
			if err := revokeUnused(tx, id, now); err != nil {
				return err
			}
		case old.Revoked == 0 && old.Expires > now && (old.Used == 0 || !old.Kind.Once()):
			live = append(live, id)
		}
	}
	if len(live) >= maxPerUser {
		return fmt.Errorf("user %s: %w: %d tokens already, the most there may be: revoke one", t.User, management.ErrValue, len(live))
	}
	live = append(live, t.ID)
	u.Tokens = live
	return write(tx, userKey(u.Name), u)
}

// maxPerUser is how many tokens, and how many certificates, one person may have: what they have must fit the transaction that removes the person.
const maxPerUser = 16

func revokeUnused(tx store.Tx, id string, now int64) error {
	if id == "" {
		return nil
	}
	t, err := read[management.Token](tx, tokenKey(id), "token "+id)
	if err != nil || t.Revoked != 0 || t.Used != 0 {
		return err
	}
	t.Revoked = now
	return write(tx, tokenKey(id), t)
}

// RevokeToken ends a token. One that is over already stays as it is. If kinds are named, the error wraps ErrKind for a token of another kind.
func (r *Records) RevokeToken(ctx context.Context, by management.Actor, id string, kinds ...management.TokenKind) error {
	return r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
		t, err := read[management.Token](tx, tokenKey(id), "token "+id)
		if err == nil && len(kinds) > 0 && !slices.Contains(kinds, t.Kind) {
			err = fmt.Errorf("token %s: %w: it is a %s token", id, ErrKind, t.Kind)
		}
		if err != nil || t.Revoked != 0 {
			return management.Event{}, err
		}
		t.Revoked = now
		return management.Event{Action: "token.revoke", Cluster: t.Cluster, Object: id,
			Detail: map[string]string{"kind": t.Kind.String(), "member": t.Member, "user": t.User}}, write(tx, tokenKey(id), t)
	})
}

// Tokens reads all, in no order that means anything.
func (r *Records) Tokens(ctx context.Context) ([]management.Token, error) {
	return list[management.Token](ctx, r, "token/")
}

// PersonOf says whose token a text is, if it is good now. Errors wrap management's of tokens.
func (r *Records) PersonOf(ctx context.Context, text string) (u management.User, t management.Token, err error) {
	err = r.store.View(ctx, func(s store.Reader) error {
		if t, err = checkToken(s, text, management.PersonToken, r.now().UnixNano()); err != nil {
			return err
		}
		u, err = readUser(s, t.User)
		return err
	})
	return u, t, err
}

func checkToken(s store.Reader, text string, kind management.TokenKind, now int64) (management.Token, error) {
	id, err := management.TokenID(text)
	if err != nil {
		return management.Token{}, err
	}
	t, err := read[management.Token](s, tokenKey(id), "token "+id)
	if errors.Is(err, ErrNone) {
		return t, management.ErrTokenUnknown
	}
	if err == nil {
		err = t.Check(text, kind, now)
	}
	if err != nil || !kind.Once() {
		return t, err
	}
	epoch, err := readEpoch(s)
	if err == nil && t.Epoch != epoch {
		err = fmt.Errorf("%w: it is of a backup, and may have been used since", management.ErrTokenRevoked)
	}
	return t, err
}

// Enrol uses a token that is used once, for the certificate that issue makes for whom the token names: both happen or none does. Certificates
// that a member had before are revoked with it: the machine may be another. issue may be called again, and then what it made first is void; it is
// within the transaction, and must not use the Records.
func (r *Records) Enrol(ctx context.Context, by management.Actor, text string, kind management.TokenKind, issue func(management.Token) (management.Certificate, error)) (cert management.Certificate, err error) {
	if !kind.Once() {
		return cert, fmt.Errorf("enrol: %s: %w", kind, management.ErrTokenUnknown)
	}
	err = r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
		var none management.Event
		t, err := checkToken(tx, text, kind, now)
		if err != nil {
			return none, err
		}
		if cert, err = issue(t); err != nil {
			return none, err
		}
		if cert.Cluster != t.Cluster || cert.Member != t.Member || cert.User != t.User {
			return none, fmt.Errorf("enrol: certificate %s: %w: it is for somebody else than token %s", cert.Serial, management.ErrValue, t.ID)
		}
		cert.Issued, cert.By = now, by.String()
		if kind == management.MemberToken {
			_, m, err := readMember(tx, t.Cluster, t.Member)
			if err == nil {
				err = revokeAll(tx, m.Certificates, by, "enrolled again", now)
			}
			if err != nil {
				return none, err
			}
			m.Enrolled, m.Certificates = now, nil
			if err := writeMember(tx, m); err != nil {
				return none, err
			}
		}
		t.Used, t.For = now, cert.Serial
		if err := errors.Join(addCertificate(tx, cert, now), write(tx, tokenKey(t.ID), t)); err != nil {
			return none, err
		}
		e := certificateEvent("token.use", cert)
		e.Detail["token"] = t.ID
		return e, nil
	})
	return cert, err
}

func without(all []string, s string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(x string) bool { return x == s })
}
