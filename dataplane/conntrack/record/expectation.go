// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding/binary"
	"strings"
)

const (
	knownExpectation = 1<<ctaExpectMaster | 1<<ctaExpectTuple | 1<<ctaExpectMask | 1<<ctaExpectTimeout | 1<<ctaExpectHelpName |
		1<<ctaExpectFlags | 1<<ctaExpectClass | 1<<ctaExpectNAT | 1<<ctaExpectFn
	knownExpectationDelete = 1<<ctaExpectMaster | 1<<ctaExpectTuple | 1<<ctaExpectMask
)

// Bounds of what an expectation says: NF_CT_EXPECT_PERMANENT and NF_CT_EXPECT_INACTIVE (one of user space's helper is that helper's on
// that machine), NF_CT_MAX_EXPECT_CLASSES.
const (
	expectFlags   = 0x3
	expectClasses = 4
)

func appendExpectation(dst []byte, r Record, b []byte) ([]byte, error) {
	var a raw
	known := uint64(knownExpectation)
	if r.Op == OpDelete {
		known = knownExpectationDelete
	}
	if err := a.collect(b, known); err != nil {
		return dst, err
	}
	var e expected
	if err := e.parse(r.Family, &a); err != nil {
		return dst, err
	}
	for _, typ := range [...]uint16{ctaExpectTuple, ctaExpectMask, ctaExpectMaster} {
		dst = appendBytes(dst, typ|nlaNested, a.value(int(typ)))
	}
	if r.Op == OpDelete {
		return dst, nil
	}
	if seconds, ok := a.number(ctaExpectTimeout); ok {
		dst = appendU32(dst, ctaExpectTimeout, min(max(seconds, 1), CopyTimeout))
	}
	if flags, ok := a.number(ctaExpectFlags); ok {
		dst = appendU32(dst, ctaExpectFlags, flags&expectFlags)
	}
	if class, ok := a.number(ctaExpectClass); ok {
		if class >= expectClasses {
			return dst, Refusal{ReasonExpectation, ctaExpectClass}
		}
		dst = appendU32(dst, ctaExpectClass, class)
	}
	for _, n := range [...]struct {
		typ  uint16
		size int
	}{{ctaExpectHelpName, helperNameLen}, {ctaExpectFn, functionNameLen}} {
		if a[n.typ] == nil {
			continue
		}
		if reason := nameReason(a.value(int(n.typ)), n.size); reason != ReasonNone {
			return dst, Refusal{reason, n.typ}
		}
		dst = appendBytes(dst, n.typ, a.value(int(n.typ)))
	}
	if reason := classReason(&a); reason != ReasonNone {
		return dst, Refusal{reason, ctaExpectClass}
	}
	if a[ctaExpectNAT] != nil {
		if reason := expectNAT(r.Family, a.value(ctaExpectNAT)); reason != ReasonNone {
			return dst, Refusal{reason, ctaExpectNAT}
		}
		dst = appendBytes(dst, ctaExpectNAT|nlaNested, a.value(ctaExpectNAT))
	}
	return dst, nil
}

// isSIP says whether a helper's name, with the zero that ends it, is "sip" or "sip-PORT".
func isSIP(name []byte) bool {
	s := string(bytes.TrimSuffix(name, []byte{0}))
	return s == "sip" || strings.HasPrefix(s, "sip-")
}

// classReason checks that the helper has the expectation's class. The kernel takes the class for an index into the policies of the master's
// helper, and bounds it by the one named. Of the kernel's own helpers only SIP's has more than class 0.
func classReason(a *raw) Reason {
	if class, _ := a.number(ctaExpectClass); class == 0 || a[ctaExpectHelpName] != nil && isSIP(a.value(ctaExpectHelpName)) {
		return ReasonNone
	}
	return ReasonExpectation
}

// expected are the three tuples of an expectation.
type expected struct{ tuple, mask, master tuple }

// parse reads them, and checks what does not depend on the addresses.
func (e *expected) parse(family uint8, a *raw) error {
	for _, p := range [...]struct {
		typ uint16
		t   *tuple
	}{{ctaExpectTuple, &e.tuple}, {ctaExpectMask, &e.mask}, {ctaExpectMaster, &e.master}} {
		if a[p.typ] == nil {
			return Refusal{ReasonMissing, p.typ}
		}
		reason := p.t.parse(family, a.value(int(p.typ)))
		if reason == ReasonNone && p.t.zoned {
			reason = ReasonZone
		}
		if reason != ReasonNone {
			return Refusal{reason, p.typ}
		}
	}
	// The kernel keeps of a mask only what it says of the source; of the destination it compares all.
	switch {
	case e.mask.proto != e.tuple.proto || e.mask.ports != e.tuple.ports:
		return Refusal{ReasonProtocol, ctaExpectMask}
	case e.mask.dst != full(family), e.mask.ports && e.mask.dstPort != 0xffff:
		return Refusal{ReasonExpectation, ctaExpectMask}
	}
	return nil
}

// expectNAT checks CTA_EXPECT_NAT: a direction, which the kernel uses as an index, and a tuple.
func expectNAT(family uint8, b []byte) Reason {
	seen := 0
	for len(b) > 0 {
		typ, value, rest, ok := next(b)
		if !ok {
			return ReasonStructure
		}
		bit := 1 << (typ & 3)
		switch {
		case typ == ctaExpectNATDir:
			if len(value) != 4 {
				return ReasonSize
			}
			if binary.BigEndian.Uint32(value) > 1 {
				return ReasonExpectation
			}
		case typ&^nlaNested == ctaExpectNATTuple:
			var t tuple
			if r := t.parse(family, value); r != ReasonNone {
				return r
			}
			if t.zoned {
				return ReasonZone
			}
		default:
			return ReasonUnknown
		}
		if seen&bit != 0 {
			return ReasonDuplicate
		}
		seen |= bit
		b = rest
	}
	if seen != 1<<ctaExpectNATDir|1<<ctaExpectNATTuple {
		return ReasonMissing
	}
	return ReasonNone
}
