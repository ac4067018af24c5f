// SPDX-License-Identifier: Apache-2.0

package prober

import (
	"net/netip"
	"time"

	"github.com/holdfast-project/holdfast/lab/tap"
)

// Port is the switch's end of a member's cable in the segment.
type Port struct {
	// Member is the member's name in reports.
	Member string
	// Interface is the port's name in the switch's namespace.
	Interface string
}

// Config says what to ask, from where, and where to look for answers.
type Config struct {
	// Segment is the segment's name in reports.
	Segment string
	// VIPs are the addresses asked for, IPv4 by ARP, IPv6 by neighbour solicitation. At most 64: with a thousand addresses ask
	// for a few of them.
	VIPs []netip.Addr
	// Every is the time between two rounds; 0 means 10 ms.
	Every time.Duration
	// Host is the namespace of the host that asks, Interface its interface in the segment. Addr4 and Addr6 are the addresses it
	// asks from: in the segment, and carried by nothing else, because the hardware address that goes with them changes from probe
	// to probe and would spoil the members' neighbour entries for a host that sends traffic. They need not be configured.
	Host         tap.Namespace
	Interface    string
	Addr4, Addr6 netip.Addr
	// Switch is the namespace of the switch, Ports the members' ports there.
	Switch tap.Namespace
	Ports  []Port
}

// Answer is one member's answer to one probe.
type Answer struct {
	VIP netip.Addr
	// Probe is the probe's number; Sent when it was sent, At when the answer arrived at the member's port of the switch.
	Probe    uint64
	Sent, At time.Time
	Member   string
	// MAC is the Ethernet source; Claimed the hardware address in the answer (ARP sender, target link-layer address option).
	MAC, Claimed [6]byte
}

// Episode is a time in which an address was contested.
type Episode struct {
	VIP  netip.Addr `json:"vip"`
	From time.Time  `json:"from"`
	To   time.Time  `json:"to"`
	// Members are those who answered, in the order of the configuration.
	Members []string `json:"members,omitempty"`
	// Contested and Interleaved count its probes by kind (package comment).
	Contested   int `json:"contested"`
	Interleaved int `json:"interleaved"`
}

// Service is one member's turn at answering for an address, from its first answer to its last before another's.
type Service struct {
	VIP     netip.Addr `json:"vip"`
	Member  string     `json:"member"`
	From    time.Time  `json:"from"`
	To      time.Time  `json:"to"`
	Answers int        `json:"answers"`
}

// Report is what the prober saw in a window.
type Report struct {
	Segment string    `json:"segment"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	// Probes were sent; Unanswered of them nobody answered.
	Probes     int `json:"probes"`
	Unanswered int `json:"unanswered"`
	// Contested probes were answered by two; Interleaved as in the package comment.
	Contested   int `json:"contested"`
	Interleaved int `json:"interleaved"`
	// Dual is the sum, LongestDual the longest of the episodes, each address by itself.
	Dual        time.Duration `json:"dual_ns"`
	LongestDual time.Duration `json:"longest_dual_ns"`
	Episodes    []Episode     `json:"episodes,omitempty"`
	// Services tell who answered when, per address in order of time.
	Services []Service `json:"services,omitempty"`
	// Missed is how many frames the taps lost for want of room: with more than 0 "never two" is not proven.
	Missed uint `json:"missed"`
}

// ForwardConfig says where to look for packets that leave through two members.
type ForwardConfig struct {
	// Switch is the namespace of a segment's switch, Ports the members' ports there. Watch one segment with each Watch, or all
	// segments with several; a packet is forwarded once per segment that it enters.
	Switch tap.Namespace
	Ports  []Port
	// UDPPort is the traffic's port; 0 means traffic.DefaultPort.
	UDPPort uint16
}

// Twice is a numbered packet that two members put on the same segment.
type Twice struct {
	Run      uint32    `json:"run"`
	Flow     uint16    `json:"flow"`
	Sequence uint64    `json:"sequence"`
	First    string    `json:"first"`
	Second   string    `json:"second"`
	FirstAt  time.Time `json:"first_at"`
	SecondAt time.Time `json:"second_at"`
}

// ForwardReport is what a Watch saw in a window.
type ForwardReport struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Forwarded counts packets per member.
	Forwarded map[string]int `json:"forwarded"`
	// Twice are the packets that two members forwarded, at most the first 1000 of TwiceCount.
	Twice      []Twice `json:"twice,omitempty"`
	TwiceCount int     `json:"twice_count"`
	// Repeated counts packets that the same member forwarded more than once (a duplicating path, not a second server).
	Repeated int `json:"repeated"`
	// Handovers are the changes of the forwarding member per flow.
	Handovers []Handover `json:"handovers,omitempty"`
	// Missed is how many frames the taps lost for want of room.
	Missed uint `json:"missed"`
}

// Handover is a change of the member that forwards a flow.
type Handover struct {
	At       time.Time `json:"at"`
	Flow     uint16    `json:"flow"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Sequence uint64    `json:"sequence"`
}
