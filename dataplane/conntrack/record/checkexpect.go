// SPDX-License-Identifier: Apache-2.0

package record

func (c *Checker) expectation(r Record, a *raw) error {
	var e expected
	if err := e.parse(r.Family, a); err != nil {
		return err
	}
	if !within(c.Zones, 0) {
		return Refusal{ReasonZone, ctaExpectMaster}
	}
	// A source that is not compared is zero.
	if e.tuple.dst.kind(r.Family) != kindUnicast || e.tuple.src != (address{}) && e.tuple.src.kind(r.Family) != kindUnicast {
		return Refusal{ReasonAddress, ctaExpectTuple}
	}
	if reason := unlikely(r.Family, &e.master); reason != ReasonNone {
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
	if reason := classReason(a); reason != ReasonNone {
		return Refusal{reason, ctaExpectClass}
	}
	if a[ctaExpectNAT] != nil {
		return refuse(expectNAT(family, a.value(ctaExpectNAT)), ctaExpectNAT)
	}
	return nil
}
