// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"net/netip"
	"time"
)

// Kind is what was asked. The zero value is invalid.
type Kind uint8

// The kinds of questions.
const (
	_ Kind = iota
	// VIP asks who answers for a virtual address.
	VIP
	// Neighbour asks by ARP or neighbour solicitation whether a host is there.
	Neighbour
	// Echo asks by an ICMP echo request.
	Echo
)

// By says whose MAC answered. The zero value is invalid.
type By uint8

// The classes of answers.
const (
	_ By = iota
	// Nobody answered in time.
	Nobody
	// VMAC: the cluster's virtual MAC.
	VMAC
	// Member: a configured member's own MAC.
	Member
	// Stranger: a MAC that is neither.
	Stranger
)

func (b By) String() string {
	switch b {
	case Nobody:
		return "nobody"
	case VMAC:
		return "vmac"
	case Member:
		return "member"
	case Stranger:
		return "stranger"
	}
	return "invalid"
}

// Owner is what the caller knows of a MAC.
type Owner struct {
	// By is VMAC or Member.
	By By
	// Member is the member's number if By is Member.
	Member uint8
}

// Table classifies MACs; those not in it are strangers.
type Table map[[6]byte]Owner

// Iface is an interface on which questions are asked.
type Iface struct {
	Index int
	Name  string
	// MAC is the interface's own. IPv4 and IPv6 are the member's own addresses there (IPv6: one in the prefix of what is
	// asked, or link-local), never VIPs; the zero value makes the question a probe without sender (RFC 5227, DAD), and
	// an echo impossible.
	MAC        [6]byte
	IPv4, IPv6 netip.Addr
}

// Answer is the end of a question: somebody's answer, or Nobody when its time is over. A question about a VIP may be
// answered more than once, by different MACs: each is reported.
type Answer struct {
	Kind  Kind
	Index int
	Addr  netip.Addr
	// By, Member and MAC say who answered.
	By     By
	Member uint8
	MAC    [6]byte
	// At is CLOCK_BOOTTIME in ns; RTT the time since the question was first asked, or how long nobody answered.
	At  int64
	RTT time.Duration
}
