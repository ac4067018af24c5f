// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Load is how the members share the load, as this member sees it. In mode ha the request is refused.
type Load struct {
	Member string `json:"member"`
	Method string `json:"method"` // multicast unicast
	Key    string `json:"key"`    // ips, ips+ports, ips+ports+spi
	// Leader makes the tables of slots; in unicast it is the pivot. "": no member is known to lead.
	Leader string    `json:"leader,omitempty"`
	Table  LoadTable `json:"table"`
	// Weights says where the weights come from: default, configuration, order (holdfast load weight), adaptive. With Adaptive those of an order
	// follow the measured load too.
	Weights  string       `json:"weights"`
	Adaptive bool         `json:"adaptive"`
	BlockNew bool         `json:"block_new"`          // new connections are to be dropped while state synchronisation is at risk
	Blocking bool         `json:"blocking,omitempty"` // and this member drops them now
	WindowMs float64      `json:"window_ms"`          // that measured shares and rates are of; 0: nothing was measured yet
	Members  []LoadMember `json:"members"`
	// SNATPorts are the source ports that rules translate to, Defines the file that tells them this member's part.
	SNATPorts string   `json:"snat_ports"`
	Defines   string   `json:"defines,omitempty"`
	Published []string `json:"published,omitempty"`
	// Untranslated are the families, IPv4 and IPv6, of which no connection is translated: this member's gate then looks none up.
	Untranslated []string `json:"untranslated,omitempty"`
	MulticastMAC string   `json:"multicast_mac,omitempty"` // that virtual addresses resolve to, in multicast
	Group        string   `json:"group,omitempty"`         // that its members joined for switches that snoop
	Warnings     []string `json:"warnings,omitempty"`      // what keeps load from being shared as configured
}

// LoadTable is the table of slots that this member goes by.
type LoadTable struct {
	Term    uint32  `json:"term"` // of the leader that made it; 0: this member knows of none
	Number  uint32  `json:"number"`
	Phase   string  `json:"phase,omitempty"`  // prepare commit
	Settled bool    `json:"settled"`          // every slot has a taker, none moves, and all members that take some have confirmed it
	Moving  int     `json:"moving,omitempty"` // slots on their way from one member to another
	Nobody  int     `json:"nobody,omitempty"` // slots that no member takes
	AgeMs   float64 `json:"age_ms"`           // since this member took it
}

// LoadMember is one member's share. Packets are counted by the member's own gate since that was loaded, and are its own word.
type LoadMember struct {
	ID    uint8  `json:"id"`
	Name  string `json:"name"`
	Local bool   `json:"local"`
	State string `json:"state"` // as in State
	// Leader: it answers for the virtual addresses; in unicast it is the pivot.
	Leader bool `json:"leader,omitempty"`
	// Open: its gate takes its share. Confirmed: it goes by the table of Load. Reason says why a member without slots has none.
	Open      bool   `json:"open"`
	Confirmed bool   `json:"confirmed"`
	Leaving   bool   `json:"leaving,omitempty"`
	Term      uint32 `json:"term"` // of its share; 0: none
	Reason    string `json:"reason,omitempty"`
	// Weight is in force, Configured the one of cluster.yaml or its default; they differ after an order, or with adaptive weights.
	Weight     uint16 `json:"weight"`
	Configured uint16 `json:"configured_weight"`
	// Slots are those that it takes of 1024; SharePercent is what that is of all. MeasuredPercent is its part of all packets taken within
	// the window, -1 as long as that is not known.
	Slots           int     `json:"slots"`
	SharePercent    float64 `json:"share_percent"`
	MeasuredPercent float64 `json:"measured_percent"`
	LoadPercent     float64 `json:"load_percent"`  // of its processors
	PacketRate      float64 `json:"packets_per_s"` // taken, within the window
	ByteRate        float64 `json:"bytes_per_s"`
	Packets         uint64  `json:"packets"` // taken: of its own slots, or passed to it
	Bytes           uint64  `json:"bytes"`
	Passed          uint64  `json:"passed"`     // given to other members by the pivot
	Corrected       uint64  `json:"corrected"`  // given to the owner of their connection by a member that was not it
	PassedIn        uint64  `json:"passed_in"`  // got from other members
	Duplicates      uint64  `json:"duplicates"` // of these dropped, because it took them itself
	Unknown         uint64  `json:"unknown"`    // dropped because no member knew their connection
	Foreign         uint64  `json:"foreign"`    // dropped because they are other members'
}

// LoadWeightRequest changes a weight until the next reload, or ends such orders.
type LoadWeightRequest struct {
	Reset  bool   `json:"reset,omitempty"` // the weights of cluster.yaml hold again; Member and Weight are ignored
	Member string `json:"member,omitempty"`
	Weight int    `json:"weight"` // 0 to 100
}

// LoadDefines are the definitions for rulesets that this member has written.
type LoadDefines struct {
	Member string `json:"member"`
	Path   string `json:"path"`            // of the file, for include
	Text   string `json:"text"`            // what is in it
	Error  string `json:"error,omitempty"` // why the file could not be written
}

// WhichRequest asks where a packet would go.
type WhichRequest struct {
	Source          string `json:"source"`
	Destination     string `json:"destination"`
	Protocol        string `json:"protocol,omitempty"` // tcp udp udplite sctp dccp icmp icmpv6 gre esp ah, or a number; "": tcp
	SourcePort      uint16 `json:"sport,omitempty"`    // of an echo: its id
	DestinationPort uint16 `json:"dport,omitempty"`
	SPI             uint32 `json:"spi,omitempty"` // of ESP and AH
	// Reply says that it is an answer: a segment with ACK and without SYN, an echo reply; else it begins something.
	Reply bool `json:"reply,omitempty"`
}

// Which says where a packet goes. Member names are "" where there is none.
type Which struct {
	Member  string `json:"member"`  // that was asked
	Steered bool   `json:"steered"` // false: the decision is not about such packets
	Slot    int    `json:"slot"`    // by hash; -1: none
	// Rule is what the slot follows from: snat-range, published, virtual, both-ends.
	Rule    string `json:"rule,omitempty"`
	Decider string `json:"decider,omitempty"` // that decides: the pivot, or in multicast the taker of the slot
	Taker   string `json:"taker,omitempty"`   // that takes it; "": it is dropped
	Next    string `json:"next,omitempty"`    // that its slot is moving to
	Passed  bool   `json:"passed,omitempty"`  // decider and taker differ: it is passed on at layer 2
	// Why are the steps of the decision, in words.
	Why   []string         `json:"why"`
	Known *WhichConnection `json:"known,omitempty"` // the connection that it belongs to, in this member's table
}

// WhichConnection is a connection of this member's table.
type WhichConnection struct {
	Original string `json:"original"` // its two directions
	Reply    string `json:"reply"`
	Slot     int    `json:"slot"`  // of its original direction
	Owner    string `json:"owner"` // taker of that slot
}

// maxShareWeight is the largest weight.
const maxShareWeight = 100

// Validate refuses a request that no member could carry out.
func (r LoadWeightRequest) Validate() error {
	switch {
	case r.Reset:
		return nil
	case r.Member == "" || len(r.Member) > maxMemberName:
		return Invalid("a member name of "+strconv.Itoa(len(r.Member))+" bytes", "use a name of cluster.yaml")
	case r.Weight < 0 || r.Weight > maxShareWeight:
		return Invalid("weight "+strconv.Itoa(r.Weight), "choose 0 to "+strconv.Itoa(maxShareWeight))
	}
	return nil
}

// protocols are the names that a WhichRequest knows (IANA).
var protocols = map[string]uint8{
	"icmp": 1, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "sctp": 132, "udplite": 136,
}

// Number is the number of the protocol that was asked for; 0 for one that Validate refuses.
func (r WhichRequest) Number() uint8 {
	if r.Protocol == "" {
		return protocols["tcp"]
	}
	if n, ok := protocols[strings.ToLower(r.Protocol)]; ok {
		return n
	}
	n, err := strconv.ParseUint(r.Protocol, 10, 8)
	if err != nil {
		return 0
	}
	return uint8(n)
}

// Addrs are the two addresses, invalid ones for what Validate refuses.
func (r WhichRequest) Addrs() (src, dst netip.Addr) {
	src, _ = netip.ParseAddr(r.Source)
	dst, _ = netip.ParseAddr(r.Destination)
	return src, dst
}

// Validate refuses a request that is about no packet.
func (r WhichRequest) Validate() error {
	src, dst := r.Addrs()
	for text, a := range map[string]netip.Addr{r.Source: src, r.Destination: dst} {
		if !a.IsValid() || a.Zone() != "" || a.Is4In6() {
			return Invalid(fmt.Sprintf("%q is not an address", text), "write 192.0.2.1 or 2001:db8::1")
		}
		if a.IsUnspecified() || a.IsLoopback() {
			return Invalid(text+" is on no wire", "give the addresses of a packet that comes to the gateway")
		}
	}
	switch n := r.Number(); {
	case src.Is4() != dst.Is4():
		return Invalid("addresses of two families", "give two of IPv4 or two of IPv6")
	case n == 0:
		return Invalid(fmt.Sprintf("protocol %q", r.Protocol), "choose tcp, udp, udplite, sctp, dccp, icmp, icmpv6, gre, esp, ah, or a number of 1 to 255")
	case r.SPI != 0 && n != protocols["esp"] && n != protocols["ah"]:
		return Invalid("an SPI with protocol "+r.Protocol, "only esp and ah have one")
	case (n == protocols["icmp"]) && src.Is6(), n == protocols["icmpv6"] && src.Is4():
		return Invalid("protocol "+r.Protocol+" with these addresses", "use icmp with IPv4 and icmpv6 with IPv6")
	}
	return nil
}
