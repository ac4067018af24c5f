// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
)

const (
	etherTypeARP  = 0x0806
	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86dd
	minFrame      = 60
	etherLen      = 14

	protoICMP, protoICMPv6 = 1, 58
	icmpEchoReply          = 0
	icmpEchoRequest        = 8
	icmp6EchoRequest       = 128
	icmp6EchoReply         = 129
	icmp6NA                = 136
)

var (
	broadcast  = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	errNoOwner = errors.New("the interface has no own address of that family")
)

func ethernet(dst, src [6]byte, etherType uint16, payload []byte) []byte {
	b := make([]byte, 0, max(minFrame, etherLen+len(payload)))
	b = append(b, dst[:]...)
	b = append(b, src[:]...)
	b = binary.BigEndian.AppendUint16(b, etherType)
	b = append(b, payload...)
	for len(b) < minFrame {
		b = append(b, 0)
	}
	return b
}

// resolution is the frame that asks who has addr: ARP request or neighbour solicitation, from the member's own address.
func (in *Iface) resolution(addr netip.Addr) ([]byte, error) {
	if addr.Is4() {
		return in.arpRequest(addr)
	}
	return in.solicitation(addr)
}

func (in *Iface) arpRequest(addr netip.Addr) ([]byte, error) {
	sender := in.source(addr)
	if !sender.IsValid() {
		sender = netip.IPv4Unspecified()
	}
	p, err := arp.NewPacket(arp.OperationRequest, in.MAC[:], sender, make(net.HardwareAddr, 6), addr)
	if err != nil {
		return nil, fmt.Errorf("ARP request: %w", err)
	}
	b, err := p.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("ARP request: %w", err)
	}
	return ethernet(broadcast, in.MAC, etherTypeARP, b), nil
}

func (in *Iface) solicitation(addr netip.Addr) ([]byte, error) {
	m := &ndp.NeighborSolicitation{TargetAddress: addr}
	source := in.source(addr)
	if source.IsValid() {
		m.Options = []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: in.MAC[:]}}
	} else {
		source = netip.IPv6Unspecified()
	}
	group, err := ndp.SolicitedNodeMulticast(addr)
	if err != nil {
		return nil, fmt.Errorf("neighbour solicitation: %w", err)
	}
	body, err := ndp.MarshalMessageChecksum(m, source, group)
	if err != nil {
		return nil, fmt.Errorf("neighbour solicitation: %w", err)
	}
	g := group.As16()
	mac := [6]byte{0x33, 0x33, g[12], g[13], g[14], g[15]}
	return ethernet(mac, in.MAC, etherTypeIPv6, ipv6Packet(source, group, 255, body)), nil
}

func ipv6Packet(src, dst netip.Addr, hops byte, body []byte) []byte {
	b := make([]byte, 0, 40+len(body))
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	b = append(b, protoICMPv6, hops)
	b = append(b, src.AsSlice()...)
	b = append(b, dst.AsSlice()...)
	return append(b, body...)
}

// echoRequest is an ICMP echo request to addr at mac, from the member's own address.
func (in *Iface) echoRequest(addr netip.Addr, mac [6]byte, id, sequence uint16) ([]byte, error) {
	body := []byte{icmpEchoRequest, 0, 0, 0}
	body = binary.BigEndian.AppendUint16(body, id)
	body = binary.BigEndian.AppendUint16(body, sequence)
	body = append(body, "holdfast"...)
	source := in.source(addr)
	if !source.IsValid() {
		return nil, errNoOwner
	}
	if addr.Is4() {
		binary.BigEndian.PutUint16(body[2:], checksum(0, body))
		return ethernet(mac, in.MAC, etherTypeIPv4, ipv4Packet(source, addr, body)), nil
	}
	body[0] = icmp6EchoRequest
	b := ipv6Packet(source, addr, 64, body)
	binary.BigEndian.PutUint16(b[42:], checksum(uint32(len(body))+protoICMPv6, b[8:]))
	return ethernet(mac, in.MAC, etherTypeIPv6, b), nil
}

func ipv4Packet(src, dst netip.Addr, body []byte) []byte {
	b := make([]byte, 0, 20+len(body))
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(body)))
	b = append(b, 0, 0, 0x40, 0, 64, protoICMP, 0, 0)
	b = append(b, src.AsSlice()...)
	b = append(b, dst.AsSlice()...)
	binary.BigEndian.PutUint16(b[10:], checksum(0, b))
	return append(b, body...)
}

// checksum is the Internet checksum of b (of even length), with sum added.
func checksum(sum uint32, b []byte) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// heard is an answer as read from a frame.
type heard struct {
	addr netip.Addr
	mac  [6]byte
	echo bool
	// id and sequence of an echo reply
	id, sequence uint16
}

// parse reads an untagged Ethernet frame; ok is false for all but ARP replies, neighbour advertisements and echo replies.
func parse(b []byte) (h heard, ok bool) {
	if len(b) < etherLen {
		return heard{}, false
	}
	h.mac = [6]byte(b[6:12])
	payload := b[etherLen:]
	switch binary.BigEndian.Uint16(b[12:]) {
	case etherTypeARP:
		return parseARP(payload)
	case etherTypeIPv4:
		return parseIPv4(h, payload)
	case etherTypeIPv6:
		return parseIPv6(h, payload)
	}
	return heard{}, false
}

func parseARP(b []byte) (heard, bool) {
	// Ethernet, IPv4, lengths 6 and 4, reply.
	if len(b) < 28 || [8]byte(b[:8]) != [8]byte{0, 1, 8, 0, 6, 4, 0, 2} {
		return heard{}, false
	}
	return heard{mac: [6]byte(b[8:14]), addr: netip.AddrFrom4([4]byte(b[14:18]))}, true
}

func parseIPv4(h heard, b []byte) (heard, bool) {
	if len(b) < 20 || b[0]>>4 != 4 || b[9] != protoICMP {
		return heard{}, false
	}
	header := int(b[0]&0xf) * 4
	if header < 20 || len(b) < header+8 || b[header] != icmpEchoReply {
		return heard{}, false
	}
	h.addr = netip.AddrFrom4([4]byte(b[12:16]))
	h.echo = true
	h.id, h.sequence = binary.BigEndian.Uint16(b[header+4:]), binary.BigEndian.Uint16(b[header+6:])
	return h, true
}

func parseIPv6(h heard, b []byte) (heard, bool) {
	if len(b) < 48 || b[0]>>4 != 6 || b[6] != protoICMPv6 {
		return heard{}, false
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length < 8 || 40+length > len(b) {
		return heard{}, false
	}
	body := b[40 : 40+length]
	switch body[0] {
	case icmp6EchoReply:
		h.addr = netip.AddrFrom16([16]byte(b[8:24]))
		h.echo = true
		h.id, h.sequence = binary.BigEndian.Uint16(body[4:]), binary.BigEndian.Uint16(body[6:])
		return h, true
	case icmp6NA:
		if b[7] != 255 { // from beyond the link
			return heard{}, false
		}
		return parseNA(h, body)
	}
	return heard{}, false
}

// parseNA takes the MAC from the option, which an answer to a multicast question must have.
func parseNA(h heard, body []byte) (heard, bool) {
	m, err := ndp.ParseMessage(body)
	if err != nil {
		return heard{}, false
	}
	na, isNA := m.(*ndp.NeighborAdvertisement)
	if !isNA {
		return heard{}, false
	}
	h.addr = na.TargetAddress
	for _, o := range na.Options {
		if lla, isLLA := o.(*ndp.LinkLayerAddress); isLLA && lla.Direction == ndp.Target && len(lla.Addr) == 6 {
			h.mac = [6]byte(lla.Addr)
		}
	}
	return h, true
}
