// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// membership holds the solicited-node groups of one interface. The groups belong to sockets of this process: the kernel
// reports them by MLD, joins them anew when the interface comes back, and leaves them when the process ends. An address
// with `autojoin` would outlive the process, but the kernel forgets the address and keeps the group when the interface goes
// down once, and then there is no way to leave it.
type membership struct {
	joined  map[netip.Addr]int // the socket of each group
	sockets []int
}

// set makes the memberships on interface index exactly groups.
func (m *membership) set(index int, groups []netip.Addr) error {
	if m.joined == nil {
		m.joined = make(map[netip.Addr]int)
	}
	wanted := make(map[netip.Addr]bool, len(groups))
	var errs []error
	for _, g := range groups {
		wanted[g] = true
		if _, member := m.joined[g]; member {
			continue
		}
		if err := m.join(index, g); err != nil {
			errs = append(errs, fmt.Errorf("join multicast group %v: %w", g, err))
		}
	}
	for g, fd := range m.joined {
		if !wanted[g] {
			_ = change(fd, unix.IPV6_LEAVE_GROUP, index, g) // fails only when the interface is gone, and the group with it
			delete(m.joined, g)
		}
	}
	return errors.Join(errs...)
}

// join uses the newest socket, and a new one when the kernel lets that hold no more (net.core.optmem_max).
func (m *membership) join(index int, group netip.Addr) error {
	if n := len(m.sockets); n > 0 {
		fd := m.sockets[n-1]
		err := change(fd, unix.IPV6_JOIN_GROUP, index, group)
		if err == nil {
			m.joined[group] = fd
			return nil
		}
		if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := change(fd, unix.IPV6_JOIN_GROUP, index, group); err != nil {
		_ = unix.Close(fd)
		return err
	}
	m.sockets = append(m.sockets, fd)
	m.joined[group] = fd
	return nil
}

func change(fd, option, index int, group netip.Addr) error {
	return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, option,
		&unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(index)})
}

// close leaves all groups.
func (m *membership) close() {
	for _, fd := range m.sockets {
		_ = unix.Close(fd)
	}
	*m = membership{}
}
