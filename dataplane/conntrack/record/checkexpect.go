// SPDX-License-Identifier: Apache-2.0

package record

func (c *Checker) expectation(r Record, a *raw) error {
	var expected, mask, master tuple
	for _, e := range [...]struct {
		typ uint16
		t   *tuple
	}{{ctaExpectTuple, &expected}, {ctaExpectMask, &mask}, {ctaExpectMaster, &master}} {
		reason := e.t.parse(r.Family, a.value(int(e.typ)))
		if reason == ReasonNone && e.t.zoned {
			reason = ReasonZone
		}
		if reason != ReasonNone {
			return Refusal{reason, e.typ}
		}
	}
	if mask.proto != expected.proto {
		return Refusal{ReasonProtocol, ctaExpectMask}
	}
	// The kernel keeps of a mask only what it says of the source; of the destination it compares all.
	if mask.dst != full(r.Family) || mask.dst == (address{}) || mask.ports && mask.dstPort != 0xffff {
		return Refusal{ReasonExpectation, ctaExpectMask}
	}
	// A source that is not compared is zero.
	if expected.dst.kind(r.Family) != kindUnicast || expected.src != (address{}) && expected.src.kind(r.Family) != kindUnicast {
		return Refusal{ReasonAddress, ctaExpectTuple}
	}
	if reason := unlikely(r.Family, &master); reason != ReasonNone {
		return Refusal{reason, ctaExpectMaster}
	}
	if r.Op == OpDelete {
		return nil
	}
	return c.expectationState(r.Family, a)
}

func (c *Checker) expectationState(family uint8, a *raw) error {
	if a[ctaExpectTimeout] != nil {
		if reason := c.timeout(a.value(ctaExpectTimeout)); reason != ReasonNone {
			return Refusal{reason, ctaExpectTimeout}
		}
	}
	for _, n := range [...]struct {
		typ uint16
		max uint32
	}{{ctaExpectFlags, expectFlags}, {ctaExpectClass, expectClasses - 1}} {
		if a[n.typ] == nil {
			continue
		}
		v, ok := a.number(int(n.typ))
		if !ok {
			return Refusal{ReasonSize, n.typ}
		}
		if v > n.max {
			return Refusal{ReasonExpectation, n.typ}
		}
	}
	for _, n := range [...]struct {
		typ  uint16
		size int
	}{{ctaExpectHelpName, helperNameLen}, {ctaExpectFn, functionNameLen}} {
		if a[n.typ] == nil {
			continue
		}
		if reason := nameReason(a.value(int(n.typ)), n.size); reason != ReasonNone {
			return Refusal{reason, n.typ}
		}
	}
	if a[ctaExpectNAT] != nil {
		return refuse(expectNAT(family, a.value(ctaExpectNAT)), ctaExpectNAT)
	}
	return nil
}
