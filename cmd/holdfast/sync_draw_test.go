// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/holdfast-project/holdfast/internal/control"
)

// TestSyncMemberRow: what is said of a member that is not waited for depends on whether it is there, and an old comparison says nothing of
// one that is away.
func TestSyncMemberRow(t *testing.T) {
	equal := true
	for _, k := range []struct {
		m           control.SyncMember
		equal, note string
	}{
		{control.SyncMember{Connected: true, Equal: &equal}, "yes", ""},
		{control.SyncMember{Connected: true}, "-", ""},
		{control.SyncMember{Connected: true, Equal: &equal, Evicted: true}, "yes", "too slow: not waited for"},
		{control.SyncMember{Equal: &equal, Evicted: true}, "-", "away: not waited for"},
		{control.SyncMember{Equal: &equal}, "-", "not connected"},
		{control.SyncMember{Equal: &equal, HeardMs: -1}, "-", "not heard"},
	} {
		row := syncMemberRow(k.m)
		if got := row[5].text; got != k.equal {
			t.Errorf("%+v: equal %q, want %q", k.m, got, k.equal)
		}
		if got := row[len(row)-1].text; got != k.note {
			t.Errorf("%+v: note %q, want %q", k.m, got, k.note)
		}
	}
}
