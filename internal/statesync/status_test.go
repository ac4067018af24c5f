// SPDX-License-Identifier: Apache-2.0

package statesync

import "testing"

func TestStatusInWords(t *testing.T) {
	two := []InterfaceState{{Name: "sync0", Up: true}, {Name: "sync1", Up: true}}
	good := health{members: 3, interfaces: two, peers: 2, awaited: 2, role: RoleOwner, current: true}
	for _, tc := range []struct {
		name   string
		change func(*health)
		status Status
		reason string
	}{
		{"well", func(*health) {}, StatusOK, ""},
		{"disabled", func(h *health) { h.disabled = true }, StatusOff, "disabled by configuration"},
		{"one member", func(h *health) { h.members = 1 }, StatusOff, "a cluster of one member"},
		{"no interface", func(h *health) { h.interfaces = nil }, StatusOff, "no interface has the role sync or cluster+sync"},
		{"none up", func(h *health) { h.interfaces = []InterfaceState{{Name: "sync0"}} }, StatusOff, "no sync interface is up: sync0"},
		{"alone", func(h *health) { h.peers, h.awaited = 0, 0 }, StatusOff, "alone: no other member synchronises"},
		{"one interface of two", func(h *health) { h.interfaces = []InterfaceState{{Name: "sync0", Up: true}, {Name: "sync1"}} },
			StatusAtRisk, "only 1 of 2 sync interfaces up: sync1 is down"},
		{"a member not reached", func(h *health) { h.peers = 1 }, StatusAtRisk, "1 of 2 members not reached on a sync interface"},
		{"an owner says nothing", func(h *health) { h.silent = []string{"nothing heard from member 1 for more than 30s"} },
			StatusAtRisk, "nothing heard from member 1 for more than 30s"},
		{"an interface is deaf", func(h *health) {
			h.interfaces = []InterfaceState{{Name: "sync0", Up: true}, {Name: "sync1", Up: true, Error: "no member is heard on it"}}
		}, StatusAtRisk, "only 1 of 2 sync interfaces up: sync1 is down"},
		{"a device too small for long frames", func(h *health) {
			h.interfaces = []InterfaceState{{Name: "sync0", Up: true, MTU: 1400}, {Name: "sync1", Up: true, MTU: 1399}}
		}, StatusAtRisk, "sync1 has an MTU of 1399 bytes, and long frames take 1400: set that much at least, on all members and on what is between them"},
		{"evicted", func(h *health) { h.evicted = []uint8{2} }, StatusAtRisk, "member 2 does not keep up"},
		{"asked in vain", func(h *health) { h.vain = []uint8{2} }, StatusAtRisk, "member 2 acknowledges none of the long frames (up to 1400 bytes) " +
			"that it asks for: compare the MTU of the sync interfaces of both members and of what is between them"},
		{"joining", func(h *health) { h.role, h.owner, h.current, h.syncing = RoleCopy, true, false, true }, StatusAtRisk, "full sync running"},
		{"repairing", func(h *health) { h.role, h.owner, h.syncing, h.unequal = RoleCopy, true, true, true }, StatusAtRisk, "repair running"},
		{"unequal", func(h *health) { h.role, h.owner, h.unequal = RoleCopy, true, true }, StatusAtRisk, "the copy differs from the owner's table"},
		{"serving a joiner", func(h *health) { h.serving = []uint8{1} }, StatusAtRisk, "full sync of member 1 running"},
		{"lost and behind", func(h *health) { h.lostEvents, h.backlog = true, 0.9 }, StatusAtRisk, "events of the kernel were lost; backlog at 90 %"},
		{"refused", func(h *health) { h.refused = "cannot allocate memory" }, StatusAtRisk, "the kernel refuses records: cannot allocate memory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := good
			tc.change(&h)
			if status, reason := h.judge(); status != tc.status || reason != tc.reason {
				t.Errorf("%v %q, want %v %q", status, reason, tc.status, tc.reason)
			}
		})
	}
}
