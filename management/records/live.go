// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"errors"
	"strings"

	"github.com/holdfast-project/holdfast/management/store"
)

// LiveReports is the kind of what servers tell each other of the moment: what members report that another server has to know. It is no record:
// it is not audited, nobody relies on its being there, and each value replaces the one before.
const LiveReports Kind = "live/"

// PutLive writes values under names of the caller's, at most store.MaxOps.
func (r *Records) PutLive(ctx context.Context, values map[string][]byte) error {
	return r.store.Update(ctx, func(tx store.Tx) error {
		for name, value := range values {
			if err := tx.Put(string(LiveReports)+name, value); err != nil {
				return err
			}
		}
		return nil
	})
}

// Live reads what is there of keys, as Watch names them, by name.
func (r *Records) Live(ctx context.Context, keys []string) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := r.store.View(ctx, func(s store.Reader) error {
		clear(out)
		for _, key := range keys {
			value, err := s.Get(key)
			if errors.Is(err, store.ErrNone) {
				continue
			}
			if err != nil {
				return err
			}
			out[strings.TrimPrefix(key, string(LiveReports))] = value
		}
		return nil
	})
	return out, err
}
