// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"net/netip"
	"slices"
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
	// Echo asks as Neighbour does and then, where that was answered, by an ICMP echo request to the MAC that answered.
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
	// MAC is the interface's own. Own are the member's own addresses there, never VIPs: a question is asked from the one whose
	// prefix holds what is asked for, else from the first of that family. Without any, the question is a probe without sender
	// (RFC 5227, DAD), and an echo impossible.
	MAC [6]byte
	Own []netip.Prefix
}

// source is the own address to ask for addr from; the zero Addr if there is none of its family.
func (in *Iface) source(addr netip.Addr) netip.Addr {
	var first netip.Addr
	best := -1
	for _, p := range in.Own {
		switch {
		case p.Addr().Is4() != addr.Is4():
		case p.Contains(addr) && p.Bits() > best:
			first, best = p.Addr(), p.Bits()
		case !first.IsValid():
			first = p.Addr()
		}
	}
	return first
}

// Same reports whether o is the same interface in every respect.
func (in Iface) Same(o Iface) bool {
	return in.Index == o.Index && in.Name == o.Name && in.MAC == o.MAC && slices.Equal(in.Own, o.Own)
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
	// At is CLOCK_BOOTTIME in ns; RTT the time since the question was asked, or how long nobody answered. Of a question that was
	// repeated an echo reply tells which one it answers; any other answer counts for the first.
	At  int64
	RTT time.Duration
}
