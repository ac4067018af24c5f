// SPDX-License-Identifier: Apache-2.0

package pmtu

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/checksum"
)

// Of the packets (RFC 791, RFC 8200, RFC 768, RFC 792, RFC 4443).
const (
	ipv4Len, ipv6Len, udpLen, icmpLen = 20, 40, 8, 8
	protoICMP, protoUDP, protoICMPv6  = 1, 17, 58
	hops                              = 64
	unreachable, fragmentationNeeded  = 3, 4
	packetTooBig                      = 2
	quotedLen                         = 1400 // of the datagram that is said to have been too big
)

// tooBig is what a router at address from says to source of its packet to dest: that it may have mtu bytes.
func tooBig(from netip.Addr, source, dest netip.AddrPort, mtu int) []byte {
	quoted := make([]byte, udpLen)
	binary.BigEndian.PutUint16(quoted[0:], source.Port())
	binary.BigEndian.PutUint16(quoted[2:], dest.Port())
	binary.BigEndian.PutUint16(quoted[4:], quotedLen)
	quoted = append(header(source.Addr(), dest.Addr(), protoUDP, quotedLen), quoted...)
	icmp := make([]byte, icmpLen, icmpLen+len(quoted))
	var sum uint32
	protocol := byte(protoICMP)
	if from.Is6() {
		protocol, icmp[0] = protoICMPv6, packetTooBig
		binary.BigEndian.PutUint32(icmp[4:], uint32(mtu))
		sum = checksum.Sum(from.AsSlice()) + checksum.Sum(source.Addr().AsSlice()) + protoICMPv6 + uint32(icmpLen+len(quoted))
	} else {
		icmp[0], icmp[1] = unreachable, fragmentationNeeded
		binary.BigEndian.PutUint16(icmp[6:], uint16(mtu))
	}
	icmp = append(icmp, quoted...)
	binary.BigEndian.PutUint16(icmp[2:], ^checksum.Fold(sum+checksum.Sum(icmp)))
	return append(header(from, source.Addr(), protocol, len(icmp)), icmp...)
}

// header is an IP header for size bytes that follow.
func header(from, to netip.Addr, protocol byte, size int) []byte {
	if from.Is6() {
		b := make([]byte, ipv6Len)
		b[0] = 6 << 4
		binary.BigEndian.PutUint16(b[4:], uint16(size))
		b[6], b[7] = protocol, hops
		copy(b[8:], from.AsSlice())
		copy(b[24:], to.AsSlice())
		return b
	}
	b := make([]byte, ipv4Len)
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(ipv4Len+size))
	b[6] = 0x40 // don't fragment
	b[8], b[9] = hops, protocol
	copy(b[12:], from.AsSlice())
	copy(b[16:], to.AsSlice())
	binary.BigEndian.PutUint16(b[10:], ^checksum.Fold(checksum.Sum(b)))
	return b
}

// extendedErr is the kernel's struct sock_extended_err (linux/errqueue.h).
type extendedErr struct {
	errno              uint32
	origin, kind, code uint8
	_                  uint8
	info               uint32
	data               uint32
}

// heard takes an error off a socket's queue that says how large a packet may be.
func heard(fd int) (mtu int, ok bool) {
	var oob [256]byte
	_, n, _, _, err := unix.Recvmsg(fd, nil, oob[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return 0, false
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return 0, false
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if !v4 && !v6 || len(m.Data) < int(unsafe.Sizeof(extendedErr{})) {
			continue
		}
		e := (*extendedErr)(unsafe.Pointer(&m.Data[0]))
		if e.errno == uint32(unix.EMSGSIZE) && e.origin != unix.SO_EE_ORIGIN_LOCAL {
			return int(e.info), true
		}
	}
	return 0, false
}
