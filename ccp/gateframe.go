// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"encoding/binary"
	"fmt"
)

// GateKey is the key of the tags that gates check, one per cluster key: see ClusterKey.GateKey.
type GateKey [16]byte

// Bits describe the sender of a gate frame at the moment of sending.
type Bits uint8

// The bits of gate frames.
const (
	// BitAnswer: the sender's gate answers for the VIPs (ARP, ND, local delivery).
	BitAnswer Bits = 1
	// BitForward: the sender's gate forwards.
	BitForward Bits = 2
	// BitAlone: the sender serves because it knows of no other station at all.
	BitAlone Bits = 4
	// BitHearsYou: the sender had a reply from the target within the dead interval.
	BitHearsYou Bits = 8
	// BitRestarting: the sender's daemon announced a restart, for at most 3 s.
	BitRestarting Bits = 16
	// BitWatched: the sender's gate was told lately that somebody hears it.
	BitWatched Bits = 32
)

// YieldKind says on what ground a term is asked for.
type YieldKind uint8

// The kinds of YIELD.
const (
	// YieldCourtesy is granted only if the target's lease is at least MinAgeMs old and the target is not restarting.
	YieldCourtesy YieldKind = 1
	// YieldClaim is unconditional.
	YieldClaim YieldKind = 2
	// YieldGraceful is a claim after which the target goes on forwarding for its linger time.
	YieldGraceful YieldKind = 3
	// YieldShare is a claim that the target gives up its share of the traffic for, at once and without lingering. Gates that do not
	// share load drop it as malformed.
	YieldShare YieldKind = 4
)

// Result is a gate's verdict on a YIELD.
type Result uint8

// The results.
const (
	ResultNone             Result = 0 // no YIELD was decided: a reply to a probe
	ResultGranted          Result = 1
	ResultRefused          Result = 2
	ResultTooYoung         Result = 3 // courtesy: the lease is younger than asked for, or the target is restarting
	ResultWrongIncarnation Result = 4
)

// String returns the result in words.
func (r Result) String() string {
	switch r {
	case ResultNone:
		return "none"
	case ResultGranted:
		return "granted"
	case ResultRefused:
		return "refused"
	case ResultTooYoung:
		return "lease too young"
	case ResultWrongIncarnation:
		return "wrong incarnation"
	}
	return fmt.Sprintf("result-%d", uint8(r))
}

// NoLease is Reply.LeaseAgeMs of a gate without a lease.
const NoLease uint16 = 0xffff

// Probe is the body of a TypeProbe.
type Probe struct {
	// Nonce is random and comes back in the reply: an answer counts only for an outstanding nonce.
	Nonce uint64
	// Term is the term of the sender's lease in Group, 0 for none.
	Term  uint32
	Group uint8
	Bits  Bits
}

// Yield is the body of a TypeYield. Its header's EchoIncarnation must be the incarnation of the target's gate.
type Yield struct {
	Nonce uint64
	// Term is the term asked for.
	Term  uint32
	Group uint8
	Bits  Bits
	Kind  YieldKind
	// MinAgeMs is the least age in ms of the target's lease, for YieldCourtesy only.
	MinAgeMs uint32
}

// Reply is the body of a TypeReply and of a TypeYieldReply: the gate after it has dealt with the frame.
type Reply struct {
	Nonce uint64
	Term  uint32
	Group uint8
	Bits  Bits
	// LeaseAgeMs is the age of the lease in ms, saturating below NoLease, which stands for none.
	LeaseAgeMs uint16
	// FenceTerm and Grantee are the gate's fence.
	FenceTerm uint32
	Grantee   uint8
	Result    Result
	// Heard says for each member how many ms ago this gate heard it, saturating at 255; 0 for itself.
	Heard [MaxMembers]uint8
	// Closed counts frames for a VIP or VMAC that met a closed gate; it wraps.
	Closed uint32
}

// AppendProbe appends a tagged probe to b: GateFrameLen bytes, with no allocation if b has room for them. Of h, Version, Type and
// Length are set here.
func AppendProbe(b []byte, h Header, p Probe, k GateKey) []byte {
	start := len(b)
	h.Type = TypeProbe
	b = appendGateHeader(b, h)
	b = binary.BigEndian.AppendUint64(b, p.Nonce)
	b = binary.BigEndian.AppendUint32(b, p.Term)
	b = append(b, p.Group, byte(p.Bits))
	return finishGate(b, start, k)
}

// AppendYield appends a tagged yield, as AppendProbe does.
func AppendYield(b []byte, h Header, y Yield, k GateKey) []byte {
	start := len(b)
	h.Type = TypeYield
	b = appendGateHeader(b, h)
	b = binary.BigEndian.AppendUint64(b, y.Nonce)
	b = binary.BigEndian.AppendUint32(b, y.Term)
	b = append(b, y.Group, byte(y.Bits), byte(y.Kind), 0)
	b = binary.BigEndian.AppendUint32(b, y.MinAgeMs)
	return finishGate(b, start, k)
}

// AppendReply appends a tagged reply, as AppendProbe does. h.Type chooses between TypeReply and TypeYieldReply; any other becomes
// TypeReply. In production only gates in the kernel make replies: this is for their twins and for tests.
func AppendReply(b []byte, h Header, r Reply, k GateKey) []byte {
	start := len(b)
	if h.Type != TypeYieldReply {
		h.Type = TypeReply
	}
	b = appendGateHeader(b, h)
	b = binary.BigEndian.AppendUint64(b, r.Nonce)
	b = binary.BigEndian.AppendUint32(b, r.Term)
	b = append(b, r.Group, byte(r.Bits))
	b = binary.BigEndian.AppendUint16(b, r.LeaseAgeMs)
	b = binary.BigEndian.AppendUint32(b, r.FenceTerm)
	b = append(b, r.Grantee, byte(r.Result), 0, 0)
	b = append(b, r.Heard[:]...)
	b = binary.BigEndian.AppendUint32(b, r.Closed)
	return finishGate(b, start, k)
}

func appendGateHeader(b []byte, h Header) []byte {
	h.Length = MinBodyLen
	return appendHeader(b, h)
}

// finishGate pads the frame that begins at start with zeros and tags it.
func finishGate(b []byte, start int, k GateKey) []byte {
	for len(b) < start+GateFrameLen {
		b = append(b, 0)
	}
	setTag(b[start:], k)
	return b
}

// ParseProbe reads the body of a TypeProbe; reserved bytes are ignored. The error wraps ErrShort.
func ParseProbe(body []byte) (Probe, error) {
	if err := checkGateBody(body); err != nil {
		return Probe{}, err
	}
	return Probe{
		Nonce: binary.BigEndian.Uint64(body[0:8]),
		Term:  binary.BigEndian.Uint32(body[8:12]),
		Group: body[12],
		Bits:  Bits(body[13]),
	}, nil
}

// ParseYield reads the body of a TypeYield; reserved bytes are ignored. The error wraps ErrShort.
func ParseYield(body []byte) (Yield, error) {
	if err := checkGateBody(body); err != nil {
		return Yield{}, err
	}
	return Yield{
		Nonce:    binary.BigEndian.Uint64(body[0:8]),
		Term:     binary.BigEndian.Uint32(body[8:12]),
		Group:    body[12],
		Bits:     Bits(body[13]),
		Kind:     YieldKind(body[14]),
		MinAgeMs: binary.BigEndian.Uint32(body[16:20]),
	}, nil
}

// ParseReply reads the body of a TypeReply or TypeYieldReply; reserved bytes are ignored. The error wraps ErrShort.
func ParseReply(body []byte) (Reply, error) {
	if err := checkGateBody(body); err != nil {
		return Reply{}, err
	}
	return Reply{
		Nonce:      binary.BigEndian.Uint64(body[0:8]),
		Term:       binary.BigEndian.Uint32(body[8:12]),
		Group:      body[12],
		Bits:       Bits(body[13]),
		LeaseAgeMs: binary.BigEndian.Uint16(body[14:16]),
		FenceTerm:  binary.BigEndian.Uint32(body[16:20]),
		Grantee:    body[20],
		Result:     Result(body[21]),
		Heard:      [MaxMembers]uint8(body[24:32]),
		Closed:     binary.BigEndian.Uint32(body[32:36]),
	}, nil
}

func checkGateBody(body []byte) error {
	if len(body) < MinBodyLen {
		return fmt.Errorf("%w: a gate frame's body has %d bytes, not %d", ErrShort, len(body), MinBodyLen)
	}
	return nil
}
