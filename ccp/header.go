// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"encoding/binary"
	"fmt"
)

// Specification constants. They are part of the wire format and never change.
const (
	// HeaderVersion is the first byte of every frame.
	HeaderVersion = 1
	// DefaultEtherType is the EtherType of CCP unless the cluster's configuration names another (IEEE's local experimental 1).
	DefaultEtherType = 0x88B5
	// HeaderLen is the length in bytes of the header, its tag included.
	HeaderLen = 56
	// TagOffset is where the header's tag stands.
	TagOffset = 48
	// MinBodyLen is the least length of a body, so that the tag always covers the same 96 bytes.
	MinBodyLen = 48
	// GateFrameLen is the length of every gate frame: header and a body of exactly MinBodyLen.
	GateFrameLen = HeaderLen + MinBodyLen
	// MaxFrameLen is the longest frame a sender makes, and MaxBodyLen its body: one Ethernet frame of 1400 bytes, which passes
	// under every tunnel's MTU that clusters are run over.
	MaxFrameLen = 1400
	MaxBodyLen  = MaxFrameLen - HeaderLen
	// MaxMembers is how many members a cluster can have; they are numbered from 0.
	MaxMembers = 8
	// Nobody stands for no member where a member number is expected, All (the same number) for every member as a target.
	Nobody uint8 = 0xff
	All    uint8 = 0xff
)

// Type says what a frame is. Types below 16 are gate frames: answered by the kernel, frozen for good. From 16 on frames are sealed.
// ONLY APPEND: the numbers are the protocol.
type Type uint8

// The frame types.
const (
	// TypeProbe asks the target's gate whether it lives; the gate answers in place with a TypeReply.
	TypeProbe Type = 1
	// TypeReply is a gate's answer to a probe.
	TypeReply Type = 2
	// TypeYield asks the target's gate to grant a term to the sender.
	TypeYield Type = 3
	// TypeYieldReply is a gate's answer to a yield.
	TypeYieldReply Type = 4
	// TypeHello is a daemon's sealed report of itself and of its view, every 100 ms and at once on any change.
	TypeHello Type = 16
	// TypeKey is set aside for key rotation. Rotation needs no frame of its own (its confirmations travel in HELLO), so no
	// version has sent it yet.
	TypeKey Type = 17
	// TypeSync carries state synchronisation: batches of records, and what is said about them (NextSync).
	TypeSync Type = 18
	// TypeSlots carries the table of who takes which part of the traffic, in a cluster that shares load.
	TypeSlots Type = 19
	// TypePolicy carries policies from member to member, and questions about installs: Policy.
	TypePolicy Type = 20
)

// Gate reports whether t is a gate frame: tagged, not sealed, its body of MinBodyLen.
func (t Type) Gate() bool { return t > 0 && t < 16 }

// Sealed reports whether frames of type t carry a sealed body.
func (t Type) Sealed() bool { return t >= 16 }

// String returns the type's name as logs and metrics show it; unknown types are "type-N".
func (t Type) String() string {
	switch t {
	case TypeProbe:
		return "probe"
	case TypeReply:
		return "reply"
	case TypeYield:
		return "yield"
	case TypeYieldReply:
		return "yield-reply"
	case TypeHello:
		return "hello"
	case TypeKey:
		return "key"
	case TypeSync:
		return "sync"
	case TypeSlots:
		return "slots"
	case TypePolicy:
		return "policy"
	}
	return fmt.Sprintf("type-%d", uint8(t))
}

// FlagQuery marks a probe out of schedule, asked before a claim. It informs and decides nothing.
const FlagQuery uint8 = 1

// Header is the first HeaderLen bytes of a frame, all but its tag. Version and Length are set by the Append functions and Seal;
// what a caller writes there is ignored.
type Header struct {
	Version uint8
	Type    Type
	Flags   uint8
	// Key is the number of the key that the frame is tagged (and sealed) under; its low two bits select the gate's key slot.
	Key     uint8
	Cluster uint16
	// Source and Target are member numbers; Target may be All.
	Source, Target uint8
	// Length of the body in bytes, MinBodyLen..MaxBodyLen.
	Length uint16
	// Incarnation of the sender: its gate's in gate frames, its daemon's in sealed ones.
	Incarnation uint64
	// Sequence is the sender's CLOCK_BOOTTIME in ns when it sent; in sealed frames strictly increasing per incarnation.
	Sequence uint64
	// EchoIncarnation is the target's gate's incarnation as the sender knows it, 0 when unknown.
	EchoIncarnation uint64
	// EchoStamp is the newest Sequence that the sender got from the target's gate in a reply, 0 when unknown; in a reply it is the
	// Sequence of the probe answered.
	EchoStamp uint64
}

// ParseHeader reads the header at the start of b, a frame without its Ethernet header (bytes after the body, as Ethernet pads, are
// allowed). The tag is not looked at: see VerifyTag. Errors wrap ErrShort, ErrVersion, ErrType or ErrLength; the returned header is
// zero then.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("%w: %d bytes, the header alone has %d", ErrShort, len(b), HeaderLen)
	}
	h := readHeader(b)
	switch {
	case h.Version != HeaderVersion:
		return Header{}, fmt.Errorf("%w %d, this member speaks %d", ErrVersion, h.Version, HeaderVersion)
	case h.Type == 0:
		return Header{}, ErrType
	case h.Length < MinBodyLen || h.Length > MaxBodyLen || (h.Type.Gate() && h.Length != MinBodyLen):
		return Header{}, fmt.Errorf("%w: %d in a %v", ErrLength, h.Length, h.Type)
	case len(b) < HeaderLen+int(h.Length):
		return Header{}, fmt.Errorf("%w: %d bytes, %d promised", ErrShort, len(b), HeaderLen+int(h.Length))
	}
	return h, nil
}

// Body returns the body of the frame b that ParseHeader has accepted as h, without whatever Ethernet padded.
func (h Header) Body(b []byte) []byte { return b[HeaderLen : HeaderLen+int(h.Length)] }

// readHeader reads the fields of at least HeaderLen bytes, checking nothing.
func readHeader(b []byte) Header {
	_ = b[HeaderLen-1]
	return Header{
		Version:         b[0],
		Type:            Type(b[1]),
		Flags:           b[2],
		Key:             b[3],
		Cluster:         binary.BigEndian.Uint16(b[4:6]),
		Source:          b[6],
		Target:          b[7],
		Length:          binary.BigEndian.Uint16(b[8:10]),
		Incarnation:     binary.BigEndian.Uint64(b[16:24]),
		Sequence:        binary.BigEndian.Uint64(b[24:32]),
		EchoIncarnation: binary.BigEndian.Uint64(b[32:40]),
		EchoStamp:       binary.BigEndian.Uint64(b[40:48]),
	}
}

// appendHeader appends h with a zero tag.
func appendHeader(b []byte, h Header) []byte {
	b = append(b, HeaderVersion, byte(h.Type), h.Flags, h.Key)
	b = binary.BigEndian.AppendUint16(b, h.Cluster)
	b = append(b, h.Source, h.Target)
	b = binary.BigEndian.AppendUint16(b, h.Length)
	b = append(b, 0, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, h.Incarnation)
	b = binary.BigEndian.AppendUint64(b, h.Sequence)
	b = binary.BigEndian.AppendUint64(b, h.EchoIncarnation)
	b = binary.BigEndian.AppendUint64(b, h.EchoStamp)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0)
}
