// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"encoding/binary"

	"github.com/holdfast-project/holdfast/lab/checksum"
)

// Of the packets.
const (
	ipv4Len = 20
	ipv6Len = 40
	udpLen  = 8
	tcpLen  = 20

	protoTCP = 6
	protoUDP = 17
	hops     = 64
	tcpSYN   = 0x02
	tcpACK   = 0x10
	window   = 65535
)

// maker builds a run's packets in place.
type maker struct {
	cfg  Config
	base []byte // the packet of a connection between ports 0
	l4   int    // where its UDP or TCP header is
	sum  uint32 // of everything that the checksum covers but ports and number
}

func newMaker(c Config) maker {
	m := maker{cfg: c, l4: ipv4Len}
	upper, protocol := udpLen+c.Payload, byte(protoUDP)
	if c.Protocol == TCP {
		upper, protocol = tcpLen, protoTCP
	}
	from, to := address(c.Client, c.Family).AsSlice(), c.To.AsSlice()
	if c.Family == 6 {
		m.l4 = ipv6Len
		m.base = make([]byte, ipv6Len+upper)
		m.base[0] = 6 << 4
		binary.BigEndian.PutUint16(m.base[4:], uint16(upper))
		m.base[6], m.base[7] = protocol, hops
		copy(m.base[8:], from)
		copy(m.base[24:], to)
	} else {
		m.base = make([]byte, ipv4Len+upper)
		m.base[0] = 0x45
		binary.BigEndian.PutUint16(m.base[2:], uint16(len(m.base)))
		m.base[6] = 0x40 // don't fragment
		m.base[8], m.base[9] = hops, protocol
		copy(m.base[12:], from)
		copy(m.base[16:], to)
		binary.BigEndian.PutUint16(m.base[10:], ^checksum.Fold(checksum.Sum(m.base[:ipv4Len])))
	}
	h := m.base[m.l4:]
	if m.numbered() {
		binary.BigEndian.PutUint32(h[udpLen:], magic)
		binary.BigEndian.PutUint16(h[udpLen+offRun:], c.FirstPort)
	}
	if c.Protocol == TCP {
		h[12], h[13] = tcpLen/4<<4, tcpSYN
		binary.BigEndian.PutUint16(h[14:], window)
	} else {
		binary.BigEndian.PutUint16(h[4:], uint16(upper))
	}
	m.sum = checksum.Sum(from) + checksum.Sum(to) + uint32(protocol) + uint32(upper) + checksum.Sum(h)
	return m
}

// numbered tells whether datagrams carry their connection's number.
func (m maker) numbered() bool { return m.cfg.Protocol == UDP && m.cfg.Payload >= NumberLen }

// put writes connection n's first packet into b, which has the length of a packet.
func (m maker) put(b []byte, n int) {
	copy(b, m.base)
	h := b[m.l4:]
	source, port := uint16(firstSource+n%sources), m.cfg.FirstPort+uint16(n/sources)
	binary.BigEndian.PutUint16(h[0:], source)
	binary.BigEndian.PutUint16(h[2:], port)
	total := m.sum + uint32(source) + uint32(port)
	if m.cfg.Protocol == TCP {
		number := uint32(n) * spread // any will do, if it is not the same for all
		binary.BigEndian.PutUint32(h[4:], number)
		binary.BigEndian.PutUint16(h[16:], ^checksum.Fold(total+number>>16+number&0xffff))
		return
	}
	if m.numbered() {
		binary.BigEndian.PutUint32(h[udpLen+offNumber:], uint32(n))
		total += uint32(n)>>16 + uint32(n)&0xffff
	}
	check := ^checksum.Fold(total)
	if check == 0 {
		check = 0xffff // 0 would say that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(h[6:], check)
}

// NumberLen is the payload of a datagram that carries its connection's number: magic, number, the run's first port, padding.
const (
	NumberLen = 12
	offNumber = 4
	offRun    = 8
	magic     = 0x68666368
)

// A TCP connection's number times spread is the client's first sequence number; spread * gather is 1.
const (
	spread uint32 = 0x9e3779b1
	gather uint32 = 0xe8b2f51
)

// Number returns the number of the connection that a packet of a run belongs to and the run's Config.FirstPort, whichever way it goes
// and however it was translated: of a datagram with a payload of at least NumberLen bytes, or of a SYN or its answer. The packet
// begins at its UDP or TCP header. Other packets than a run's are refused as well as they can be told apart.
func Number(protocol byte, b []byte) (n int, run uint16, ok bool) {
	var number uint32
	var server uint16 // port
	switch {
	case protocol == protoUDP && len(b) >= udpLen+NumberLen && binary.BigEndian.Uint32(b[udpLen:]) == magic:
		number = binary.BigEndian.Uint32(b[udpLen+offNumber:])
		return int(number), binary.BigEndian.Uint16(b[udpLen+offRun:]), number < MaxConnections
	case protocol != protoTCP || len(b) < tcpLen:
		return 0, 0, false
	case b[13]&(tcpSYN|tcpACK) == tcpSYN:
		number, server = binary.BigEndian.Uint32(b[4:])*gather, binary.BigEndian.Uint16(b[2:])
	case b[13]&(tcpSYN|tcpACK) == tcpSYN|tcpACK:
		number, server = (binary.BigEndian.Uint32(b[8:])-1)*gather, binary.BigEndian.Uint16(b)
	default:
		return 0, 0, false
	}
	return int(number), server - uint16(number/sources), number < MaxConnections
}
