// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/store"
)

// AddUser adds a person. Tokens and certificates come after.
func (r *Records) AddUser(ctx context.Context, by management.Actor, name string, role management.Role) (u management.User, err error) {
	err = r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
		u = management.User{Name: name, Role: role, Added: now, By: by.String()}
		if err := u.Validate(); err != nil {
			return management.Event{}, err
		}
		if _, err := readUser(tx, name); err == nil {
			return management.Event{}, fmt.Errorf("user %s: %w: remove it first, or change its role", name, ErrExists)
		} else if !errors.Is(err, ErrNone) {
			return management.Event{}, err
		}
		return management.Event{Action: "user.add", Object: name, Detail: map[string]string{"role": role.String()}}, write(tx, userKey(name), u)
	})
	return u, err
}

// ChangeUser gives a person another role. The error wraps ErrLastAdmin if nobody would be left who can administer.
func (r *Records) ChangeUser(ctx context.Context, by management.Actor, name string, role management.Role) (u management.User, err error) {
	err = r.change(ctx, by, func(tx store.Tx, _ int64) (management.Event, error) {
		var none management.Event
		if u, err = readUser(tx, name); err != nil || u.Role == role {
			return none, err
		}
		was := u.Role
		u.Role = role
		if err := u.Validate(); err != nil {
			return none, err
		}
		if err := write(tx, userKey(name), u); err != nil {
			return none, err
		}
		return management.Event{Action: "user.change", Object: name, Detail: map[string]string{"role": role.String(), "was": was.String()}}, administered(tx, name)
	})
	return u, err
}

// RemoveUser removes a person, and revokes all tokens and certificates that they have.
func (r *Records) RemoveUser(ctx context.Context, by management.Actor, name string) error {
	return r.change(ctx, by, func(tx store.Tx, now int64) (management.Event, error) {
		var none management.Event
		u, err := readUser(tx, name)
		if err != nil {
			return none, err
		}
		for _, id := range u.Tokens {
			t, err := read[management.Token](tx, tokenKey(id), "token "+id)
			if err != nil {
				return none, err
			}
			if t.Revoked == 0 {
				t.Revoked = now
				if err := write(tx, tokenKey(id), t); err != nil {
					return none, err
				}
			}
		}
		err = errors.Join(revokeAll(tx, u.Certificates, by, "the user was removed", now), tx.Delete(userKey(name)))
		if err != nil {
			return none, err
		}
		return management.Event{Action: "user.remove", Object: name, Detail: map[string]string{"role": u.Role.String()}}, administered(tx, name)
	})
}

// administered refuses what leaves no administrator.
func administered(s store.Reader, name string) error {
	all, err := readAll[management.User](s, "user/")
	if err != nil {
		return err
	}
	for _, u := range all {
		if u.Role == management.Admin {
			return nil
		}
	}
	return fmt.Errorf("user %s: %w: make somebody else one first", name, ErrLastAdmin)
}

// User reads one.
func (r *Records) User(ctx context.Context, name string) (management.User, error) {
	return one[management.User](ctx, r, userKey(name), "user "+name)
}

// Users reads all, by name.
func (r *Records) Users(ctx context.Context) ([]management.User, error) {
	return list[management.User](ctx, r, "user/")
}

func readUser(s store.Reader, name string) (management.User, error) {
	return read[management.User](s, userKey(name), "user "+name)
}
