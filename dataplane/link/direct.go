// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Routes asks the kernel where packets go, on one socket that stays open. It is not safe for concurrent use.
type Routes struct{ handle *netlink.Handle }

// OpenRoutes opens the socket, in the network namespace of the calling thread.
func OpenRoutes() (*Routes, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &Routes{handle: h}, nil
}

// Close closes the socket.
func (r *Routes) Close() { r.handle.Close() }

// noRoute are the kernel's words for a destination that it has no route to, or one that forbids it.
var noRoute = []error{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ESRCH, unix.EACCES, unix.EINVAL}

// Direct reports whether packets to an address leave by an interface, without a router in between. An error says that the kernel did not
// answer, which is not "no".
func (r *Routes) Direct(to netip.Addr, index int) (bool, error) {
	routes, err := r.handle.RouteGet(to.Unmap().AsSlice())
	for _, no := range noRoute {
		if errors.Is(err, no) {
			return false, nil
		}
	}
	if err != nil {
		return false, fmt.Errorf("netlink: route to %v: %w", to, err)
	}
	for _, way := range routes {
		if way.LinkIndex == index && len(way.Gw) == 0 && way.Via == nil && way.Type == unix.RTN_UNICAST {
			return true, nil
		}
	}
	return false, nil
}
