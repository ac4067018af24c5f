// SPDX-License-Identifier: Apache-2.0

package record

// Bits of a connection's status (enum ip_conntrack_status) that records carry.
const (
	statusExpected  = 1 << 0
	statusSeenReply = 1 << 1
	statusAssured   = 1 << 2
	statusConfirmed = 1 << 3
	statusFixed     = 1 << 10 // the time-out is, whatever comes; never told

	statusMask = statusExpected | statusSeenReply | statusAssured | statusConfirmed
)

const (
	knownConnection = 1<<ctaTupleOrig | 1<<ctaTupleReply | 1<<ctaStatus | 1<<ctaProtoinfo | 1<<ctaHelp | 1<<ctaMark | 1<<ctaTupleMaster |
		1<<ctaSeqAdjOrig | 1<<ctaSeqAdjReply | 1<<ctaZone | 1<<ctaLabels | 1<<ctaSynproxy
	knownConnectionDelete = 1<<ctaTupleOrig | 1<<ctaTupleReply | 1<<ctaZone
)

func appendConnection(dst []byte, r Record, b []byte) ([]byte, error) {
	var a raw
	known := uint64(knownConnection)
	if r.Op == OpDelete {
		known = knownConnectionDelete
	}
	if err := a.collect(b, known); err != nil {
		return dst, err
	}
	if a[ctaTupleOrig] == nil || a[ctaTupleReply] == nil {
		return dst, Refusal{ReasonMissing, ctaTupleOrig}
	}
	var orig, reply tuple
	if reason := orig.parse(r.Family, a.value(ctaTupleOrig)); reason != ReasonNone {
		return dst, Refusal{reason, ctaTupleOrig}
	}
	if reason := reply.parse(r.Family, a.value(ctaTupleReply)); reason != ReasonNone {
		return dst, Refusal{reason, ctaTupleReply}
	}
	if reason := answers(&orig, &reply, a[ctaZone] != nil); reason != ReasonNone {
		return dst, Refusal{reason, ctaTupleReply}
	}
	dst = appendBytes(dst, ctaTupleOrig|nlaNested, a.value(ctaTupleOrig))
	plain := orig.inverse(&reply)
	if r.Op == OpDelete || plain == reply {
		dst = appendBytes(dst, ctaTupleReply|nlaNested, a.value(ctaTupleReply))
	} else {
		dst = plain.append(dst, ctaTupleReply, r.Family)
	}
	dst, err := a.fixed(dst, ctaZone, 2)
	if err != nil || r.Op == OpDelete {
		return dst, err
	}
	if dst, err = a.appendState(dst, orig.proto); err != nil {
		return dst, err
	}
	if plain != reply {
		dst = appendNAT(dst, r.Family, &plain, &reply)
	}
	return a.appendKinship(dst, r.Family)
}

// Translated reports whether a connection's addresses or ports are translated.
func (r Record) Translated() bool {
	for b := r.Attrs; len(b) > 0; {
		typ, _, rest, ok := next(b)
		if !ok {
			return false
		}
		if typ &= nlaTypeMask; typ == ctaNATSrc || typ == ctaNATDst {
			return true
		}
		b = rest
	}
	return false
}

// answers checks that the two tuples can be those of one connection, translated or not.
func answers(orig, reply *tuple, zone bool) Reason {
	switch {
	case orig.proto != reply.proto || orig.ports != reply.ports:
		return ReasonProtocol
	case orig.icmp && reply.icmpType != icmpAnswer(orig.proto, orig.icmpType):
		return ReasonReply
	case orig.icmp && reply.icmpCode != orig.icmpCode:
		return ReasonReply
	case orig.proto == protoGRE && (orig.srcPort != reply.dstPort || orig.dstPort != reply.srcPort):
		// PPTP's. The kernel translates keys for connections with a master alone, which a copy gets too late: it would never be the same.
		return ReasonNAT
	case orig.zoned && (reply.zoned || zone), reply.zoned && zone:
		return ReasonZone
	}
	return ReasonNone
}

// icmpAnswer returns the type that answers a query; for what is no query a type that never occurs in a tuple (nf_conntrack_proto_icmp.c,
// nf_conntrack_proto_icmpv6.c).
func icmpAnswer(proto, typ uint8) uint8 {
	switch {
	case proto == protoICMPv6 && (typ == 128 || typ == 139): // echo, node information
		return typ + 1
	case proto == protoICMPv6 && (typ == 129 || typ == 140):
		return typ - 1
	case proto == protoICMPv6:
		return 255
	case typ == 0 || typ == 8: // echo
		return 8 - typ
	case typ == 13 || typ == 15 || typ == 17: // timestamp, information, address mask
		return typ + 1
	case typ == 14 || typ == 16 || typ == 18:
		return typ - 1
	}
	return 255
}

// appendState appends what changes in a connection's life.
func (a *raw) appendState(dst []byte, proto uint8) ([]byte, error) {
	status, ok := a.number(ctaStatus)
	if !ok {
		return dst, Refusal{ReasonMissing, ctaStatus}
	}
	dst = appendU32(dst, ctaStatus, status&statusMask|statusConfirmed)
	dst = appendU32(dst, ctaTimeout, CopyTimeout)
	var err error
	if a[ctaProtoinfo] != nil {
		if dst, err = appendProtoinfo(dst, proto, a.value(ctaProtoinfo)); err != nil {
			return dst, err
		}
	}
	if dst, err = a.fixed(dst, ctaMark, 4); err != nil {
		return dst, err
	}
	if a[ctaLabels] != nil {
		if n := len(a.value(ctaLabels)); n == 0 || n > 16 || n%4 != 0 {
			return dst, Refusal{ReasonSize, ctaLabels}
		}
		dst = appendBytes(dst, ctaLabels, a.value(ctaLabels))
	}
	if dst, err = a.flat(dst, ctaSeqAdjOrig, 3); err != nil {
		return dst, err
	}
	if dst, err = a.flat(dst, ctaSeqAdjReply, 3); err != nil {
		return dst, err
	}
	if a.zeros(ctaSynproxy) {
		return dst, nil
	}
	return a.flat(dst, ctaSynproxy, 3)
}

// zeros reports whether the attributes within an attribute all have the value zero. The kernel gives every connection that it creates for
// ctnetlink the values of a SYN proxy, which say nothing until one sets them: a copy's record would be longer than the original's.
func (a *raw) zeros(typ uint16) bool {
	if a[typ] == nil {
		return false
	}
	for b := a.value(int(typ)); len(b) > 0; {
		_, value, rest, ok := next(b)
		if !ok {
			return false
		}
		for _, c := range value {
			if c != 0 {
				return false
			}
		}
		b = rest
	}
	return true
}

// appendKinship appends a connection's helper and master.
func (a *raw) appendKinship(dst []byte, family uint8) ([]byte, error) {
	if a[ctaHelp] != nil {
		name, reason := helperName(a.value(ctaHelp), false)
		if reason != ReasonNone {
			return dst, Refusal{reason, ctaHelp}
		}
		if len(name) > 1 { // an empty name says that there is no helper
			var at int
			dst, at = begin(dst, ctaHelp)
			dst = end(appendBytes(dst, ctaHelpName, name), at)
		}
	}
	if a[ctaTupleMaster] != nil {
		var master tuple
		reason := master.parse(family, a.value(ctaTupleMaster))
		if reason == ReasonNone && master.zoned {
			reason = ReasonZone
		}
		if reason != ReasonNone {
			return dst, Refusal{reason, ctaTupleMaster}
		}
		dst = appendBytes(dst, ctaTupleMaster|nlaNested, a.value(ctaTupleMaster))
	}
	return dst, nil
}

// appendNAT appends the difference between the reply tuple without NAT and the real one. An ICMP identifier is the source's, of whichever
// NAT it was changed by; at the other it is pinned, lest the kernel choose one. Maxima are left out: the kernel takes them to be the minima.
func appendNAT(dst []byte, family uint8, plain, reply *tuple) []byte {
	if plain.dst != reply.dst || plain.dstPort != reply.dstPort || plain.icmp && plain.srcPort != reply.srcPort {
		port := reply.dstPort
		if reply.icmp {
			port = reply.srcPort
		}
		dst = appendBinding(dst, ctaNATSrc, family, reply.dst, port, reply.ports || reply.icmp)
	}
	if plain.src != reply.src || !plain.icmp && plain.srcPort != reply.srcPort {
		dst = appendBinding(dst, ctaNATDst, family, reply.src, plain.bindingPort(reply), reply.ports || reply.icmp)
	}
	return dst
}

// bindingPort returns the port, or the identifier before source NAT, that a destination binding names.
func (t *tuple) bindingPort(reply *tuple) uint16 {
	if t.icmp {
		return t.srcPort
	}
	return reply.srcPort
}

func appendBinding(dst []byte, typ uint16, family uint8, a address, port uint16, ports bool) []byte {
	dst, at := begin(dst, typ)
	if family == IPv4 {
		dst = appendU32(dst, ctaNATv4MinIP, uint32(a.hi)) //nolint:gosec // the upper half of an IPv4 address is zero
	} else {
		dst = a.append(appendHeader(dst, ctaNATv6MinIP, 16))
	}
	if ports {
		var proto int
		dst, proto = begin(dst, ctaNATProto)
		dst = end(appendU16(dst, ctaProtoNATPortMin, port), proto)
	}
	return end(dst, at)
}

// helperName finds the name in CTA_HELP's value, with the zero that ends it, and checks it.
func helperName(b []byte, strict bool) ([]byte, Reason) {
	var name []byte
	for len(b) > 0 {
		typ, value, rest, ok := next(b)
		switch {
		case !ok:
			return nil, ReasonStructure
		case typ == ctaHelpName && name == nil:
			name = value
		case strict:
			return nil, ReasonUnknown
		}
		b = rest
	}
	if name == nil {
		return nil, ReasonMissing
	}
	if len(name) == 1 && name[0] == 0 && !strict {
		return name, ReasonNone
	}
	return name, nameReason(name, helperNameLen)
}

// helperNameLen is NF_CT_HELPER_NAME_LEN; functions' names have no bound in the kernel, and 21 bytes at most in fact.
const (
	helperNameLen   = 16
	functionNameLen = 32
)

// nameReason checks a name that ends with a zero. What the kernel does not know it asks modprobe for: a name must be one.
func nameReason(b []byte, size int) Reason {
	if len(b) < 2 || len(b) > size || b[len(b)-1] != 0 {
		return ReasonHelper
	}
	for _, c := range b[:len(b)-1] {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return ReasonHelper
		}
	}
	return ReasonNone
}
