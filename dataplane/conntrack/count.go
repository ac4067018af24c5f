// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Attributes of the answer to IPCTNL_MSG_CT_GET_STATS (enum ctattr_stats_global).
const (
	ctaStatsEntries    = 1
	ctaStatsMaxEntries = 2
)

// Usage is how full the connection table is.
type Usage struct {
	// Entries is how many this network namespace has.
	Entries uint32
	// Max is how many it may have (net.netfilter.nf_conntrack_max); 0: no limit.
	Max uint32
}

// Count asks the kernel how many connections there are. It costs one request, whatever the table's size.
func (t *Table) Count() (Usage, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return Usage{}, os.ErrClosed
	}
	var u Usage
	var refused unix.Errno
	t.end(t.begin(msgGetStats, 0, unix.AF_UNSPEC, request{}))
	err := t.exchange(func(_ request, errno unix.Errno, m Message) {
		if refused = errno; errno == 0 && len(m.Payload) >= nfgenLen {
			u.Entries = number(find(m.Payload[nfgenLen:], ctaStatsEntries))
			u.Max = number(find(m.Payload[nfgenLen:], ctaStatsMaxEntries))
		}
	})
	if err == nil && refused != 0 {
		err = refused
	}
	if err != nil {
		return Usage{}, fmt.Errorf("conntrack: count entries: %w", err)
	}
	return u, nil
}
