// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sync says how the members keep each other's connections.
type Sync struct {
	// Enabled is true by default where a monitored interface has the role sync or cluster+sync.
	Enabled bool
	// Services are synchronised in another way than at once, ordered by protocol and port; no two of them share a port.
	Services []SyncService
	// Sets are the dynamic nftables sets and maps that are synchronised too, in the order of their texts.
	Sets []SyncSet
	// Zones are the conntrack zones that are synchronised, ascending; nil: all. Not in the digest then.
	Zones []uint16 `json:",omitempty"`
	// TCPLoose leaves the host's nf_conntrack_tcp_loose alone, so that a connection which no member knows is picked up in the middle.
	TCPLoose bool
	// FullSyncRate bounds a full sync, in records a second.
	FullSyncRate int
	// Buffer is the size in bytes of the socket that the kernel's events come through. Member-local.
	Buffer int
}

// SyncService is one rule about connections to some ports of one protocol.
type SyncService struct {
	// Name is the key as written: a name of the built-in list, or PROTOCOL/PORT.
	Name string
	// Protocol is the IP protocol number. First and Last bound the destination ports of the first packet; 0 and 0 for all, which is the only
	// choice where the protocol has no ports.
	Protocol    uint8
	First, Last uint16
	// Never leaves the connections out altogether. After holds a new one back this long: those that end sooner cost the peers nothing.
	Never bool
	After time.Duration `json:",omitzero"`
}

// SyncSet names one set or map of nftables.
type SyncSet struct {
	Family string // ip, ip6, inet, arp, bridge, netdev
	Table  string
	Name   string
}

// Bounds and defaults of state synchronisation.
const (
	defaultFullSyncRate = 200_000
	defaultSyncBuffer   = 32 << 20
	maxSyncServices     = 64
	maxSyncSets         = 32
	maxSyncZones        = 64
	maxSyncAfter        = 10 * time.Minute
)

// IP protocol numbers (IANA).
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoGRE     = 47
	protoESP     = 50
	protoICMPv6  = 58
	protoSCTP    = 132
	protoUDPLite = 136
)

// syncProtocols are those that connection tracking tells apart; ports says which of them have some.
var syncProtocols = map[string]struct {
	number uint8
	ports  bool
}{
	"tcp": {protoTCP, true}, "udp": {protoUDP, true}, "sctp": {protoSCTP, true}, "dccp": {protoDCCP, true}, "udplite": {protoUDPLite, true},
	"icmp": {protoICMP, false}, "icmpv6": {protoICMPv6, false}, "gre": {protoGRE, false}, "esp": {protoESP, false},
}

// syncNames are services known by name (IANA's registry): what is short and plentiful, or long and dear.
var syncNames = map[string][]SyncService{
	"dns":      {{Protocol: protoTCP, First: 53, Last: 53}, {Protocol: protoUDP, First: 53, Last: 53}},
	"ftp":      {{Protocol: protoTCP, First: 21, Last: 21}},
	"http":     {{Protocol: protoTCP, First: 80, Last: 80}},
	"https":    {{Protocol: protoTCP, First: 443, Last: 443}, {Protocol: protoUDP, First: 443, Last: 443}},
	"imap":     {{Protocol: protoTCP, First: 143, Last: 143}},
	"imaps":    {{Protocol: protoTCP, First: 993, Last: 993}},
	"kerberos": {{Protocol: protoTCP, First: 88, Last: 88}, {Protocol: protoUDP, First: 88, Last: 88}},
	"ldap":     {{Protocol: protoTCP, First: 389, Last: 389}, {Protocol: protoUDP, First: 389, Last: 389}},
	"ntp":      {{Protocol: protoUDP, First: 123, Last: 123}},
	"ping":     {{Protocol: protoICMP}, {Protocol: protoICMPv6}},
	"radius":   {{Protocol: protoUDP, First: 1812, Last: 1813}},
	"sip":      {{Protocol: protoTCP, First: 5060, Last: 5060}, {Protocol: protoUDP, First: 5060, Last: 5060}},
	"smtp":     {{Protocol: protoTCP, First: 25, Last: 25}},
	"snmp":     {{Protocol: protoUDP, First: 161, Last: 162}},
	"ssh":      {{Protocol: protoTCP, First: 22, Last: 22}},
	"syslog":   {{Protocol: protoTCP, First: 514, Last: 514}, {Protocol: protoUDP, First: 514, Last: 514}},
}

// protocolName is the reverse of syncProtocols.
func protocolName(number uint8) string {
	for name, p := range syncProtocols {
		if p.number == number {
			return name
		}
	}
	return fmt.Sprint(number)
}

// String is the rule as an operator reads it: "tcp/80 after 3s".
func (s SyncService) String() string {
	what := protocolName(s.Protocol)
	switch s.First {
	case 0:
	case s.Last:
		what += fmt.Sprintf("/%d", s.First)
	default:
		what += fmt.Sprintf("/%d-%d", s.First, s.Last)
	}
	if s.Never {
		return what + " never"
	}
	return what + " after " + short(s.After)
}

// overlaps reports whether some connection is of both.
func (s SyncService) overlaps(o SyncService) bool {
	return s.Protocol == o.Protocol && (s.First == 0 || o.First == 0 || s.First <= o.Last && o.First <= s.Last)
}

func compareServices(a, b SyncService) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.First, b.First))
}

// String is the set as nft names it.
func (s SyncSet) String() string { return s.Family + " " + s.Table + " " + s.Name }

// shared is what of it must be the same on all members, nil at the defaults: def is the default of Enabled.
func (s Sync) shared(def bool) *Sync {
	s.Buffer = 0
	s.Services = slices.Clone(s.Services)
	for i := range s.Services {
		s.Services[i].Name = "" // http and tcp/80 are the same
	}
	if s.Enabled == def && len(s.Services) == 0 && len(s.Sets) == 0 && len(s.Zones) == 0 && !s.TCPLoose && s.FullSyncRate == defaultFullSyncRate {
		return nil
	}
	return &s
}

// SyncInterfaces returns the interfaces that state synchronisation uses.
func (c *Cluster) SyncInterfaces() []Interface {
	var all []Interface
	for _, i := range c.Interfaces {
		if i.Role.Sync() && i.Monitored {
			all = append(all, i)
		}
	}
	return all
}

// zonesText writes zones as an operator reads them.
func zonesText(zones []uint16) string {
	if len(zones) == 0 {
		return "all"
	}
	text := make([]string, len(zones))
	for i, z := range zones {
		text[i] = strconv.Itoa(int(z))
	}
	return strings.Join(text, ", ")
}

// words joins what can say itself.
func words[T fmt.Stringer](all []T) string {
	text := make([]string, len(all))
	for i, s := range all {
		text[i] = s.String()
	}
	return strings.Join(text, ", ")
}
