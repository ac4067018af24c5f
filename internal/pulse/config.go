// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// Limits of a configuration.
const (
	MaxMembers    = 8  // members of a cluster, self included
	MaxInterfaces = 16 // monitored interfaces of a member
	MaxGroups     = 16 // VIP groups of a gate
)

// WordMax is the age of main's last Word above which no lease is renewed.
const WordMax = 500 * time.Millisecond

// Ways to address a probe; Config.Transport.
const (
	Unicast   = "unicast"   // to the MAC learned from the peer's authentic replies, to the cluster's multicast MAC until then
	Multicast = "multicast" // always to the cluster's multicast MAC
	Broadcast = "broadcast" // always to ff:ff:ff:ff:ff:ff
)

// Config is all that the pulse needs to know. The zero Transport is Unicast; a zero Priority is DefaultPriority.
type Config struct {
	PinDir    string        // directory of the gate's pinned words
	Self      uint8         // this member's number
	Cluster   uint16        // cluster id
	EtherType uint16        // of CCP frames; 0 is 0x88B5
	KeyNumber uint8         // which key Key is; its low 2 bits select the gate's key slot
	Key       ccp.GateKey   // what gate frames are tagged with
	Probe     time.Duration // probe interval
	Dead      time.Duration // dead interval, at least two probe intervals
	Transport string        // Unicast, Multicast or Broadcast

	Interfaces []Interface // monitored interfaces, at most MaxInterfaces
	Peers      []uint8     // the other members' numbers
	Priority   int         // of SCHED_FIFO, 1..99; negative: stay at normal priority
}

// Interface is one monitored interface of this member.
type Interface struct {
	Slot  uint8   // the interface's number in the cluster, the same on all members
	Index int     // ifindex
	Name  string  // for messages
	MAC   [6]byte // the interface's own address, source of probes
}

// DefaultPriority is the SCHED_FIFO priority of the pulse: above the kernel's threaded interrupts (50), which do work for
// everybody, and below its own watchdogs (99).
const DefaultPriority = 60

// errConfig is what Validate's errors wrap.
var errConfig = errors.New("pulse: configuration")

// Validate says what is wrong with c, or nil.
func (c *Config) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", errConfig, fmt.Sprintf(format, args...))
	}
	switch {
	case c.PinDir == "":
		return bad("no pin directory")
	case c.Self >= MaxMembers:
		return bad("self is %d: want 0..%d", c.Self, MaxMembers-1)
	case c.Probe <= 0 || c.Dead < 2*c.Probe:
		return bad("probe %v, dead %v: dead must be at least two probes", c.Probe, c.Dead)
	case c.Transport != "" && c.Transport != Unicast && c.Transport != Multicast && c.Transport != Broadcast:
		return bad("transport %q: want %s, %s or %s", c.Transport, Unicast, Multicast, Broadcast)
	case len(c.Interfaces) > MaxInterfaces:
		return bad("%d interfaces: at most %d", len(c.Interfaces), MaxInterfaces)
	case c.Priority > 99:
		return bad("priority %d: at most 99", c.Priority)
	}
	var slots [256]bool
	for _, i := range c.Interfaces {
		if slots[i.Slot] || i.Index <= 0 || len(i.Name) > 255 {
			return bad("interface %q (slot %d, index %d): slots are unique, indexes positive", i.Name, i.Slot, i.Index)
		}
		slots[i.Slot] = true
	}
	var members [MaxMembers]bool
	for _, p := range c.Peers {
		if p >= MaxMembers || p == c.Self || members[p] {
			return bad("peer %d of member %d: want each other member once", p, c.Self)
		}
		members[p] = true
	}
	return nil
}
