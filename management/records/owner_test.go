// SPDX-License-Identifier: Apache-2.0

package records_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/store"
)

// A store is one installation's, and so is its backup: with another one's keys it is neither served nor restored.
func TestAnotherInstallation(t *testing.T) {
	r, _, _ := open(t)
	if err := r.Claim(t.Context(), alice, "ours"); err != nil {
		t.Error(err)
	}
	before, err := r.AuditHead(t.Context())
	if err != nil || before.Number != 1 {
		t.Errorf("it is audited: %+v, %v", before, err)
	}
	if err := r.Claim(t.Context(), alice, "ours"); err != nil {
		t.Error(err)
	}
	if err := r.Claim(t.Context(), alice, "theirs"); !errors.Is(err, records.ErrForeign) {
		t.Errorf("another one's keys: %v", err)
	}
	if after, err := r.AuditHead(t.Context()); err != nil || after != before {
		t.Errorf("what changes nothing is audited: %+v, %v", after, err)
	}
	var backup bytes.Buffer
	if err := r.Backup(t.Context(), alice, &backup); err != nil {
		t.Fatal(err)
	}
	other, _, _ := open(t)
	if err := other.Restore(t.Context(), alice, bytes.NewReader(backup.Bytes()), "theirs"); !errors.Is(err, records.ErrForeign) {
		t.Errorf("another one's backup: %v", err)
	}
	if _, err := other.Users(t.Context()); !errors.Is(err, store.ErrRestoring) {
		t.Errorf("it can be used: %v", err)
	}
	if err := other.Restore(t.Context(), alice, bytes.NewReader(backup.Bytes()), "ours"); err != nil {
		t.Errorf("the own one after it: %v", err)
	}
	// One that was made before stores had an owner becomes that of who restores it.
	old, _, _ := open(t)
	backup.Reset()
	if err := old.Backup(t.Context(), alice, &backup); err != nil {
		t.Fatal(err)
	}
	fresh, _, _ := open(t)
	if err := fresh.Restore(t.Context(), alice, &backup, "ours"); err != nil {
		t.Error(err)
	}
	if err := fresh.Claim(t.Context(), alice, "theirs"); !errors.Is(err, records.ErrForeign) {
		t.Errorf("after an old backup: %v", err)
	}
}
