// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/steer"
)

// Method is how packets get to the member that takes them, in load sharing. The zero value is invalid.
type Method string

const (
	// MethodMulticast lets virtual addresses resolve to a multicast MAC: every member receives every packet and one takes it.
	MethodMulticast Method = "multicast"
	// MethodUnicast lets one member, the pivot, receive everything and pass on at layer 2 what others take; the default.
	MethodUnicast Method = "unicast"
)

// HashKey is what of a packet decides who takes it. The zero value is invalid.
type HashKey string

const (
	// KeyIPs takes the addresses alone: all connections between two hosts meet one member.
	KeyIPs HashKey = "ips"
	// KeyPorts takes addresses and ports; the default.
	KeyPorts HashKey = "ips+ports"
	// KeySPI takes addresses, ports, and the security parameter index of ESP and AH.
	KeySPI HashKey = "ips+ports+spi"
)

// PortRange is a range of ports, both ends in it.
type PortRange struct{ First, Last uint16 }

// Len is how many ports are in it.
func (r PortRange) Len() int { return int(r.Last) - int(r.First) + 1 }

// String is the range as cluster.yaml writes it.
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// Part is member i's part of n, as the gate cuts it.
func (r PortRange) Part(i, n int) PortRange {
	first, last := steer.Range(r.First, r.Last, n, i)
	return PortRange{first, last}
}

// LoadSharing is the section load-sharing.
type LoadSharing struct {
	Method Method
	Key    HashKey
	// Weights are the members' relative weights, 0 to 100, by member number, at least one of them more than 0; nil: the default, see Weight.
	Weights []uint16 `json:",omitempty"`
	// SNATPorts are the source ports that rulesets translate to, cut in equal parts for the members of the file.
	SNATPorts PortRange
	// Published are the servers that rulesets lead connections to virtual addresses to (DNAT), in the order of addresses, without overlaps.
	Published []netip.Prefix `json:",omitempty"`
	// Adaptive lets weights follow the measured load, with the weights as their starting point.
	Adaptive bool
	// AdaptiveInterval is how often they do at most; 0: 10 s.
	AdaptiveInterval time.Duration `json:",omitempty"`
	// BlockNew drops new connections while state synchronisation is at risk.
	BlockNew bool
	// MulticastMAC is the MAC that virtual addresses resolve to, its group octet 0; nil unless Method is multicast. Interface.VMAC is the same.
	MulticastMAC *[6]byte `json:",omitempty"`
}

// Bounds and defaults of load sharing.
const (
	// MaxShare is the largest weight of a member.
	MaxShare = 100
	// MaxPublished is how many published servers and networks there may be.
	MaxPublished = 256

	defaultAdaptive = 10 * time.Second

	defaultSNATFirst = 32768
	defaultSNATLast  = 65535
	minSNATFirst     = 1024 // below it are the ports of services
	minSNATPart      = 512  // ports that a member needs to be of use
)

// Weight is the weight of member id while leader leads, of n members in the file: the configured one, or by default the same for all in
// multicast; in unicast, where the pivot handles everybody's packets, it takes 30 of 100 beside one other and half a share beside more.
func (l *LoadSharing) Weight(id, leader uint8, n int) uint16 {
	switch {
	case int(id) < len(l.Weights):
		return l.Weights[id]
	case l.Method == MethodMulticast:
		return 50
	case n <= 2 && id == leader:
		return 30
	case n <= 2:
		return 70
	case id == leader:
		return 20
	}
	return 40
}

// Group is the IPv4 multicast group that the multicast MAC belongs to (RFC 1112), which members join so that switches that snoop IGMP
// forward to them. The zero Addr if there is none: the MAC is not of the range 01:00:5e, or the method is unicast.
func (l *LoadSharing) Group() netip.Addr {
	m := l.MulticastMAC
	if m == nil || [3]byte(m[:3]) != ianaMulticast || m[3]&0x80 != 0 {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte{239, m[3], m[4], m[5]})
}

// ModeText is the mode with its method, as operators and members name it: "ha", "load-sharing/unicast".
func (c *Cluster) ModeText() string {
	if c.LoadSharing == nil {
		return string(c.Mode)
	}
	return string(c.Mode) + "/" + string(c.LoadSharing.Method)
}

// Sharing reports whether the members share the load.
func (c *Cluster) Sharing() bool { return c.LoadSharing != nil }

// weightsText writes configured weights as the file does.
func (c *Cluster) weightsText() string {
	if c.LoadSharing == nil || c.LoadSharing.Weights == nil {
		return "default"
	}
	words := make([]string, len(c.LoadSharing.Weights))
	for i, w := range c.LoadSharing.Weights {
		words[i] = fmt.Sprintf("%s: %d", c.Members[i].Name, w)
	}
	return strings.Join(words, ", ")
}
