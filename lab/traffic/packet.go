// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"encoding/binary"
	"hash/crc32"
)

// HeaderLen is the length of a numbered packet's fields in bytes, the least payload.
const HeaderLen = 32

// Magic is the first word of every numbered packet ("HFT1").
const Magic = 0x48465431

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Packet is a numbered packet's fields.
type Packet struct {
	Run      uint32
	Flow     uint16
	Sequence uint64
	// Sent is when it was sent, in ns since the start of the run.
	Sent int64
}

// put writes p and the checksum into b, which has the payload's length and at least HeaderLen bytes.
func (p Packet) put(b []byte) {
	binary.BigEndian.PutUint32(b[0:], Magic)
	binary.BigEndian.PutUint32(b[4:], p.Run)
	binary.BigEndian.PutUint16(b[8:], p.Flow)
	binary.BigEndian.PutUint16(b[10:], 0)
	binary.BigEndian.PutUint64(b[12:], p.Sequence)
	binary.BigEndian.PutUint64(b[20:], uint64(p.Sent))
	binary.BigEndian.PutUint32(b[28:], checksum(b))
}

// ParsePacket reads a UDP payload. ok is false when it is not a numbered packet; intact tells whether its checksum is right.
// A payload that was cut in capture is not intact.
func ParsePacket(b []byte) (p Packet, intact, ok bool) {
	if len(b) < HeaderLen || binary.BigEndian.Uint32(b) != Magic {
		return Packet{}, false, false
	}
	p = Packet{
		Run:      binary.BigEndian.Uint32(b[4:]),
		Flow:     binary.BigEndian.Uint16(b[8:]),
		Sequence: binary.BigEndian.Uint64(b[12:]),
		Sent:     int64(binary.BigEndian.Uint64(b[20:])),
	}
	return p, checksum(b) == binary.BigEndian.Uint32(b[28:]), true
}

func checksum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:28])
	return crc32.Update(sum, castagnoli, b[HeaderLen:])
}
