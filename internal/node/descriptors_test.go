// SPDX-License-Identifier: Apache-2.0

package node

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/config"
)

func TestAllowDescriptors(t *testing.T) {
	const needed = 200
	for _, c := range []struct {
		name       string
		limit      unix.Rlimit
		privileged bool
		want       uint64
		says       string
	}{
		{"as the unit has it", unix.Rlimit{Cur: 65536, Max: 65536}, false, 65536, ""},
		{"soft limit only", unix.Rlimit{Cur: 50, Max: 1 << 20}, false, 65536, ""},
		{"up to a low hard limit", unix.Rlimit{Cur: 50, Max: 4096}, false, 4096, ""},
		{"beyond it", unix.Rlimit{Cur: 50, Max: 50}, true, 65536, ""},
		{"no more than it has", unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}, false, 1 << 20, ""},
		{"too low", unix.Rlimit{Cur: 50, Max: 50}, false, 50, "may have 50 open files, and a member with these interfaces and monitors needs 200: set LimitNOFILE=65536"},
		{"too low by one", unix.Rlimit{Cur: needed - 1, Max: needed - 1}, false, needed - 1, "may have 199"},
		{"enough", unix.Rlimit{Cur: needed, Max: needed}, false, needed, ""},
	} {
		now := c.limit
		err := allowDescriptors(needed, c.limit, func(l *unix.Rlimit) error {
			if l.Max > now.Max && !c.privileged {
				return unix.EPERM
			}
			now = *l
			return nil
		})
		if now.Cur != c.want {
			t.Errorf("%s: %d open files, want %d", c.name, now.Cur, c.want)
		}
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}

// TestDescriptorsNeeded: what the largest cluster needs is well within what is asked for.
func TestDescriptorsNeeded(t *testing.T) {
	small := descriptorsNeeded(&config.Cluster{Interfaces: make([]config.Interface, 3)})
	large := descriptorsNeeded(&config.Cluster{Interfaces: make([]config.Interface, 64), Monitors: make([]config.Monitor, 512)})
	if small < 128 || small >= large || large > descriptorsWanted/4 {
		t.Errorf("%d for a small cluster, %d for a large one", small, large)
	}
}
