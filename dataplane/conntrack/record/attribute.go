// SPDX-License-Identifier: Apache-2.0

package record

import "encoding/binary"

// Attributes of a connection (enum ctattr_type, linux/netfilter/nfnetlink_conntrack.h).
const (
	ctaTupleOrig   = 1
	ctaTupleReply  = 2
	ctaStatus      = 3
	ctaProtoinfo   = 4
	ctaHelp        = 5
	ctaNATSrc      = 6
	ctaTimeout     = 7
	ctaMark        = 8
	ctaNATDst      = 13
	ctaTupleMaster = 14
	ctaSeqAdjOrig  = 15
	ctaSeqAdjReply = 16
	ctaZone        = 18
	ctaLabels      = 22
	ctaSynproxy    = 24
)

// Attributes of an expectation (enum ctattr_expect).
const (
	ctaExpectMaster   = 1
	ctaExpectTuple    = 2
	ctaExpectMask     = 3
	ctaExpectTimeout  = 4
	ctaExpectHelpName = 6
	ctaExpectFlags    = 8
	ctaExpectClass    = 9
	ctaExpectNAT      = 10
	ctaExpectFn       = 11

	ctaExpectNATDir   = 1
	ctaExpectNATTuple = 2
)

// Attributes within others (enums ctattr_tuple, ctattr_ip, ctattr_l4proto, ctattr_protoinfo, ctattr_protoinfo_tcp,
// ctattr_protoinfo_sctp, ctattr_nat, ctattr_protonat, ctattr_help).
const (
	ctaTupleIP    = 1
	ctaTupleProto = 2
	ctaTupleZone  = 3

	ctaIPv4Src = 1
	ctaIPv4Dst = 2
	ctaIPv6Src = 3
	ctaIPv6Dst = 4

	ctaProtoNum        = 1
	ctaProtoSrcPort    = 2
	ctaProtoDstPort    = 3
	ctaProtoICMPID     = 4
	ctaProtoICMPType   = 5
	ctaProtoICMPCode   = 6
	ctaProtoICMPv6ID   = 7
	ctaProtoICMPv6Type = 8
	ctaProtoICMPv6Code = 9

	ctaProtoinfoTCP  = 1
	ctaProtoinfoSCTP = 3

	ctaTCPState       = 1
	ctaTCPWscaleOrig  = 2
	ctaTCPWscaleReply = 3
	ctaTCPFlagsOrig   = 4
	ctaTCPFlagsReply  = 5

	ctaSCTPState     = 1
	ctaSCTPVtagOrig  = 2
	ctaSCTPVtagReply = 3

	ctaNATv4MinIP = 1
	ctaNATProto   = 3
	ctaNATv6MinIP = 4

	ctaProtoNATPortMin = 1

	ctaHelpName = 1
)

// nlaNested marks an attribute that holds others (NLA_F_NESTED); nlaTypeMask takes that and NLA_F_NET_BYTEORDER off its type.
const (
	nlaNested   = 1 << 15
	nlaTypeMask = 1<<14 - 1
	nlaHeader   = 4
)

// next takes the first attribute off b, which must not be empty. Trailing padding that the last attribute lacks is forgiven, as the
// kernel forgives it. The type comes with its flags; ok is false if the attribute's length contradicts b.
func next(b []byte) (typ uint16, value, rest []byte, ok bool) {
	if len(b) < nlaHeader {
		return 0, nil, nil, false
	}
	n := int(binary.LittleEndian.Uint16(b))
	if n < nlaHeader || n > len(b) {
		return 0, nil, nil, false
	}
	return binary.LittleEndian.Uint16(b[2:]), b[nlaHeader:n:n], b[min(align(n), len(b)):], true
}

// Appending. The callers know their lengths, all far below 64 KiB.

func appendHeader(dst []byte, typ uint16, n int) []byte {
	return binary.LittleEndian.AppendUint32(dst, uint32(typ)<<16|uint32(nlaHeader+n)) //nolint:gosec // n is small
}

func appendU8(dst []byte, typ uint16, v uint8) []byte {
	return append(appendHeader(dst, typ, 1), v, 0, 0, 0)
}

func appendU16(dst []byte, typ uint16, v uint16) []byte {
	return append(appendHeader(dst, typ, 2), byte(v>>8), byte(v), 0, 0)
}

func appendU32(dst []byte, typ uint16, v uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(dst, typ, 4), v)
}

// appendBytes appends an attribute with any value, padded.
func appendBytes(dst []byte, typ uint16, v []byte) []byte {
	dst = append(appendHeader(dst, typ, len(v)), v...)
	for range align(len(v)) - len(v) {
		dst = append(dst, 0)
	}
	return dst
}

// begin begins an attribute that holds others, and end ends it: at is what begin returned.
func begin(dst []byte, typ uint16) ([]byte, int) {
	return appendHeader(dst, typ|nlaNested, 0), len(dst)
}

func end(dst []byte, at int) []byte {
	binary.LittleEndian.PutUint16(dst[at:], uint16(len(dst)-at)) //nolint:gosec // bounded by MaxLen
	return dst
}
