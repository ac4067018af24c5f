// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"fmt"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/store"
)

// owner is the installation that a store belongs to, by the fingerprint of its authority.
type owner struct {
	Authority string `json:"authority"`
}

// Claim notes which installation's the store is, or checks it: with another one's keys nobody who is known would be let in, and what is signed would be
// believed by no member. The error wraps ErrForeign.
func (r *Records) Claim(ctx context.Context, by management.Actor, authority string) error {
	return r.change(ctx, by, func(tx store.Tx, _ int64) (management.Event, error) {
		fresh, err := claim(tx, authority)
		if err != nil || !fresh {
			return management.Event{}, err
		}
		return management.Event{Action: "store.claim", Object: authority}, nil
	})
}

// claim reports whether nobody's store is authority's now.
func claim(tx store.Tx, authority string) (fresh bool, err error) {
	o, err := readOr[owner](tx, ownerKey, "the store's owner")
	switch {
	case err != nil:
		return false, err
	case o.Authority == authority:
		return false, nil
	case o.Authority != "":
		return false, fmt.Errorf("%w: that of authority %s, and this one's is %s", ErrForeign, o.Authority, authority)
	}
	return true, write(tx, ownerKey, owner{authority})
}
