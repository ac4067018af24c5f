// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"encoding/binary"
	"net"

	"github.com/holdfast-project/holdfast/lab/checksum"
)

// FrameLen is the length of each frame in bytes, without Ethernet's checksum.
const FrameLen = 60

// Of the frames.
const (
	macLen   = 6
	etherLen = 14
	ipLen    = 20
	hops     = 64
	protoUDP = 17
	etherIP  = 0x0800
	// protocolAt is where a frame has its IP protocol.
	protocolAt = etherLen + 9
)

// frame builds a flow's frame.
func frame(to, from net.HardwareAddr, f Flow) []byte {
	b := make([]byte, FrameLen)
	copy(b, to)
	copy(b[macLen:], from)
	binary.BigEndian.PutUint16(b[2*macLen:], etherIP)
	ip := b[etherLen:]
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[6] = 0x40 // don't fragment
	ip[8], ip[9] = hops, protoUDP
	copy(ip[12:], f.From.Addr().AsSlice())
	copy(ip[16:], f.To.Addr().AsSlice())
	binary.BigEndian.PutUint16(ip[10:], ^checksum.Fold(checksum.Sum(ip[:ipLen])))
	udp := ip[ipLen:]
	binary.BigEndian.PutUint16(udp, f.From.Port())
	binary.BigEndian.PutUint16(udp[2:], f.To.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	return b
}
