// SPDX-License-Identifier: Apache-2.0

package prober

import (
	"encoding/binary"
	"net/netip"
)

// Lengths and numbers of the frames that are built and read here.
const (
	ethLen         = 14
	etherARP       = 0x0806
	etherIPv4      = 0x0800
	etherIPv6      = 0x86dd
	arpLen         = 28
	arpRequest     = 1
	arpReply       = 2
	ipv6Len        = 40
	protoUDP       = 17
	protoICMPv6    = 58
	icmpNS         = 135
	icmpNA         = 136
	ndLen          = 24 // type to target
	optSourceMAC   = 1
	optTargetMAC   = 2
	solicitedFlag  = 0x40
	hopLimitNeeded = 255
)

var broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// askARP builds an ARP request for vip.
func askARP(from [6]byte, source, vip netip.Addr, to [6]byte) []byte {
	b := make([]byte, ethLen+arpLen, 60)
	ethernet(b, to, from, etherARP)
	a := b[ethLen:]
	binary.BigEndian.PutUint16(a[0:], 1)
	binary.BigEndian.PutUint16(a[2:], etherIPv4)
	a[4], a[5] = 6, 4
	binary.BigEndian.PutUint16(a[6:], arpRequest)
	copy(a[8:14], from[:])
	copy(a[14:18], source.AsSlice())
	copy(a[24:28], vip.AsSlice())
	return b[:60] // the least an Ethernet carries
}

// askND builds a neighbour solicitation for vip; a zero to means the solicited-node group.
func askND(from [6]byte, source, vip netip.Addr, to [6]byte) []byte {
	dst, target := vip.As16(), vip.As16()
	if to == ([6]byte{}) {
		dst = [16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: target[13], 14: target[14], 15: target[15]}
		to = [6]byte{0x33, 0x33, 0xff, target[13], target[14], target[15]}
	}
	const icmpLen = ndLen + 8
	b := make([]byte, ethLen+ipv6Len+icmpLen)
	ethernet(b, to, from, etherIPv6)
	ip := b[ethLen:]
	ip[0] = 6 << 4
	binary.BigEndian.PutUint16(ip[4:], icmpLen)
	ip[6], ip[7] = protoICMPv6, hopLimitNeeded
	copy(ip[8:24], source.AsSlice())
	copy(ip[24:40], dst[:])
	icmp := ip[ipv6Len:]
	icmp[0] = icmpNS
	copy(icmp[8:24], target[:])
	icmp[24], icmp[25] = optSourceMAC, 1
	copy(icmp[26:32], from[:])
	binary.BigEndian.PutUint16(icmp[2:], icmpChecksum(ip[8:40], icmp))
	return b
}

func ethernet(b []byte, dst, src [6]byte, etherType uint16) {
	copy(b[0:6], dst[:])
	copy(b[6:12], src[:])
	binary.BigEndian.PutUint16(b[12:], etherType)
}

// icmpChecksum sums the pseudo header (addrs: source and destination) and the message, whose checksum field is 0.
func icmpChecksum(addrs, icmp []byte) uint16 {
	sum := uint32(len(icmp)) + protoICMPv6
	for _, part := range [][]byte{addrs, icmp} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// said is what an ARP frame or a neighbour advertisement says.
type said struct {
	to, mac, claimed [6]byte
	vip              netip.Addr
	// gratuitous is true for what answers nobody: ARP for the sender's own address, an advertisement without the solicited flag.
	gratuitous bool
}

// parse reads an ARP frame or a neighbour advertisement; ok is false for everything else, ARP requests of others among it.
func parse(b []byte) (s said, ok bool) {
	if len(b) < ethLen {
		return said{}, false
	}
	copy(s.to[:], b[0:6])
	copy(s.mac[:], b[6:12])
	switch binary.BigEndian.Uint16(b[12:]) {
	case etherARP:
		return parseARP(s, b[ethLen:])
	case etherIPv6:
		return parseNA(s, b[ethLen:])
	}
	return said{}, false
}

func parseARP(s said, a []byte) (said, bool) {
	if len(a) < arpLen || a[4] != 6 || a[5] != 4 {
		return said{}, false
	}
	copy(s.claimed[:], a[8:14])
	s.vip = netip.AddrFrom4([4]byte(a[14:18]))
	s.gratuitous = s.vip == netip.AddrFrom4([4]byte(a[24:28]))
	return s, s.gratuitous || binary.BigEndian.Uint16(a[6:]) == arpReply
}

func parseNA(s said, ip []byte) (said, bool) {
	if len(ip) < ipv6Len+ndLen || ip[6] != protoICMPv6 || ip[ipv6Len] != icmpNA {
		return said{}, false
	}
	icmp := ip[ipv6Len:]
	s.gratuitous = icmp[4]&solicitedFlag == 0
	s.vip = netip.AddrFrom16([16]byte(icmp[8:24]))
	s.claimed = s.mac
	for opt := icmp[ndLen:]; len(opt) >= 8; {
		length := int(opt[1]) * 8
		if length == 0 || length > len(opt) {
			break
		}
		if opt[0] == optTargetMAC {
			copy(s.claimed[:], opt[2:8])
		}
		opt = opt[length:]
	}
	return s, true
}

// payload returns the UDP payload of an IPv4 or IPv6 frame without fragments and extension headers.
func payload(b []byte) ([]byte, bool) {
	if len(b) < ethLen {
		return nil, false
	}
	ip := b[ethLen:]
	switch binary.BigEndian.Uint16(b[12:]) {
	case etherIPv4:
		if len(ip) < 20 || ip[9] != protoUDP {
			return nil, false
		}
		ip = ip[min(len(ip), int(ip[0]&0xf)*4):]
	case etherIPv6:
		if len(ip) < ipv6Len || ip[6] != protoUDP {
			return nil, false
		}
		ip = ip[ipv6Len:]
	default:
		return nil, false
	}
	const udpLen = 8
	if len(ip) < udpLen {
		return nil, false
	}
	length := int(binary.BigEndian.Uint16(ip[4:]))
	if length < udpLen || length > len(ip) {
		return nil, false
	}
	return ip[udpLen:length], true
}
