// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/store"
)

// What Tidy leaves.
const (
	// KeepOver is for how long tokens and certificates are kept that are over.
	KeepOver = 90 * 24 * time.Hour
	// KeepAttempts is how many attempts of each cluster are kept, the newest.
	KeepAttempts = 200
	// TidyLeap is by how much the clock may have gone on since the last tidying for it to be believed. What is removed is gone for good, and a
	// clock that somebody set years ahead would remove every certificate that there is.
	TidyLeap = 30 * 24 * time.Hour
	// TidyDoubt is for how long nothing is removed after a leap: time to see that the clock is wrong. After that it is believed.
	TidyDoubt = 7 * 24 * time.Hour
	// tidyAtOnce bounds one transaction: each removal may write who had it.
	tidyAtOnce = 40
)

// old are keys of what can be removed.
type old struct{ tokens, certificates, attempts []string }

func (o old) len() int { return len(o.tokens) + len(o.certificates) + len(o.attempts) }

// Tidy removes tokens and certificates that were over KeepOver ago, and attempts that ended and of which there are KeepAttempts newer ones of the cluster. The
// audit log keeps what there was to tell of them. It returns how many records it removed.
//
// The error wraps ErrLeap if the clock has leapt: then nothing is removed.
func (r *Records) Tidy(ctx context.Context, by management.Actor) (removed int, err error) {
	if err := r.believe(ctx); err != nil {
		return 0, err
	}
	for {
		some, err := r.old(ctx)
		if err != nil || some.len() == 0 {
			return removed, err
		}
		n := 0
		err = r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
			n = some.len()
			for _, key := range some.tokens {
				if err := removeToken(tx, key); err != nil {
					return management.Event{}, err
				}
			}
			for _, key := range some.certificates {
				if err := removeCertificate(tx, key); err != nil {
					return management.Event{}, err
				}
			}
			for _, key := range some.attempts {
				if err := tx.Delete(key); err != nil {
					return management.Event{}, err
				}
			}
			return management.Event{Action: "store.tidy", Detail: map[string]string{"tokens": strconv.Itoa(len(some.tokens)),
				"certificates": strconv.Itoa(len(some.certificates)), "attempts": strconv.Itoa(len(some.attempts))}}, nil
		})
		if err != nil {
			return removed, err
		}
		removed += n
	}
}

// tidied is when the clock was believed, and since when it is not.
type tidied struct {
	Believed int64 `json:"believed"`
	Doubted  int64 `json:"doubted,omitempty"`
}

// believe notes what the clock says, and returns an error while it is in doubt. Clocks of several servers, and of one before and after a
// restart, are compared by what the store remembers: no process can tell by itself.
func (r *Records) believe(ctx context.Context) error {
	now := r.now().UnixNano()
	var leap error
	err := r.store.Update(ctx, func(tx store.Tx) error {
		t, err := readOr[tidied](tx, tidiedKey, "when it was tidied")
		if err != nil {
			return err
		}
		leap = nil
		if ahead := now - t.Believed; t.Believed != 0 && ahead > int64(TidyLeap) {
			if t.Doubted == 0 || now < t.Doubted || now-t.Doubted > int64(TidyLeap) {
				t.Doubted = now
			}
			if left := int64(TidyDoubt) - (now - t.Doubted); left > 0 {
				leap = fmt.Errorf("%w: by it the last tidying was %d days ago; nothing is removed for %d days more: if the clock is wrong, set it",
					ErrLeap, time.Duration(ahead)/(24*time.Hour), (time.Duration(left)+24*time.Hour-1)/(24*time.Hour))
				return write(tx, tidiedKey, t)
			}
		}
		return write(tx, tidiedKey, tidied{Believed: now})
	})
	return errors.Join(err, leap)
}

// old finds some of what can be removed. What is over stays so: nothing of it can change until it is removed.
func (r *Records) old(ctx context.Context) (o old, err error) {
	before := r.now().Add(-KeepOver).UnixNano()
	err = r.store.View(ctx, func(s store.Reader) error {
		o = old{}
		tokens, err := readAll[management.Token](s, "token/")
		if err != nil {
			return err
		}
		for _, t := range tokens {
			if over := tokenOver(t); over < before && o.len() < tidyAtOnce {
				o.tokens = append(o.tokens, tokenKey(t.ID))
			}
		}
		certificates, err := readAll[management.Certificate](s, "certificate/")
		if err != nil {
			return err
		}
		for _, c := range certificates {
			if c.NotAfter < before && o.len() < tidyAtOnce {
				o.certificates = append(o.certificates, certificateKey(c.Serial))
			}
		}
		return oldAttempts(s, &o)
	})
	return o, err
}

// tokenOver is when a token was over: used, revoked or expired.
func tokenOver(t management.Token) int64 {
	over := t.Expires
	if t.Kind.Once() && t.Used != 0 {
		over = min(over, t.Used)
	}
	if t.Revoked != 0 {
		over = min(over, t.Revoked)
	}
	return over
}

func oldAttempts(s store.Reader, o *old) error {
	for item, err := range s.Scan("attempt/", "") {
		if err != nil {
			return err
		}
		if o.len() == tidyAtOnce {
			return nil
		}
		a, err := read[management.Attempt](s, item.Key, "attempt "+item.Key)
		if err != nil {
			return err
		}
		c, err := readCluster(s, a.Cluster)
		if errors.Is(err, ErrNone) {
			continue
		}
		if err != nil {
			return err
		}
		if a.Ended != 0 && a.Number+KeepAttempts <= c.Attempt {
			o.attempts = append(o.attempts, item.Key)
		}
	}
	return nil
}

func removeToken(tx store.Tx, key string) error {
	t, err := read[management.Token](tx, key, key)
	if errors.Is(err, ErrNone) {
		return nil
	}
	if err == nil && t.Kind == management.MemberToken {
		err = editMember(tx, t.Cluster, t.Member, func(m *management.Member) {
			if m.Token == t.ID {
				m.Token = ""
			}
		})
	} else if err == nil {
		err = editUser(tx, t.User, func(u *management.User) { u.Tokens = without(u.Tokens, t.ID) })
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", key, err)
	}
	return tx.Delete(key)
}

func removeCertificate(tx store.Tx, key string) error {
	c, err := read[management.Certificate](tx, key, key)
	if errors.Is(err, ErrNone) {
		return nil
	}
	if err == nil && c.Kind == management.MemberCertificate {
		err = editMember(tx, c.Cluster, c.Member, func(m *management.Member) { m.Certificates = without(m.Certificates, c.Serial) })
	} else if err == nil && c.Kind == management.PersonCertificate {
		err = editUser(tx, c.User, func(u *management.User) { u.Certificates = without(u.Certificates, c.Serial) })
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", key, err)
	}
	return tx.Delete(key)
}

// editMember changes a member's record, if there still is one.
func editMember(tx store.Tx, cluster, name string, edit func(*management.Member)) error {
	_, m, err := readMember(tx, cluster, name)
	if errors.Is(err, ErrNone) || errors.Is(err, ErrMember) {
		return nil
	}
	if err != nil {
		return err
	}
	edit(&m)
	return writeMember(tx, m)
}

// editUser changes a person's record, if there still is one.
func editUser(tx store.Tx, name string, edit func(*management.User)) error {
	u, err := readUser(tx, name)
	if errors.Is(err, ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	edit(&u)
	return write(tx, userKey(name), u)
}
