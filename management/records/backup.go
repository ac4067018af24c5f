// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/store"
)

// Backup writes everything, with the note in the audit log that it was written. It holds hashes of tokens and no private key; the keys that
// the server signs with are its own files.
func (r *Records) Backup(ctx context.Context, by management.Actor, w io.Writer) error {
	err := r.change(ctx, by, func(store.Tx, int64) (management.Event, error) {
		return management.Event{Action: "backup"}, nil
	})
	if err != nil {
		return err
	}
	return r.store.Backup(ctx, w)
}

// Restore fills an empty store with a backup. What was numbered, used and revoked since the backup is not in it: so no cluster gets a number before
// its members have reported theirs (management.Numbers), and tokens that are used once are void. An attempt that had not ended may have been decided
// since: the coordinator asks the members before it decides. What was revoked since must be revoked again. authority is that of the server's keys: the
// error wraps ErrForeign if the backup is not of that installation, and then the store stays one that is being restored.
func (r *Records) Restore(ctx context.Context, by management.Actor, backup io.Reader, authority string) error {
	now := r.now().UnixNano()
	return r.store.Restore(ctx, backup, func(tx store.Tx) error {
		if _, err := claim(tx, authority); err != nil {
			return err
		}
		epoch, err := readEpoch(tx)
		if err != nil {
			return err
		}
		if err := write(tx, epochKey, epoch+1); err != nil {
			return err
		}
		return appendEvent(tx, management.Event{Time: now, Actor: by, Action: "restore", Outcome: management.Done,
			Detail: map[string]string{"epoch": strconv.FormatUint(epoch+1, 10)}})
	})
}

// Epoch is how often the store was restored.
func (r *Records) Epoch(ctx context.Context) (epoch uint64, err error) {
	err = r.store.View(ctx, func(s store.Reader) error {
		epoch, err = readEpoch(s)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("epoch: %w", err)
	}
	return epoch, nil
}
