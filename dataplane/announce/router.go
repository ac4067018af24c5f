// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/ndp"
)

// Specification constants (RFC 4861, sections 6.2.1 and 10).
const (
	maxInitialInterval = 16 * time.Second
	initialAdverts     = 3
	minDelayBetween    = 3 * time.Second
	maxDelay           = 500 * time.Millisecond

	defaultMaxInterval = 600 * time.Second
	defaultValid       = 30 * 24 * time.Hour
	defaultPreferred   = 7 * 24 * time.Hour

	// mostOctets is what every IPv6 link carries (RFC 8200); advertisements are not fragmented (RFC 6980).
	mostOctets = 1280
	// mostServers and mostSearch fit into one option: its encoder knows no more than 31 x 8 octets.
	mostServers, mostSearch = 15, 240
)

// preferences on the wire (RFC 4191).
var preferences = map[Preference]ndp.Preference{"": ndp.Medium, PreferenceMedium: ndp.Medium, PreferenceLow: ndp.Low, PreferenceHigh: ndp.High}

// withDefaults fills zero durations and checks bounds.
func (r Router) withDefaults() (Router, error) {
	if r.MaxInterval == 0 {
		r.MaxInterval = defaultMaxInterval
	}
	if r.MaxInterval < 4*time.Second || r.MaxInterval > 1800*time.Second {
		return r, fmt.Errorf("router advertisement: maximum interval %v: choose 4s to 1800s", r.MaxInterval)
	}
	if r.MinInterval == 0 {
		r.MinInterval = max(r.MaxInterval/3, 3*time.Second)
	}
	if r.MinInterval < 3*time.Second || r.MinInterval > r.MaxInterval*3/4 {
		return r, fmt.Errorf("router advertisement: minimum interval %v: choose 3s to three quarters of the maximum (%v)",
			r.MinInterval, r.MaxInterval*3/4)
	}
	if r.Lifetime == 0 {
		r.Lifetime = 3 * r.MaxInterval
	}
	if r.NoDefaultRoute {
		r.Lifetime = 0
	} else if r.Lifetime < r.MaxInterval || r.Lifetime > 9000*time.Second {
		return r, fmt.Errorf("router advertisement: lifetime %v: choose the maximum interval (%v) to 9000s", r.Lifetime, r.MaxInterval)
	}
	if _, known := preferences[r.Preference]; !known {
		return r, fmt.Errorf("router advertisement: preference %q: choose low, medium or high", r.Preference)
	}
	if len(r.DNS) > mostServers {
		return r, fmt.Errorf("router advertisement: %d DNS servers: name at most %d", len(r.DNS), mostServers)
	}
	search := 0
	for _, name := range r.Search {
		search += len(name) + 2 // an octet more for each label and for the end
	}
	if search > mostSearch {
		return r, fmt.Errorf("router advertisement: search domains take %d octets: name fewer, %d at most", search, mostSearch)
	}
	for _, a := range r.DNS {
		if !a.Is6() || a.Is4In6() {
			return r, fmt.Errorf("router advertisement: DNS server %v: give an IPv6 address; IPv4 servers come by DHCP", a)
		}
	}
	if r.DNSLifetime == 0 {
		r.DNSLifetime = 3 * r.MaxInterval
	}
	prefixes := make([]Prefix, len(r.Prefixes))
	for i, p := range r.Prefixes {
		if a := p.Prefix.Addr(); !a.Is6() || a.Is4In6() {
			return r, fmt.Errorf("router advertisement: prefix %v: give an IPv6 network", p.Prefix)
		}
		if p.Valid == 0 {
			p.Valid = defaultValid
		}
		switch {
		case p.Deprecated:
			p.Preferred = 0
		case p.Preferred == 0:
			p.Preferred = min(defaultPreferred, p.Valid)
		}
		if p.Preferred > p.Valid {
			return r, fmt.Errorf("router advertisement: prefix %v: preferred lifetime %v is longer than the valid one, %v",
				p.Prefix, p.Preferred, p.Valid)
		}
		prefixes[i] = p
	}
	r.Prefixes = prefixes
	return r, nil
}

// routerAdvert builds the advertisement of s for dst (all nodes, or the one that asked). s.Router has its defaults.
func (s *Set) routerAdvert(dst netip.Addr, dstMAC [6]byte) ([]byte, error) {
	if !s.LinkLocal.Is6() || !s.LinkLocal.IsLinkLocalUnicast() {
		return nil, fmt.Errorf("router advertisement on %s: source %v is not link-local: give the interface a virtual link-local address",
			s.Name, s.LinkLocal)
	}
	r := s.Router
	m := &ndp.RouterAdvertisement{
		CurrentHopLimit:      r.HopLimit,
		ManagedConfiguration: r.Managed,
		OtherConfiguration:   r.OtherConfig,
		RouterLifetime:       r.Lifetime,
		Options:              []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: s.MAC[:]}},
	}
	if r.MTU != 0 {
		m.Options = append(m.Options, ndp.NewMTU(r.MTU))
	}
	for _, p := range r.Prefixes {
		m.Options = append(m.Options, &ndp.PrefixInformation{
			PrefixLength:                   uint8(p.Prefix.Bits()),
			OnLink:                         !p.OffLink,
			AutonomousAddressConfiguration: !p.NoAutonomous,
			ValidLifetime:                  p.Valid,
			PreferredLifetime:              p.Preferred,
			Prefix:                         p.Prefix.Masked().Addr(),
		})
	}
	if r.Lifetime > 0 { // without a default route it has to be medium
		m.RouterSelectionPreference = preferences[r.Preference]
	}
	if len(r.DNS) != 0 {
		m.Options = append(m.Options, &ndp.RecursiveDNSServer{Lifetime: r.DNSLifetime, Servers: r.DNS})
	}
	if len(r.Search) != 0 {
		m.Options = append(m.Options, &ndp.DNSSearchList{Lifetime: r.DNSLifetime, DomainNames: r.Search})
	}
	b, err := s.icmp6(m, s.LinkLocal.WithZone(""), dst, dstMAC)
	if err != nil {
		return nil, fmt.Errorf("router advertisement on %s: %w", s.Name, err)
	}
	if octets := len(b) - s.headerLength(); octets > mostOctets {
		return nil, fmt.Errorf("router advertisement on %s: %d octets, and no more than %d are sure to pass: give fewer prefixes, "+
			"servers or domains", s.Name, octets, mostOctets)
	}
	return b, nil
}

// headerLength is that of the Ethernet header.
func (s *Set) headerLength() int {
	if s.VLAN != 0 {
		return 18
	}
	return 14
}

// solicit is a valid router solicitation.
type solicit struct {
	source netip.Addr // unspecified when the host has no address yet
	mac    [6]byte    // Ethernet source
}

var errNotSolicit = errors.New("not a router solicitation")

// parseSolicit reads an untagged Ethernet frame and applies the checks of RFC 4861 section 6.1.1. The checksum is checked.
func parseSolicit(b []byte) (solicit, error) {
	const ip, icmp = 14, 54
	if len(b) < icmp+8 || b[12] != 0x86 || b[13] != 0xdd || b[ip+6] != 58 || b[ip+7] != 255 {
		return solicit{}, errNotSolicit
	}
	length := int(b[ip+4])<<8 | int(b[ip+5])
	if length < 8 || icmp+length > len(b) || b[icmp] != 133 || b[icmp+1] != 0 {
		return solicit{}, errNotSolicit
	}
	body := b[icmp : icmp+length]
	if checksum(b[ip+8:icmp], body) != 0 {
		return solicit{}, fmt.Errorf("%w: checksum", errNotSolicit)
	}
	m, err := ndp.ParseMessage(body)
	if err != nil {
		return solicit{}, fmt.Errorf("%w: %w", errNotSolicit, err)
	}
	rs, isRS := m.(*ndp.RouterSolicitation)
	if !isRS {
		return solicit{}, errNotSolicit
	}
	s := solicit{source: netip.AddrFrom16([16]byte(b[ip+8 : ip+24])), mac: [6]byte(b[6:12])}
	for _, o := range rs.Options {
		lla, isLLA := o.(*ndp.LinkLayerAddress)
		if isLLA && lla.Direction == ndp.Source && len(lla.Addr) == 6 {
			if s.source == unspecified6 {
				return solicit{}, fmt.Errorf("%w: link-layer option without a source address", errNotSolicit)
			}
			s.mac = [6]byte(lla.Addr)
		}
	}
	return s, nil
}

// checksum is the ICMPv6 checksum over addresses (32 bytes) and body; 0 when the body's own is right.
func checksum(addresses, body []byte) uint16 {
	sum := uint32(len(body)) + 58
	for _, part := range [][]byte{addresses, body} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(part[i])<<8 | uint32(part[i+1])
		}
		if len(part)%2 == 1 {
			sum += uint32(part[len(part)-1]) << 8
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
