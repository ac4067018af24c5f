// SPDX-License-Identifier: Apache-2.0

package record

// Types of echo requests.
const (
	echoRequest   = 8
	echoRequestV6 = 128
)

// Answers returns the original tuple of a connection, and that of its answers as a gate tells their packets (AsPacket). Noted says that gates
// need a note of it, because they cannot look it up (see Verdict.Blind), and NAT has changed where its answers come from or go to. Of ICMP only
// echoes have answers that gates know, and gates look at the default zone alone.
func Answers(r Record) (original, answer Tuple, noted bool) {
	var p pair
	if r.Table != TableConnections || p.parse(r) != ReasonNone {
		return Tuple{}, Tuple{}, false
	}
	original, answer = p.orig.public(r.Family), p.reply.public(r.Family).AsPacket()
	noted = blind(p.orig.proto) && !p.orig.unportable && p.zone() == 0 && p.reply != p.orig.inverse(&p.reply)
	if p.orig.icmp {
		noted = noted && (p.orig.proto == protoICMP && p.orig.icmpType == echoRequest || p.orig.proto == protoICMPv6 && p.orig.icmpType == echoRequestV6)
	}
	return original, answer, noted
}

// AsPacket is a tuple as a gate tells the packets of its direction: without a zone, and of GRE with no more than the call.
func (t Tuple) AsPacket() Tuple {
	t.Zone = 0
	if t.Proto == protoGRE {
		t.SrcPort = 0
	}
	return t
}

// blind reports whether gates cannot look up connections of a protocol: as in bpf/src/known.h.
func blind(proto uint8) bool { return proto != protoTCP && proto != protoUDP }
