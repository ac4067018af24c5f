// SPDX-License-Identifier: Apache-2.0

package record

import "encoding/binary"

// Flags of TCP (linux/netfilter/nf_conntrack_tcp.h) that records carry, and the mask that applies them all.
const (
	tcpWindowScale      = 0x01
	tcpSackPerm         = 0x02
	tcpCloseInit        = 0x04
	tcpLiberal          = 0x08
	tcpSimultaneousOpen = 0x80

	tcpFlags    = tcpWindowScale | tcpSackPerm | tcpCloseInit | tcpLiberal | tcpSimultaneousOpen
	tcpFlagMask = 0xff
)

// States (enum tcp_conntrack, enum sctp_conntrack). The kernel takes SCTP's without looking, and uses it as an index.
const (
	tcpSynSent     = 1
	tcpSynReceived = 2
	tcpEstablished = 3
	tcpStateMax    = 9
	tcpScaleMax    = 14 // RFC 7323

	sctpEstablished = 4
	sctpStateMax    = 8 // HEARTBEAT_SENT; Linux 6.1 has HEARTBEAT_ACKED behind it, which is ESTABLISHED of a second path
)

// appendProtoinfo appends a protocol's state.
func appendProtoinfo(dst []byte, proto uint8, b []byte) ([]byte, error) {
	for len(b) > 0 {
		typ, value, rest, ok := next(b)
		if !ok {
			return dst, Refusal{ReasonStructure, ctaProtoinfo}
		}
		switch typ &= nlaTypeMask; {
		case typ == ctaProtoinfoTCP && proto == protoTCP:
			return appendTCP(dst, value)
		case typ == ctaProtoinfoSCTP && proto == protoSCTP:
			return appendSCTP(dst, value)
		}
		b = rest
	}
	return dst, nil
}

// tcpState is CTA_PROTOINFO_TCP.
type tcpState struct {
	state uint8
	scale [2]uint8
	flags [2]uint8
	mask  [2]uint8
	seen  int // 1<<type of what is there
}

func (t *tcpState) parse(b []byte) Reason {
	for len(b) > 0 {
		typ, value, rest, ok := next(b)
		size := 1
		if typ >= ctaTCPFlagsOrig {
			size = 2
		}
		switch {
		case !ok:
			return ReasonStructure
		case typ < ctaTCPState || typ > ctaTCPFlagsReply:
			return ReasonUnknown
		case t.seen&(1<<typ) != 0:
			return ReasonDuplicate
		case len(value) != size:
			return ReasonSize
		}
		t.seen |= 1 << typ
		switch typ {
		case ctaTCPState:
			t.state = value[0]
		case ctaTCPWscaleOrig, ctaTCPWscaleReply:
			t.scale[typ-ctaTCPWscaleOrig] = value[0]
		default:
			t.flags[typ-ctaTCPFlagsOrig], t.mask[typ-ctaTCPFlagsOrig] = value[0], value[1]
		}
		b = rest
	}
	switch {
	case t.seen&(1<<ctaTCPState) == 0:
		return ReasonMissing
	case t.state > tcpStateMax:
		return ReasonState
	}
	return ReasonNone
}

func appendTCP(dst, b []byte) ([]byte, error) {
	var t tcpState
	if reason := t.parse(b); reason != ReasonNone {
		return dst, Refusal{reason, ctaProtoinfo}
	}
	t.flags[0] &= tcpFlags
	t.flags[1] &= tcpFlags
	return t.append(dst), nil
}

// append appends CTA_PROTOINFO, with liberal flags.
func (t *tcpState) append(dst []byte) []byte {
	dst, at := begin(dst, ctaProtoinfo)
	dst, tcp := begin(dst, ctaProtoinfoTCP)
	dst = appendU8(dst, ctaTCPState, t.state)
	dst = appendU8(dst, ctaTCPWscaleOrig, min(t.scale[0], tcpScaleMax))
	dst = appendU8(dst, ctaTCPWscaleReply, min(t.scale[1], tcpScaleMax))
	dst = append(appendHeader(dst, ctaTCPFlagsOrig, 2), t.flags[0]|tcpLiberal, tcpFlagMask, 0, 0)
	dst = append(appendHeader(dst, ctaTCPFlagsReply, 2), t.flags[1]|tcpLiberal, tcpFlagMask, 0, 0)
	return end(end(dst, tcp), at)
}

// sctpState is CTA_PROTOINFO_SCTP: state and verification tags.
type sctpState struct {
	state uint8
	tags  [2]uint32
}

func (s *sctpState) parse(b []byte) Reason {
	seen := 0
	for len(b) > 0 {
		typ, value, rest, ok := next(b)
		size := 4
		if typ == ctaSCTPState {
			size = 1
		}
		switch {
		case !ok:
			return ReasonStructure
		case typ < ctaSCTPState || typ > ctaSCTPVtagReply:
			return ReasonUnknown
		case seen&(1<<typ) != 0:
			return ReasonDuplicate
		case len(value) != size:
			return ReasonSize
		}
		seen |= 1 << typ
		if typ == ctaSCTPState {
			s.state = value[0]
		} else {
			s.tags[typ-ctaSCTPVtagOrig] = binary.BigEndian.Uint32(value)
		}
		b = rest
	}
	if seen != 1<<ctaSCTPState|1<<ctaSCTPVtagOrig|1<<ctaSCTPVtagReply {
		return ReasonMissing
	}
	return ReasonNone
}

func appendSCTP(dst, b []byte) ([]byte, error) {
	var s sctpState
	if reason := s.parse(b); reason != ReasonNone {
		return dst, Refusal{reason, ctaProtoinfo}
	}
	if s.state > sctpStateMax {
		s.state = sctpEstablished
	}
	dst, at := begin(dst, ctaProtoinfo)
	dst, sctp := begin(dst, ctaProtoinfoSCTP)
	dst = appendU8(dst, ctaSCTPState, s.state)
	dst = appendU32(dst, ctaSCTPVtagOrig, s.tags[0])
	dst = appendU32(dst, ctaSCTPVtagReply, s.tags[1])
	return end(end(dst, sctp), at), nil
}
