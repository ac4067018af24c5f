// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/config"
)

// descriptorsWanted is how many open files this process allows itself where it may: as many as its unit does.
const descriptorsWanted = 65536

// descriptorsNeeded is how many open files a member must be allowed. A gate and what belongs to no interface take some 40, each interface up
// to 12, a monitor a few; what is left is for who asks the daemon.
func descriptorsNeeded(cfg *config.Cluster) uint64 {
	return uint64(128 + 16*len(cfg.Interfaces) + 4*len(cfg.Monitors))
}

// allowDescriptors lifts the limit of open files as far as this process may. Where that is not enough, a member would lack a socket here and
// an answer there, and the error says what to change.
func allowDescriptors(needed uint64, limit unix.Rlimit, set func(*unix.Rlimit) error) error {
	if limit.Max < descriptorsWanted {
		if more := (unix.Rlimit{Cur: descriptorsWanted, Max: descriptorsWanted}); set(&more) == nil { // it may with CAP_SYS_RESOURCE
			limit = more
		}
	}
	if limit.Cur < min(limit.Max, descriptorsWanted) {
		more := unix.Rlimit{Cur: min(limit.Max, descriptorsWanted), Max: limit.Max}
		if err := set(&more); err == nil {
			limit = more
		}
	}
	if limit.Cur < needed {
		return fmt.Errorf("this process may have %d open files, and a member with these interfaces and monitors needs %d: set LimitNOFILE=%d in its unit, or ulimit -n %d where it is started",
			limit.Cur, needed, descriptorsWanted, descriptorsWanted)
	}
	return nil
}

// openDescriptors is allowDescriptors of this process.
func openDescriptors(cfg *config.Cluster) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	return allowDescriptors(descriptorsNeeded(cfg), limit, func(l *unix.Rlimit) error { return unix.Setrlimit(unix.RLIMIT_NOFILE, l) })
}
