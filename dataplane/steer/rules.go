// SPDX-License-Identifier: Apache-2.0

package steer

import "net/netip"

// Kind is what of a packet makes the key of the hash.
type Kind uint8

// The kinds; their numbers are those of the gate's word.
const (
	ByIPs         Kind = iota // addresses
	ByPorts                   // and ports
	ByPortsAndSPI             // and the SPI of ESP and AH, whose two directions then go different ways
)

// String returns the kind as it is configured.
func (k Kind) String() string {
	switch k {
	case ByIPs:
		return "ips"
	case ByPorts:
		return "ips+ports"
	case ByPortsAndSPI:
		return "ips+ports+spi"
	}
	return "unknown"
}

// Mode is how packets come to the members.
type Mode uint8

// The modes; their numbers are those of the gate's word.
const (
	ModeHA        Mode = iota // one member takes all
	ModeMulticast             // all see all
	ModeUnicast               // the pivot sees all, and passes on
)

// Rules are what a cluster's steering follows, as configured. It is not changed by use: goroutines may share one.
type Rules struct {
	Kind Kind
	Key  [2]uint64
	Mode Mode
	// VIP reports whether the cluster has an address as its own; proxied ones are Published instead. Nil: it has none.
	VIP func(netip.Addr) bool
	// SNATFirst to SNATLast are the ports that SNAT to a VIP uses, cut for Members members. Members 0 or SNATLast 0: there is no such range.
	SNATFirst, SNATLast uint16
	Members             int
	// Published is where destination NAT leads to, and proxied addresses.
	Published []netip.Prefix
	// Blind says that connections cannot be looked up.
	Blind bool
	// BlockNew says that at present nothing begins: unknown packets are dropped.
	BlockNew bool
	// Drained says that the decider has told the others all of what it gives away: it passes what is moving on.
	Drained bool
}

// Slot returns the slot of a packet, and the member whose part of the SNAT range it is for, Nobody if it is for none. If that member takes
// no slot, only the slot counts.
func (r *Rules) Slot(p Packet) (slot uint16, byRange uint8) {
	p = p.steered()
	return r.slot(&p), r.byRange(&p)
}

func (r *Rules) isVIP(a netip.Addr) bool { return r.VIP != nil && r.VIP(a) }

func (r *Rules) isPublished(a netip.Addr) bool {
	for _, p := range r.Published {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// byRange is rule 1.
func (r *Rules) byRange(p *Packet) uint8 {
	if r.Members == 0 || r.SNATLast == 0 || p.Fragment == LaterFragment || !r.isVIP(p.Dst) {
		return Nobody
	}
	if !HasPorts(p.Proto) && !p.isEchoReply() {
		return Nobody
	}
	return RangeMember(r.SNATFirst, r.SNATLast, r.Members, p.DstPort)
}

// slot is rules 2 to 6.
func (r *Rules) slot(p *Packet) uint16 {
	var sport, dport uint16
	var proto uint8
	var spi uint32
	if r.Kind != ByIPs && p.Fragment != LaterFragment {
		proto = p.Proto
		sport, dport = p.ports()
		if r.Kind == ByPortsAndSPI && (proto == ProtoESP || proto == ProtoAH) {
			spi = p.SPI
		}
	}
	six := !p.Src.Is4()
	src, dst := endOf(p.Src, sport), endOf(p.Dst, dport)
	switch r.ends(p) {
	case source:
		return uint16(r.digest(six, src, end{}, proto, spi, true) >> 54)
	case destination:
		return uint16(r.digest(six, dst, end{}, proto, spi, true) >> 54)
	}
	return uint16(r.digest(six, src, dst, proto, spi, false) >> 54)
}

type ends uint8

const (
	both ends = iota
	source
	destination
)

func (r *Rules) ends(p *Packet) ends {
	if r.isVIP(p.Dst) {
		return source
	}
	if len(r.Published) == 0 {
		return both
	}
	src, dst := r.isPublished(p.Src), r.isPublished(p.Dst)
	switch {
	case src && !dst:
		return destination
	case dst && !src:
		return source
	}
	return both
}
