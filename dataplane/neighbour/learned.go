// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
)

// Learned is a neighbour that the kernel knows.
type Learned struct {
	Addr netip.Addr
	MAC  [6]byte
	// Reachable: confirmed lately. Others were once and are not disproved (stale, delay, probe).
	Reachable bool
	// Confirmed is the time since the last confirmation, as exact as the kernel's clock tick (10 ms).
	Confirmed time.Duration
}

// userTick is USER_HZ, in which the kernel reports ages on every architecture we run on.
const userTick = 10 * time.Millisecond

// believed are the states of a neighbour that was there once and is not disproved.
const believed = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT

// ListLearned returns the neighbours that the kernel knows on an interface, the best confirmed first, without those whose
// MAC is in exclude (members, VMACs). It asks in the network namespace of the calling thread.
func ListLearned(index int, exclude Table) ([]Learned, error) {
	list, err := netlink.NeighList(index, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list neighbours of interface %d: %w", index, err)
	}
	return choose(list, exclude), nil
}

func choose(list []netlink.Neigh, exclude Table) []Learned {
	var all []Learned
	for _, n := range list {
		addr, ok := netip.AddrFromSlice(n.IP)
		if !ok || len(n.HardwareAddr) != 6 || n.State&believed == 0 || addr.IsMulticast() {
			continue
		}
		mac := [6]byte(n.HardwareAddr)
		if _, excluded := exclude[mac]; excluded || mac == [6]byte{} || mac[0]&1 != 0 {
			continue
		}
		all = append(all, Learned{
			Addr: addr.Unmap(), MAC: mac,
			Reachable: n.State&(netlink.NUD_REACHABLE|netlink.NUD_PERMANENT) != 0,
			Confirmed: time.Duration(n.Confirmed) * userTick,
		})
	}
	slices.SortFunc(all, func(a, b Learned) int {
		if a.Reachable != b.Reachable {
			if a.Reachable {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Confirmed, b.Confirmed), a.Addr.Compare(b.Addr))
	})
	return all
}
