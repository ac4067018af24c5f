// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"context"
	"log/slog"
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
	// MAC is the interface's own. IPv4 and IPv6 are the member's own addresses there (IPv6: link-local, or one in the
	// prefix of what is asked); the zero value makes the question a probe without sender (RFC 5227, DAD).
	MAC        [6]byte
	IPv4, IPv6 netip.Addr
	// VLAN tags the questions when it is not 0; see announce.Set.
	VLAN uint16
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
	// At is CLOCK_BOOTTIME in ns; RTT the time since the question.
	At  int64
	RTT time.Duration
}

// Asker sends questions and collects answers. Its methods are safe for concurrent use.
type Asker struct{ answers chan Answer }

// New returns an Asker without interfaces. log may be nil.
func New(log *slog.Logger) *Asker { return &Asker{answers: make(chan Answer, 256)} }

// Configure names the interfaces and the owners of MACs; it replaces the former configuration.
func (a *Asker) Configure(ifaces []Iface, table Table) error { return nil }

// Ask sends one question on an interface and returns; the answer, or Nobody after wait, comes on Answers. Asking
// again while a question for the same (kind, interface, address) is open sends another frame and extends its time.
// An Echo needs an earlier answer to Neighbour for the same address (its MAC), else it is sent as Neighbour question first.
func (a *Asker) Ask(kind Kind, index int, addr netip.Addr, wait time.Duration) error { return nil }

// Answers is where answers arrive. When nobody reads, answers beyond the channel's room are dropped.
func (a *Asker) Answers() <-chan Answer { return a.answers }

// Serve reads answers until ctx ends.
func (a *Asker) Serve(ctx context.Context) error { <-ctx.Done(); return nil }

// Learned is a neighbour that the kernel knows.
type Learned struct {
	Addr netip.Addr
	MAC  [6]byte
	// Reachable: confirmed lately. Others were once and are not disproved (stale, delay, probe).
	Reachable bool
	// Confirmed is the time since the last confirmation, in whole clock ticks of the kernel.
	Confirmed time.Duration
}

// ListLearned returns the neighbours that the kernel knows on an interface, the best confirmed first, without those whose
// MAC is in exclude (members, VMACs).
func ListLearned(index int, exclude Table) ([]Learned, error) { return nil, nil }
