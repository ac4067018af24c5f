// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"slices"
)

// Checker refuses records that no honest member sends: before a record is given to the kernel, every byte of it is something that
// FromMessage makes. The kernel itself is not that strict. It takes SCTP states and directions of expectations beyond its own tables, loads
// modules by the names of helpers, and keeps an entry for as long as it is told.
//
// The zero value takes every zone and time-outs up to CopyTimeout. It is not changed by use: goroutines may share one.
type Checker struct {
	// Zones are the conntrack zones that a record may be of, 0 the default one; nil: any. Expectations do not say theirs: they count as of
	// zone 0, which is where the kernel looks for their masters.
	Zones []uint16
	// MaxTimeout bounds time-outs, in seconds; 0: CopyTimeout.
	MaxTimeout uint32
}

// Check returns nil, or a Refusal. It looks at tables 1 and 2 and refuses every other: sets and marks have readers of their own.
func (c *Checker) Check(r Record) error {
	switch {
	case r.Table != TableConnections && r.Table != TableExpectations:
		return Refusal{Reason: ReasonTable}
	case r.Op == 0 || r.Op > OpDelete:
		return Refusal{Reason: ReasonOp}
	case r.Family != IPv4 && r.Family != IPv6:
		return Refusal{Reason: ReasonFamily}
	case r.Len() > MaxLen:
		return Refusal{Reason: ReasonLength}
	}
	known, needed, nested := shape(r)
	var a raw
	if err := a.exactly(r.Attrs, known, nested); err != nil {
		return err
	}
	for typ := range a {
		if needed&(1<<typ) != 0 && a[typ] == nil {
			return Refusal{ReasonMissing, uint16(typ)} //nolint:gosec // an attribute's type
		}
	}
	if r.Table == TableExpectations {
		return c.expectation(r, &a)
	}
	return c.connection(r, &a)
}

// shape returns the sets of attributes that a record may have, must have, and of those that hold others.
func shape(r Record) (known, needed, nested uint64) {
	switch {
	case r.Table == TableConnections && r.Op == OpDelete:
		return knownConnectionDelete, 1<<ctaTupleOrig | 1<<ctaTupleReply, 1<<ctaTupleOrig | 1<<ctaTupleReply
	case r.Table == TableConnections:
		nested = 1<<ctaTupleOrig | 1<<ctaTupleReply | 1<<ctaTupleMaster | 1<<ctaProtoinfo | 1<<ctaHelp | 1<<ctaNATSrc | 1<<ctaNATDst |
			1<<ctaSeqAdjOrig | 1<<ctaSeqAdjReply | 1<<ctaSynproxy
		return knownConnection | 1<<ctaTimeout | 1<<ctaNATSrc | 1<<ctaNATDst,
			1<<ctaTupleOrig | 1<<ctaTupleReply | 1<<ctaStatus | 1<<ctaTimeout, nested
	}
	needed = 1<<ctaExpectTuple | 1<<ctaExpectMask | 1<<ctaExpectMaster
	if r.Op == OpDelete {
		return knownExpectationDelete, needed, needed
	}
	return knownExpectation, needed, needed | 1<<ctaExpectNAT
}

// exactly is collect that takes nothing else, nothing twice and no flag where it does not belong.
func (a *raw) exactly(b []byte, known, nested uint64) error {
	for len(b) > 0 {
		flagged, value, rest, ok := next(b)
		typ := flagged & nlaTypeMask
		switch {
		case !ok:
			return Refusal{Reason: ReasonStructure}
		case int(typ) >= len(a) || known&(1<<typ) == 0:
			return Refusal{ReasonUnknown, typ}
		case a[typ] != nil:
			return Refusal{ReasonDuplicate, typ}
		case flagged != typ && (flagged != typ|nlaNested || nested&(1<<typ) == 0):
			return Refusal{ReasonNesting, typ}
		}
		a[typ] = b[:nlaHeader+len(value)]
		b = rest
	}
	return nil
}

func (c *Checker) connection(r Record, a *raw) error {
	var p pair
	if reason := p.orig.parse(r.Family, a.value(ctaTupleOrig)); reason != ReasonNone {
		return Refusal{reason, ctaTupleOrig}
	}
	if reason := p.reply.parse(r.Family, a.value(ctaTupleReply)); reason != ReasonNone {
		return Refusal{reason, ctaTupleReply}
	}
	reason := answers(&p.orig, &p.reply, a[ctaZone] != nil)
	if reason == ReasonNone && r.Op != OpDelete && p.orig.inverse(&p.reply) != p.reply {
		reason = ReasonReply
	}
	if reason != ReasonNone {
		return Refusal{reason, ctaTupleReply}
	}
	if err := c.zone(&p, a); err != nil {
		return err
	}
	if reason := unlikely(r.Family, &p.orig); reason != ReasonNone {
		return Refusal{reason, ctaTupleOrig}
	}
	if r.Op != OpDelete {
		if err := c.state(&p.orig, a); err != nil {
			return err
		}
		if err := bindings(r.Family, &p, a); err != nil {
			return err
		}
		if err := kinship(r.Family, a); err != nil {
			return err
		}
	}
	return refuse(unlikely(r.Family, &p.reply), ctaTupleReply)
}

// zone checks the zone, wherever it is said.
func (c *Checker) zone(p *pair, a *raw) error {
	zone, attribute := uint16(0), uint16(ctaTupleOrig)
	switch {
	case a[ctaZone] != nil:
		if len(a.value(ctaZone)) != 2 {
			return Refusal{ReasonSize, ctaZone}
		}
		zone, attribute = binary.BigEndian.Uint16(a.value(ctaZone)), ctaZone
	case p.orig.zoned:
		zone = p.orig.zone
	case p.reply.zoned:
		zone, attribute = p.reply.zone, ctaTupleReply
	default:
		if !within(c.Zones, 0) {
			return Refusal{ReasonZone, attribute}
		}
		return nil
	}
	if zone == 0 || !within(c.Zones, zone) {
		return Refusal{ReasonZone, attribute}
	}
	return nil
}

// within reports whether zone is one of those copied; nil: all are.
func within(zones []uint16, zone uint16) bool { return zones == nil || slices.Contains(zones, zone) }

// unlikely tells addresses that Rules never let through: what begins or ends at one is nobody's connection through a gateway.
func unlikely(family uint8, t *tuple) Reason {
	if t.src.kind(family) != kindUnicast || t.dst.kind(family) != kindUnicast {
		return ReasonAddress
	}
	return ReasonNone
}

// state checks what changes in a connection's life.
func (c *Checker) state(orig *tuple, a *raw) error {
	status, ok := a.number(ctaStatus)
	if !ok {
		return Refusal{ReasonSize, ctaStatus}
	}
	if status&^statusMask != 0 || status&statusConfirmed == 0 {
		return Refusal{ReasonStatus, ctaStatus}
	}
	if reason := c.timeout(a.value(ctaTimeout)); reason != ReasonNone {
		return Refusal{reason, ctaTimeout}
	}
	if a[ctaProtoinfo] != nil {
		if reason := protoinfo(orig.proto, a.value(ctaProtoinfo)); reason != ReasonNone {
			return Refusal{reason, ctaProtoinfo}
		}
	}
	if a[ctaMark] != nil && len(a.value(ctaMark)) != 4 {
		return Refusal{ReasonSize, ctaMark}
	}
	if a[ctaLabels] != nil {
		if n := len(a.value(ctaLabels)); n == 0 || n > 16 || n%4 != 0 {
			return Refusal{ReasonSize, ctaLabels}
		}
	}
	for _, typ := range [...]uint16{ctaSeqAdjOrig, ctaSeqAdjReply, ctaSynproxy} {
		if a[typ] == nil {
			continue
		}
		if reason := flatNest(a.value(int(typ)), 3); reason != ReasonNone {
			return Refusal{reason, typ}
		}
	}
	return nil
}

func (c *Checker) timeout(value []byte) Reason {
	bound := c.MaxTimeout
	if bound == 0 {
		bound = CopyTimeout
	}
	if len(value) != 4 {
		return ReasonSize
	}
	if seconds := binary.BigEndian.Uint32(value); seconds == 0 || seconds > bound {
		return ReasonTimeout
	}
	return ReasonNone
}

// protoinfo checks that a state is one of the connection's protocol, and the only one.
func protoinfo(proto uint8, b []byte) Reason {
	if len(b) == 0 {
		return ReasonMissing
	}
	typ, value, rest, ok := next(b)
	switch {
	case !ok || len(rest) > 0:
		return ReasonStructure
	case typ&^nlaNested == ctaProtoinfoTCP && proto == protoTCP:
		return tcpReason(value)
	case typ&^nlaNested == ctaProtoinfoSCTP && proto == protoSCTP:
		var s sctpState
		reason := s.parse(value)
		if reason == ReasonNone && s.state > sctpStateMax {
			reason = ReasonState
		}
		return reason
	}
	return ReasonState
}

func tcpReason(b []byte) Reason {
	var t tcpState
	if reason := t.parse(b); reason != ReasonNone {
		return reason
	}
	for i := range t.flags {
		if t.scale[i] > tcpScaleMax || t.flags[i]&^tcpFlags != 0 || t.flags[i]&tcpLiberal == 0 || t.mask[i] != tcpFlagMask {
			return ReasonState
		}
	}
	return ReasonNone
}

// bindings checks the NAT, and applies it to the reply tuple. FromMessage makes no binding that changes nothing.
func bindings(family uint8, p *pair, a *raw) error {
	for _, typ := range [...]uint16{ctaNATDst, ctaNATSrc} { // the kernel's order
		if a[typ] == nil {
			continue
		}
		var b binding
		reason := b.parse(family, a.value(int(typ)))
		if reason == ReasonNone && b.ported != (p.orig.ports || p.orig.icmp) {
			reason = ReasonNAT
		}
		if reason != ReasonNone {
			return Refusal{reason, typ}
		}
		before := p.reply
		p.bind(typ, &b)
		if p.reply == before {
			return Refusal{ReasonNAT, typ}
		}
	}
	return nil
}

// kinship checks helper and master.
func kinship(family uint8, a *raw) error {
	if a[ctaHelp] != nil {
		if _, reason := helperName(a.value(ctaHelp), true); reason != ReasonNone {
			return Refusal{reason, ctaHelp}
		}
	}
	if a[ctaTupleMaster] == nil {
		return nil
	}
	var master tuple
	reason := master.parse(family, a.value(ctaTupleMaster))
	if reason == ReasonNone && master.zoned {
		reason = ReasonZone
	}
	if reason == ReasonNone {
		reason = unlikely(family, &master)
	}
	return refuse(reason, ctaTupleMaster)
}
