// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"testing"

	"github.com/holdfast-project/holdfast/management"
)

// TestKnown: what is known of certificates outlives changes that concern others, and no change that concerns them.
func TestKnown(t *testing.T) {
	s := newStand(t)
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	serial := s.enrol(admin, "gw-a").serial
	k := newKnown(s.records, s.authority)
	k.forget(true)
	know := func(meanwhile ...string) bool {
		t.Helper()
		k.mu.Lock()
		delete(k.good, serial)
		before := k.changes
		k.mu.Unlock()
		c, err := k.records.Identify(context.Background(), serial)
		if err != nil || c.Cluster != "edge" {
			t.Fatal(c, err)
		}
		k.forgetSome(meanwhile)
		k.remember(serial, c, before)
		_, ok := k.good[serial]
		return ok
	}
	if !know() {
		t.Error("nothing is remembered")
	}
	if !know("cluster/other", "certificate/1234") {
		t.Error("what changed of others is a reason to forget")
	}
	for _, key := range []string{"cluster/edge", "certificate/" + serial} {
		if know(key) {
			t.Errorf("%s changed while it was asked for, and it is remembered", key)
		}
		if !know() {
			t.Error("nothing is remembered again")
		}
		if k.forgetSome([]string{key}); len(k.good) != 0 {
			t.Errorf("%s changed, and it is still remembered", key)
		}
	}
	for i := range 2 * maxKnown / 100 {
		var keys []string
		for j := range 100 {
			keys = append(keys, clusterChange(string(rune('a'+j%26))+string(rune('a'+i%26))+serial[:4]+string(rune('a'+i/26%26))+string(rune('a'+i/676))+string(rune('a'+j/26))))
		}
		if know(append(keys, "cluster/edge")...) {
			t.Fatal("it is remembered, though too much has changed to know what")
		}
	}
	if len(k.last) > maxKnown {
		t.Errorf("%d changes are kept", len(k.last))
	}
	k.forget(false)
	if know() {
		t.Error("it is remembered while nobody tells of changes")
	}
}
