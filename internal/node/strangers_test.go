// SPDX-License-Identifier: Apache-2.0

package node

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// TestStrangers: frames that no member can have sent are told of while they come, single ones and old recordings are not.
func TestStrangers(t *testing.T) {
	second := int64(time.Second)
	for _, k := range []struct {
		name  string
		drop  ccp.DropReason
		count int
		later time.Duration
		want  string
	}{
		{"another key", ccp.DropTag, 10, 0, "frames of cluster 7 come in on ext from 02:00:00:00:00:09: they are not sealed with this cluster's key"},
		{"a clone", ccp.DropOwn, 50, 30 * time.Second, "a second machine is configured as this member"},
		{"some, after a change of key", ccp.DropKey, 9, 0, ""},
		{"over", ccp.DropTag, 50, 2 * time.Minute, ""},
		{"recordings", ccp.DropReplay, 500, 0, ""},
	} {
		var s strangers
		now := 100 * second
		for range k.count {
			s.note(now, k.drop, "ext", [6]byte{2, 0, 0, 0, 0, 9})
			now += second / 10
		}
		if got := s.warning(now+int64(k.later), 7); (k.want == "") != (got == "") || !strings.Contains(got, k.want) {
			t.Errorf("%s: %q, want %q", k.name, got, k.want)
		}
	}
	var s strangers
	s.dropped(100*second, ccp.DropTag, 5000) // before this daemon
	if got := s.warning(100*second, 7); got != "" {
		t.Errorf("what the gate dropped for an earlier daemon: %q", got)
	}
	s.dropped(101*second, ccp.DropTag, 5100)
	if got := s.warning(101*second, 7); !strings.HasPrefix(got, "frames of cluster 7 come in: they are not sealed") {
		t.Errorf("what the gate dropped: %q", got)
	}
}
