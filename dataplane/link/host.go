// SPDX-License-Identifier: Apache-2.0

package link

import (
	"log/slog"
	"net/netip"
)

// Desired is all that the cluster wants of the host. The zero value wants nothing.
type Desired struct {
	Interfaces []Interface
	// ManageForwarding turns IP forwarding on for the families that have VIPs.
	ManageForwarding bool
	// NAPIPriority raises the interfaces' NAPI threads, where they have any, to this SCHED_FIFO priority; 0 leaves them.
	NAPIPriority int
}

// Interface is what is wanted for one cluster interface.
type Interface struct {
	Name string
	// VMACs are let through the interface's unicast filter; empty with `vmac: false`.
	VMACs [][6]byte
	VIPs  []VIP
	// Proxy are addresses answered for but not local; the IPv6 ones need their multicast group as VIPs do.
	Proxy []netip.Addr
}

// VIP is a virtual address. A link-local one (the virtual link-local address among them) becomes local on its
// interface, any other on lo.
type VIP struct {
	Addr  netip.Addr
	Group uint8
}

// Host applies what is desired and remembers what it changed. Its methods are safe for concurrent use.
type Host struct{}

// OpenHost reads the record at path, if there is one of this boot and this network namespace. The directory must exist.
// log may be nil.
func OpenHost(path string, log *slog.Logger) (*Host, error) { return &Host{}, nil }

// Apply makes the host as desired: adds what is missing, takes back what an earlier Apply had set and is no longer wanted.
// It looks at the kernel, so it repairs as well; call it again when an interface came (back) up. The gate must be attached
// before it, else the stack could answer for a VIP. Parts that fail do not stop the others; all are in the error.
func (h *Host) Apply(d Desired) error { return nil }

// SetServing says whether group is served here. While it is not, the member's own traffic to the group's VIPs leaves by
// their interface, to the server; while it is, it stays here. A group does not serve until told. One netlink request per
// address family.
func (h *Host) SetServing(group uint8, serving bool) error { return nil }

// Restore takes back everything on record and removes the record. What cannot be taken back stays on record and in the
// error.
func (h *Host) Restore() error { return nil }
