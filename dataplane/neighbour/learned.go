// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
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

// Implementation constants.
const (
	// remembered is how long Asker.Learned goes without asking the kernel again, answerWithin how long it waits for the answer.
	remembered   = time.Second
	answerWithin = 10 * time.Millisecond
	// mostRead bounds the entries of an interface that are read, mostLearned those that are returned: a handful decides, and a full
	// table (1024 entries a family by default, often raised) must not cost more.
	mostRead    = 1024
	mostLearned = 64
)

// Learned returns the neighbours that the kernel knows on an interface, the best confirmed first, without those whose MAC is in exclude
// (members, VMACs): at most 64, the best of the first 1024 that the kernel tells. It asks in the network namespace of the calling
// thread, once a second at most for each interface: callers ask at every probe. Where the kernel does not answer at once the list is the
// one before, or empty.
func (a *Asker) Learned(index int, exclude Table) ([]Learned, error) {
	list, err := a.learned.get(index)
	return without(list, exclude), err
}

// listLearned opens a socket in the network namespace of the calling thread. What it returns asks by that, on any thread.
func listLearned(index int) (func() ([]Learned, error), error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err == nil {
		if err = s.SetReceiveTimeout(&unix.Timeval{Sec: 1}); err != nil {
			s.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list neighbours of interface %d: %w", index, err)
	}
	return func() ([]Learned, error) {
		defer s.Close()
		list, err := dump(s, index, mostRead)
		if err != nil {
			return nil, fmt.Errorf("list neighbours of interface %d: %w", index, err)
		}
		return choose(list, index), nil
	}, nil
}

// dump reads up to limit entries of one interface from the kernel, which leaves the others out (NDA_IFINDEX, Linux 4.4; an index
// in the message's header, as netlink.NeighList sends it, it ignores). Closing the socket ends what the kernel would go on with.
func dump(s *nl.NetlinkSocket, index, limit int) ([]netlink.Neigh, error) {
	r := nl.NewNetlinkRequest(unix.RTM_GETNEIGH, unix.NLM_F_DUMP)
	r.AddData(&netlink.Ndmsg{Family: unix.AF_UNSPEC})
	r.AddData(nl.NewRtAttr(netlink.NDA_IFINDEX, nl.Uint32Attr(uint32(index))))
	if err := s.Send(r); err != nil {
		return nil, err
	}
	var list []netlink.Neigh
	for {
		messages, _, err := s.Receive()
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return list, nil
			case unix.NLMSG_ERROR:
				if len(m.Data) < 4 {
					return nil, unix.EBADMSG
				}
				return nil, unix.Errno(-int32(nl.NativeEndian().Uint32(m.Data)))
			case unix.RTM_NEWNEIGH:
				if n, err := netlink.NeighDeserialize(m.Data); err == nil {
					list = append(list, *n)
				}
			}
			if len(list) == limit {
				return list, nil
			}
		}
	}
}

// without leaves out what is in exclude, and what is beyond the bound.
func without(list []Learned, exclude Table) []Learned {
	var some []Learned
	for _, l := range list {
		if _, excluded := exclude[l.MAC]; excluded {
			continue
		}
		if some = append(some, l); len(some) == mostLearned {
			break
		}
	}
	return some
}

// choose keeps what can be asked on an interface, the best confirmed first.
func choose(list []netlink.Neigh, index int) []Learned {
	var all []Learned
	for _, n := range list {
		addr, ok := netip.AddrFromSlice(n.IP)
		if !ok || n.LinkIndex != index || len(n.HardwareAddr) != 6 || n.State&believed == 0 || addr.IsMulticast() {
			continue
		}
		mac := [6]byte(n.HardwareAddr)
		if mac == [6]byte{} || mac[0]&1 != 0 {
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
