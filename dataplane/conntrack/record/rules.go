// SPDX-License-Identifier: Apache-2.0

package record

import (
	"fmt"
	"net/netip"
	"time"
)

// Rules say which connections are copied. Compile makes a Judge of them.
type Rules struct {
	// Own are the addresses of single members, of all of them; they never move. A connection that begins or ends at one, or is translated
	// to or from one (a masqueraded one, say), nobody else could go on with.
	Own []netip.Addr
	// Virtual are the addresses of the cluster. A connection that ends at one ends in a member's own stack, which is not copied; one that
	// is translated to or from a virtual address is.
	Virtual []netip.Addr
	// Networks are the prefixes of the members' interfaces: what goes to their broadcast addresses is not copied.
	Networks []netip.Prefix
	// Services are looked at in their order; the first that matches decides. What none matches is copied at once.
	Services []Service
	// Zones are the conntrack zones whose connections are copied, 0 the default one; nil: all. As with Checker.Zones, expectations count
	// as of zone 0.
	Zones []uint16
}

// Service says how connections to a service are copied. They match by their original tuple: as the client aimed at it, before DNAT.
// An expectation belongs to its master's service.
type Service struct {
	// Protocol is the IP protocol number.
	Protocol uint8
	// Ports are destination ports; none: every connection of the protocol.
	Ports []PortRange
	// Never: not at all.
	Never bool
	// After: only once the connection has lived this long. Expectations are copied at once.
	After time.Duration
}

// PortRange is First to Last, both included.
type PortRange struct{ First, Last uint16 }

// Matches reports whether a connection with that protocol and destination port is one to the service. Without ports in the protocol, port
// is 0.
func (s *Service) Matches(protocol uint8, port uint16) bool {
	if s.Protocol != protocol {
		return false
	}
	for _, p := range s.Ports {
		if port >= p.First && port <= p.Last {
			return true
		}
	}
	return len(s.Ports) == 0
}

// Skip says why a connection is not copied. It is a label of metrics: ONLY APPEND.
type Skip uint8

// The reasons, in the order in which they are looked for.
const (
	// SkipNone: it is copied.
	SkipNone Skip = iota
	// SkipMalformed: the record has no tuple that could be judged.
	SkipMalformed
	// SkipLoopback: one of its addresses is a loopback address.
	SkipLoopback
	// SkipBroadcast: one of its addresses is a broadcast, multicast or unspecified address.
	SkipBroadcast
	// SkipLinkLocal: one of its ends has an IPv6 link-local address, which no gateway forwards (RFC 4291, 2.5.6).
	SkipLinkLocal
	// SkipOwn: it begins or ends at a member.
	SkipOwn
	// SkipService: its service is never copied.
	SkipService
	// SkipZone: its conntrack zone is not copied.
	SkipZone

	// Skips is how many reasons there are: the length of an array of counters.
	Skips = int(iota)
)

// String returns the reason as metrics label it.
func (s Skip) String() string {
	switch s {
	case SkipNone:
		return "none"
	case SkipMalformed:
		return "malformed"
	case SkipLoopback:
		return "loopback"
	case SkipBroadcast:
		return "broadcast"
	case SkipLinkLocal:
		return "link-local"
	case SkipOwn:
		return "own"
	case SkipService:
		return "service"
	case SkipZone:
		return "zone"
	}
	return fmt.Sprintf("skip-%d", uint8(s))
}

// Verdict is a Judge's. The zero value: copy it now.
type Verdict struct {
	// Skip is why the record is not copied; SkipNone: it is.
	Skip Skip
	// After is how long the connection must have lived before it is copied; 0: at once.
	After time.Duration
	// Blind says that it is copied, and of a protocol whose connections gates cannot look up: neither TCP nor UDP. See Answers.
	Blind bool
}

// Judge tells by compiled Rules which records are copied. It is not changed by use: goroutines may share one.
type Judge struct {
	special  specials // IPv4
	special6 specials
	services []Service
	zones    []uint16
	lookup   [256]bool // protocols that have services
}

// mark says what an address is.
type mark uint8

const (
	markOwn mark = 1 << iota
	markVirtual
	markBroadcast
)

// specials are addresses that are more than anybody's. Nearly every address that is asked for is not among them, and most of these are told by
// their last byte.
type specials struct {
	marks map[address]mark
	ends  [4]uint64
}

func (s *specials) add(a address, m mark) {
	if s.marks == nil {
		s.marks = map[address]mark{}
	}
	s.marks[a] |= m
	end := byte(a.hi ^ a.lo)
	s.ends[end>>6] |= 1 << (end & 63)
}

func (s *specials) of(a address) mark {
	end := byte(a.hi ^ a.lo)
	if s.ends[end>>6]&(1<<(end&63)) == 0 {
		return 0
	}
	return s.marks[a]
}

// Compile makes a Judge. It never fails: addresses that are not valid match nothing.
func (r Rules) Compile() *Judge {
	j := &Judge{services: r.Services, zones: r.Zones}
	for _, a := range r.Own {
		j.set(a, markOwn)
	}
	for _, a := range r.Virtual {
		j.set(a, markVirtual)
	}
	for _, p := range r.Networks {
		if !p.IsValid() || !p.Addr().Is4() || p.Bits() > 30 { // RFC 3021: no broadcast in a /31
			continue
		}
		a := addressOf(p.Addr())
		j.special.add(address{hi: a.hi | (uint64(1)<<(32-p.Bits()) - 1)}, markBroadcast)
	}
	for _, s := range r.Services {
		j.lookup[s.Protocol] = true
	}
	return j
}

func (j *Judge) set(a netip.Addr, m mark) {
	switch a = a.Unmap(); {
	case a.Is4():
		j.special.add(addressOf(a), m)
	case a.Is6():
		j.special6.add(addressOf(a), m)
	}
}

// Judge judges one record of table 1 or 2; a delete is judged as what it ends was.
func (j *Judge) Judge(r Record) Verdict {
	var p pair
	if reason := p.parse(r); reason != ReasonNone {
		return Verdict{Skip: SkipMalformed}
	}
	return j.judge(r, &p)
}

// Examine is Judge and h's Identify in one: it reads the record once. Where the verdict is to skip, there is no identity.
func (j *Judge) Examine(h *Hasher, r Record) (Identity, Verdict) {
	var p pair
	if reason := p.parse(r); reason != ReasonNone {
		return Identity{}, Verdict{Skip: SkipMalformed}
	}
	v := j.judge(r, &p)
	if v.Skip != SkipNone {
		return Identity{}, v
	}
	return h.identify(r, &p), v
}

func (j *Judge) judge(r Record, p *pair) Verdict {
	v := j.rules(r, p)
	if v.Skip == SkipNone && !within(j.zones, p.zone()) {
		return Verdict{Skip: SkipZone}
	}
	v.Blind = v.Skip == SkipNone && r.Table == TableConnections && blind(p.orig.proto)
	return v
}

// zone is a connection's, in both directions or the one that has one.
func (p *pair) zone() uint16 {
	if p.orig.zone != 0 {
		return p.orig.zone
	}
	return p.reply.zone
}

// rules judges by all but the zone.
func (j *Judge) rules(r Record, p *pair) Verdict {
	if r.Table == TableExpectations {
		return j.expectation(r.Family, p)
	}
	// A connection's ends are the sources of both directions: the destinations may be anything that NAT makes of them.
	if skip := kinds(r.Family, p.orig.src, p.orig.dst, p.reply.src, p.reply.dst); skip != SkipNone {
		return Verdict{Skip: skip}
	}
	if p.orig.src.linkLocal(r.Family) || p.reply.src.linkLocal(r.Family) {
		return Verdict{Skip: SkipLinkLocal}
	}
	m := j.marks(r.Family)
	from, to, end, back := m.of(p.orig.src), m.of(p.orig.dst), m.of(p.reply.src), m.of(p.reply.dst)
	switch {
	case (to|end)&markBroadcast != 0:
		return Verdict{Skip: SkipBroadcast}
	case (from|end)&(markOwn|markVirtual) != 0, (to|back)&markOwn != 0:
		return Verdict{Skip: SkipOwn}
	}
	return j.service(&p.orig)
}

// expectation judges by tuple and master. Whether a master to a virtual address was translated it does not tell: those pass.
func (j *Judge) expectation(family uint8, p *pair) Verdict {
	if skip := kinds(family, p.orig.dst, p.orig.dst, p.reply.src, p.reply.dst); skip != SkipNone {
		return Verdict{Skip: skip}
	}
	if p.reply.src.linkLocal(family) || p.reply.dst.linkLocal(family) {
		return Verdict{Skip: SkipLinkLocal}
	}
	if m := j.marks(family); m.of(p.reply.src)&(markOwn|markVirtual) != 0 || m.of(p.reply.dst)&markOwn != 0 {
		return Verdict{Skip: SkipOwn}
	}
	return Verdict{Skip: j.service(&p.reply).Skip}
}

func (j *Judge) marks(family uint8) *specials {
	if family == IPv4 {
		return &j.special
	}
	return &j.special6
}

func (j *Judge) service(orig *tuple) Verdict {
	if !j.lookup[orig.proto] {
		return Verdict{}
	}
	for i := range j.services {
		if s := &j.services[i]; s.Matches(orig.proto, orig.dstPort) {
			if s.Never {
				return Verdict{Skip: SkipService}
			}
			return Verdict{After: s.After}
		}
	}
	return Verdict{}
}

// kinds returns the first reason that one of the addresses gives.
func kinds(family uint8, addresses ...address) Skip {
	worst := kindUnicast
	for _, a := range addresses {
		if k := a.kind(family); k != kindUnicast && (worst == kindUnicast || k == kindLoopback) {
			worst = k
		}
	}
	switch worst {
	case kindLoopback:
		return SkipLoopback
	case kindBroadcast:
		return SkipBroadcast
	}
	return SkipNone
}
