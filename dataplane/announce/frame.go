// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
)

const (
	etherTypeARP  = 0x0806
	etherTypeVLAN = 0x8100
	etherTypeIPv6 = 0x86dd
	// minFrame is the shortest Ethernet frame without its checksum. Drivers pad, but veth and taps do not.
	minFrame = 60
)

var (
	broadcast    = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodes     = netip.MustParseAddr("ff02::1")
	allNodesMAC  = [6]byte{0x33, 0x33, 0, 0, 0, 1}
	unspecified6 = netip.IPv6Unspecified()
)

// kind is a counter's index and says what a frame is.
type kind uint8

const (
	_ kind = iota
	kindBeacon
	kindRequest
	kindReply
	kindNA
	kindRA
)

// frame is a whole Ethernet frame, ready to send.
type frame struct {
	kind  kind
	bytes []byte
}

// ethernet returns an Ethernet frame, tagged if vlan is not 0 and padded to the minimum.
func ethernet(dst, src [6]byte, vlan, etherType uint16, payload []byte) []byte {
	b := make([]byte, 0, max(minFrame, 18+len(payload)))
	b = append(b, dst[:]...)
	b = append(b, src[:]...)
	if vlan != 0 {
		b = binary.BigEndian.AppendUint16(b, etherTypeVLAN)
		b = binary.BigEndian.AppendUint16(b, vlan)
	}
	b = binary.BigEndian.AppendUint16(b, etherType)
	b = append(b, payload...)
	for len(b) < minFrame {
		b = append(b, 0)
	}
	return b
}

// gratuitousARP announces that addr is at s.MAC. Both forms are sent because hosts differ in which one they believe. The
// request form has target hardware address 0 (RFC 5227), the reply form repeats the sender's.
func (s *Set) gratuitousARP(op arp.Operation, addr netip.Addr) ([]byte, error) {
	target := make(net.HardwareAddr, 6)
	if op == arp.OperationReply {
		copy(target, s.MAC[:])
	}
	p, err := arp.NewPacket(op, s.MAC[:], addr, target, addr)
	if err != nil {
		return nil, fmt.Errorf("gratuitous ARP for %v on %s: %w", addr, s.Name, err)
	}
	b, err := p.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("gratuitous ARP for %v on %s: %w", addr, s.Name, err)
	}
	return ethernet(broadcast, s.source(), s.VLAN, etherTypeARP, b), nil
}

// source is the Ethernet source of everything that s says.
func (s *Set) source() [6]byte {
	if s.Source != ([6]byte{}) {
		return s.Source
	}
	return s.MAC
}

// multicast says that the address announced is a multicast MAC: every member receives what is sent to it.
func (s *Set) multicast() bool { return s.MAC[0]&1 != 0 }

// unsolicitedNA announces that addr is at s.MAC, overriding what neighbours know. Its source is the address itself, as a
// host would send it.
func (s *Set) unsolicitedNA(addr netip.Addr) ([]byte, error) {
	m := &ndp.NeighborAdvertisement{
		Router:        s.IsRouter,
		Override:      true,
		TargetAddress: addr,
		Options:       []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: s.MAC[:]}},
	}
	b, err := s.icmp6(m, addr, allNodes, allNodesMAC)
	if err != nil {
		return nil, fmt.Errorf("neighbour advertisement for %v on %s: %w", addr, s.Name, err)
	}
	return b, nil
}

// icmp6 wraps a neighbour discovery message in IPv6 (hop limit 255, as RFC 4861 demands) and Ethernet.
func (s *Set) icmp6(m ndp.Message, src, dst netip.Addr, dstMAC [6]byte) ([]byte, error) {
	body, err := ndp.MarshalMessageChecksum(m, src, dst)
	if err != nil {
		return nil, err
	}
	ip := make([]byte, 0, 40+len(body))
	ip = append(ip, 0x60, 0, 0, 0)
	ip = binary.BigEndian.AppendUint16(ip, uint16(len(body)))
	ip = append(ip, 58, 255)
	ip = append(ip, src.AsSlice()...)
	ip = append(ip, dst.AsSlice()...)
	ip = append(ip, body...)
	return ethernet(dstMAC, s.source(), s.VLAN, etherTypeIPv6, ip), nil
}

// round returns the frames of one round of announcements, in order: what updates neighbours first, the second form of
// IPv4 last, so that with thousands of addresses each has been named once before any is named twice.
func (s *Set) round() ([]frame, error) {
	var first, second []frame
	for _, addr := range s.addresses() {
		if !addr.Is4() {
			b, err := s.unsolicitedNA(addr)
			if err != nil {
				return nil, err
			}
			first = append(first, frame{kindNA, b})
			continue
		}
		request, err := s.gratuitousARP(arp.OperationRequest, addr)
		if err != nil {
			return nil, err
		}
		reply, err := s.gratuitousARP(arp.OperationReply, addr)
		if err != nil {
			return nil, err
		}
		first = append(first, frame{kindRequest, request})
		second = append(second, frame{kindReply, reply})
	}
	return append(first, second...), nil
}

// addresses are all that is announced, each once.
func (s *Set) addresses() []netip.Addr {
	all := make([]netip.Addr, 0, len(s.VIPs)+len(s.Proxy)+1)
	seen := make(map[netip.Addr]bool, cap(all))
	add := func(a netip.Addr) {
		a = a.Unmap().WithZone("")
		if a.IsValid() && !seen[a] {
			seen[a] = true
			all = append(all, a)
		}
	}
	if s.LinkLocal.IsValid() {
		add(s.LinkLocal)
	}
	for _, a := range s.VIPs {
		add(a)
	}
	for _, a := range s.Proxy {
		add(a)
	}
	return all
}

// beacon is the frame from which switches learn at which port the VMAC is; ok is false without a VMAC or address. It is an
// announcement like the others (ARP request form, else a neighbour advertisement) rather than a frame of the cluster's
// own EtherType: every switch, hypervisor and port filter that lets the segment work passes it, it refreshes hosts at
// the same time, and the egress program already knows it as something that only the server may send.
func (s *Set) beacon() (f frame, ok bool, err error) {
	if !s.Virtual || s.multicast() {
		return frame{}, false, nil
	}
	var six netip.Addr
	for _, addr := range s.addresses() {
		if addr.Is4() {
			b, err := s.gratuitousARP(arp.OperationRequest, addr)
			return frame{kindBeacon, b}, err == nil, err
		}
		if !six.IsValid() {
			six = addr
		}
	}
	if !six.IsValid() {
		return frame{}, false, nil
	}
	b, err := s.unsolicitedNA(six)
	return frame{kindBeacon, b}, err == nil, err
}
