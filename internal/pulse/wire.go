// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// msgType is the first byte of a message between main and pulse.
type msgType uint8

// Message types: below 16 from main to pulse, from 16 on from pulse to main. The numbers and layouts of msgBuild and msgFailed never
// change: by these two, different builds tell each other that they are different.
const (
	msgConfigure msgType = 1
	msgWord      msgType = 2
	msgLease     msgType = 3
	msgDrop      msgType = 4
	msgYield     msgType = 5
	msgQuery     msgType = 6
	msgBuild     msgType = 7 // the first message: which build main is
	msgShare     msgType = 8
	msgDropShare msgType = 9

	msgReady   msgType = 16 // the child has opened the words and begins
	msgFailed  msgType = 17 // it cannot begin: the reason follows
	msgHeard   msgType = 18
	msgSilent  msgType = 19
	msgMissed  msgType = 20
	msgYielded msgType = 21
	msgGate    msgType = 22
	msgHealth  msgType = 23
	msgStats   msgType = 24
	msgNotice  msgType = 25
	msgShared  msgType = 26

	msgTogether msgType = 27 // several of the others, but for the first two, each behind its length
)

// maxMessage is longer than any message: the longest is Stats with all links.
const maxMessage = 32 << 10

// errMessage is what every decoding error is: both ends are the same binary, so its cause is a bug, and its bytes say more
// than words here could.
var errMessage = errors.New("pulse: malformed message")

// command is a message from main. It is one flat struct, so that the pulse decodes it without allocating; config is set for
// msgConfigure alone, which may allocate.
type command struct {
	kind     msgType
	group    uint8
	target   uint8
	alone    bool
	yield    ccp.YieldKind
	term     uint32
	lingers  bool   // for msgDropShare
	number   uint32 // of the table of slots, for msgShare
	minAgeMs uint32
	at       int64 // boot time at which main sent msgWord, msgLease or msgShare
	config   *Config
	text     string // build of msgBuild, which may allocate too
}

// appendCommand appends c's packet.
func appendCommand(b []byte, c *command) []byte {
	b = append(b, byte(c.kind))
	switch c.kind {
	case msgConfigure:
		b = appendConfig(b, c.config)
	case msgWord:
		b = appendInt(b, c.at)
	case msgLease:
		b = append(b, c.group, bit(c.alone))
		b = binary.LittleEndian.AppendUint32(b, c.term)
		b = appendInt(b, c.at)
	case msgDrop:
		b = append(b, c.group)
	case msgShare:
		b = binary.LittleEndian.AppendUint32(b, c.term)
		b = binary.LittleEndian.AppendUint32(b, c.number)
		b = appendInt(b, c.at)
	case msgDropShare:
		b = append(b, bit(c.lingers))
	case msgBuild:
		b = appendText(b, c.text)
	case msgYield:
		b = append(b, c.target, c.group, byte(c.yield))
		b = binary.LittleEndian.AppendUint32(b, c.term)
		b = binary.LittleEndian.AppendUint32(b, c.minAgeMs)
	}
	return b
}

// decodeCommand reads one packet from main into c.
func decodeCommand(b []byte, c *command) error {
	r := reader{b: b}
	*c = command{kind: msgType(r.u8())}
	switch c.kind {
	case msgConfigure:
		c.config = r.config()
	case msgWord:
		c.at = r.int()
	case msgLease:
		c.group, c.alone, c.term, c.at = r.u8(), r.bool(), r.u32(), r.int()
	case msgDrop:
		c.group = r.u8()
	case msgYield:
		c.target, c.group, c.yield, c.term, c.minAgeMs = r.u8(), r.u8(), ccp.YieldKind(r.u8()), r.u32(), r.u32()
	case msgShare:
		c.term, c.number, c.at = r.u32(), r.u32(), r.int()
	case msgDropShare:
		c.lingers = r.bool()
	case msgQuery:
	case msgBuild:
		c.text = r.text()
	default:
		return errMessage
	}
	if c.group >= MaxGroups {
		return errMessage
	}
	return r.end()
}

func appendConfig(b []byte, c *Config) []byte {
	b = append(b, c.Self, c.KeyNumber)
	b = binary.LittleEndian.AppendUint16(b, c.Cluster)
	b = binary.LittleEndian.AppendUint16(b, c.EtherType)
	b = append(b, c.Key[:]...)
	b = appendInt(b, int64(c.Probe))
	b = appendInt(b, int64(c.Dead))
	b = appendInt(b, int64(c.Priority))
	b = appendText(b, c.PinDir)
	b = appendText(b, c.Transport)
	b = appendText(b, string(c.Peers))
	b = append(b, byte(len(c.Interfaces)))
	for i := range c.Interfaces {
		f := &c.Interfaces[i]
		b = append(b, f.Slot)
		b = appendInt(b, int64(f.Index))
		b = append(b, f.MAC[:]...)
		b = appendText(b, f.Name)
	}
	return b
}

func (r *reader) config() *Config {
	c := &Config{Self: r.u8(), KeyNumber: r.u8(), Cluster: r.u16(), EtherType: r.u16()}
	copy(c.Key[:], r.take(len(c.Key)))
	c.Probe, c.Dead, c.Priority = time.Duration(r.int()), time.Duration(r.int()), int(r.int())
	c.PinDir, c.Transport = r.text(), r.text()
	if p := r.text(); p != "" {
		c.Peers = []uint8(p)
	}
	for n := int(r.u8()); n > 0 && !r.bad; n-- {
		f := Interface{Slot: r.u8(), Index: int(r.int())}
		copy(f.MAC[:], r.take(len(f.MAC)))
		f.Name = r.text()
		c.Interfaces = append(c.Interfaces, f)
	}
	return c
}

// appendInt appends a 64-bit number.
func appendInt(b []byte, v int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(v)) }

// appendText appends a string behind its length.
func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// reader takes fields from a packet. After the first field that is not there it returns zeros, and end says so.
type reader struct {
	b   []byte
	bad bool
}

var zeros [256]byte

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return zeros[:min(n, len(zeros))]
	}
	f := r.b[:n]
	r.b = r.b[n:]
	return f
}

func (r *reader) u8() uint8   { return r.take(1)[0] }
func (r *reader) u16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }
func (r *reader) int() int64  { return int64(r.u64()) }

func (r *reader) bool() bool {
	v := r.u8()
	r.bad = r.bad || v > 1
	return v == 1
}

func (r *reader) text() string {
	n := int(r.u16())
	if r.bad || n > len(r.b) {
		r.bad = true
		return ""
	}
	return string(r.take(n))
}

// end reports whether the packet was read whole and held nothing more.
func (r *reader) end() error {
	if r.bad || len(r.b) != 0 {
		return errMessage
	}
	return nil
}
