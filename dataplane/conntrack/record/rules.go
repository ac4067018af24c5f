// SPDX-License-Identifier: Apache-2.0

package record

import (
	"net/netip"
	"time"
)

// Rules say which connections are copied. Compile makes a Judge of them.
type Rules struct {
	// Own are the addresses of single members; they never move.
	Own []netip.Addr
	// Virtual are the addresses of the cluster. A connection that ends at one ends in a member's own stack, which is not copied; one that is
	// translated to or from a virtual address is.
	Virtual []netip.Addr
	// Networks are the prefixes of the members' interfaces: their broadcast addresses are not copied.
	Networks []netip.Prefix
	// Services are looked at in their order; the first that matches decides. What none matches is copied at once.
	Services []Service
}

// Service says how connections to a service are copied. They match by their original tuple: as the client aimed at it, before DNAT.
type Service struct {
	// Protocol is the IP protocol number.
	Protocol uint8
	// Ports are destination ports; none: every connection of the protocol.
	Ports []PortRange
	// Never: not at all.
	Never bool
	// After: only once the connection has lived this long.
	After time.Duration
}

// PortRange is First to Last, both included.
type PortRange struct{ First, Last uint16 }

// Skip says why a connection is not copied. It is a label of metrics: ONLY APPEND.
type Skip uint8

// The reasons.
const (
	// SkipNone: it is copied.
	SkipNone Skip = iota
	// SkipLoopback: one of its addresses is a loopback address.
	SkipLoopback
	// SkipOwn: it begins or ends at a member.
	SkipOwn
	// SkipBroadcast: it goes to a broadcast, multicast or unspecified address.
	SkipBroadcast
	// SkipLinkLocal: one of its ends has an IPv6 link-local address, which no gateway forwards.
	SkipLinkLocal
	// SkipService: its service is never copied.
	SkipService
	// SkipMalformed: the record has no tuple that could be judged.
	SkipMalformed

	// Skips is how many reasons there are: the length of an array of counters.
	Skips = int(iota)
)

// Verdict is a Judge's. The zero value: copy it now.
type Verdict struct {
	// Skip is why the record is not copied; SkipNone: it is.
	Skip Skip
	// After is how long the connection must live before it is copied.
	After time.Duration
}
