// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"testing"
	"time"
)

// TestAuditsOfOldEntries: who has entries of which the kernel may tell no end reads its table again before long if its table counts, at once
// or from a later slot table on. A copy is told by its owner's marks.
func TestAuditsOfOldEntries(t *testing.T) {
	soon := func(p *Plane) bool { return time.Until(p.jobs.auditAt) <= oldAudit }
	for name, c := range map[string]struct {
		role Role
		old  int
		want bool
	}{
		"an owner with old entries": {RoleOwner, 1, true}, "a copy with old entries": {RoleCopy, 1, false}, "an owner without": {RoleOwner, 0, false},
	} {
		p := newPure(t)
		p.role = c.role
		var old keySet
		for n := range c.old {
			old.Add(uint64(n) + 1)
		}
		p.endTally(boottime(), old, 0)
		if soon(p) != c.want {
			t.Errorf("%s: the table is read again in %v", name, time.Until(p.jobs.auditAt))
		}
	}
	p := still(t)
	p.SetSlots(bySourcePort)
	var old keySet
	old.Add(1)
	p.endTally(boottime(), old, 0)
	if soon(p) {
		t.Error("a member of several that owns nothing reads its table again soon")
	}
	p.SetOwners(*parts(7, 0, 3))
	if !soon(p) {
		t.Errorf("it owns something now, and reads its table in %v", time.Until(p.jobs.auditAt))
	}
}
