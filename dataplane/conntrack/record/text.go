// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// protocols are the names that conntrack(8) gives; others are "unknown".
var protocols = map[uint8]string{
	protoICMP: "icmp", protoTCP: "tcp", protoUDP: "udp", protoDCCP: "dccp", protoGRE: "gre", protoICMPv6: "icmpv6", protoSCTP: "sctp",
	protoUDPLite: "udplite",
}

var tcpStates = [...]string{
	"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2",
}

var sctpStates = [...]string{
	"NONE", "CLOSED", "COOKIE_WAIT", "COOKIE_ECHOED", "ESTABLISHED", "SHUTDOWN_SENT", "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT", "HEARTBEAT_SENT",
}

// Text returns a record of table 1 or 2 in one line, as `conntrack -L` says it, without what the record has not (time-out, counters, use):
// for people, and for comparing two tables by eye. What cannot be read is said to be so.
func Text(r Record) string {
	switch r.Table {
	case TableConnections, TableExpectations:
	case TableMarks:
		if s, err := ParseMark(r); err == nil {
			text := fmt.Sprintf("mark entries=%d xor=%016x", s.Entries, s.Xor)
			if s.Rules != 0 {
				text += fmt.Sprintf(" rules=%016x table=%d.%d commit=%v blank=%v", s.Rules, s.Term, s.Number, s.Commit, s.Blank)
			}
			return text
		}
		fallthrough
	default:
		return fmt.Sprintf("%s %s, %d bytes", r.Table, r.Op, len(r.Attrs))
	}
	var p pair
	if reason := p.parse(r); reason != ReasonNone {
		return fmt.Sprintf("%s %s, %d bytes, unreadable (%s)", r.Table, r.Op, len(r.Attrs), reason)
	}
	var a raw
	_ = a.collect(r.Attrs, ^uint64(0)) // parse has walked it
	var b strings.Builder
	name := protocols[p.orig.proto]
	if name == "" {
		name = "unknown"
	}
	if r.Table == TableExpectations {
		textExpectation(&b, r, &p, &a)
	} else {
		fmt.Fprintf(&b, "%-8s %d ", name, p.orig.proto)
		textConnection(&b, r, &p, &a)
	}
	return strings.TrimRight(b.String(), " ")
}

func textConnection(b *strings.Builder, r Record, p *pair, a *raw) {
	status, _ := a.number(ctaStatus)
	b.WriteString(stateName(a))
	p.orig.text(b, r.Family)
	if p.orig.zoned {
		fmt.Fprintf(b, "zone-orig=%d ", p.orig.zone)
	}
	if r.Op != OpDelete && status&statusSeenReply == 0 {
		b.WriteString("[UNREPLIED] ")
	}
	p.reply.text(b, r.Family)
	if p.reply.zoned {
		fmt.Fprintf(b, "zone-reply=%d ", p.reply.zone)
	}
	if status&statusAssured != 0 {
		b.WriteString("[ASSURED] ")
	}
	if mark, ok := a.number(ctaMark); ok {
		fmt.Fprintf(b, "mark=%d ", mark)
	}
	if len(a[ctaZone]) == nlaHeader+2 {
		fmt.Fprintf(b, "zone=%d ", binary.BigEndian.Uint16(a.value(ctaZone)))
	}
	if a[ctaHelp] != nil {
		if name, reason := helperName(a.value(ctaHelp), true); reason == ReasonNone {
			fmt.Fprintf(b, "helper=%s ", name[:len(name)-1])
		}
	}
	if a[ctaLabels] != nil {
		fmt.Fprintf(b, "labels=%s ", labels(a.value(ctaLabels)))
	}
	if a[ctaTupleMaster] != nil {
		var master tuple
		if master.parse(r.Family, a.value(ctaTupleMaster)) == ReasonNone {
			b.WriteString("master: ")
			master.text(b, r.Family)
		}
	}
}

func textExpectation(b *strings.Builder, r Record, p *pair, a *raw) {
	fmt.Fprintf(b, "proto=%d ", p.orig.proto)
	p.orig.text(b, r.Family)
	fmt.Fprintf(b, "mask-src=%s mask-dst=%s ", p.mask.src.netip(r.Family), p.mask.dst.netip(r.Family))
	if p.mask.ports {
		fmt.Fprintf(b, "sport=%d dport=%d ", p.mask.srcPort, p.mask.dstPort)
	}
	fmt.Fprintf(b, "master-src=%s master-dst=%s ", p.reply.src.netip(r.Family), p.reply.dst.netip(r.Family))
	if p.reply.ports {
		fmt.Fprintf(b, "sport=%d dport=%d ", p.reply.srcPort, p.reply.dstPort)
	}
	if class, ok := a.number(ctaExpectClass); ok {
		fmt.Fprintf(b, "class=%d ", class)
	}
	if a[ctaExpectHelpName] != nil && nameReason(a.value(ctaExpectHelpName), helperNameLen) == ReasonNone {
		fmt.Fprintf(b, "helper=%s", a.value(ctaExpectHelpName)[:len(a.value(ctaExpectHelpName))-1])
	}
}

// text writes addresses and ports.
func (t *tuple) text(b *strings.Builder, family uint8) {
	fmt.Fprintf(b, "src=%s dst=%s ", t.src.netip(family), t.dst.netip(family))
	switch {
	case t.icmp:
		fmt.Fprintf(b, "type=%d code=%d id=%d ", t.icmpType, t.icmpCode, t.srcPort)
	case t.ports && t.proto == protoGRE:
		fmt.Fprintf(b, "srckey=0x%x dstkey=0x%x ", t.srcPort, t.dstPort)
	case t.ports:
		fmt.Fprintf(b, "sport=%d dport=%d ", t.srcPort, t.dstPort)
	}
}

// stateName returns the protocol's state with a space behind it, or nothing.
func stateName(a *raw) string {
	if a[ctaProtoinfo] == nil {
		return ""
	}
	typ, value, _, ok := next(a.value(ctaProtoinfo))
	if !ok {
		return ""
	}
	switch typ &^ nlaNested {
	case ctaProtoinfoTCP:
		var t tcpState
		if t.parse(value) == ReasonNone {
			return tcpStates[t.state] + " "
		}
	case ctaProtoinfoSCTP:
		var s sctpState
		if s.parse(value) == ReasonNone && int(s.state) < len(sctpStates) {
			return sctpStates[s.state] + " "
		}
	}
	return ""
}

// labels writes the bits of labels as one hexadecimal number, without leading zeros.
func labels(v []byte) string {
	words := make([]byte, 0, len(v))
	for i := len(v); i >= 4; i -= 4 {
		words = binary.BigEndian.AppendUint32(words, binary.LittleEndian.Uint32(v[i-4:]))
	}
	if s := strings.TrimLeft(hex.EncodeToString(words), "0"); s != "" {
		return "0x" + s
	}
	return "0x0"
}
