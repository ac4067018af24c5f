// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The rule before the local table. VIPs are local on every member, so that the member's own packets to a VIP would never
// leave it. While a group is not served here, `0: from all iif lo lookup <table of the group>` sends them out of
// the VIP's interface ("iif lo" is what the kernel calls the host itself). The kernel's own rule `0: from all lookup local`
// must then stand behind it, at 1. It is copied there before the original is deleted, and put back before the copy is
// deleted: at no moment is there a host without its local table.

const (
	ownPriority   = 0 // of our lookups
	movedPriority = 1 // of the local table's, once moved
	localTable    = unix.RT_TABLE_LOCAL
)

// errRulesInTheWay: somebody else's rules stand where the local table's would have to go.
var errRulesInTheWay = errors.New("rules of another owner stand at priority 0 or 1: move them to 2 or more, " +
	"or this member's own traffic to a VIP stays on it while it does not serve")

// bareRule is a rule without any selector.
func bareRule(fam, priority, table int, origin uint8) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table, r.Protocol = fam, priority, table, origin
	return r
}

// ownRule looks up a group's table for packets of the host itself.
func ownRule(fam int, group uint8) *netlink.Rule {
	r := bareRule(fam, ownPriority, tableBase+int(group), protocol)
	r.IifName = "lo"
	return r
}

// isLocalLookup says whether r is an unconditional lookup of the local table.
func isLocalLookup(r netlink.Rule) bool {
	return r.Table == localTable && r.Src == nil && r.Dst == nil && r.IifName == "" && r.OifName == "" && r.Mark == 0 &&
		!r.Invert && r.Tos == 0 && r.IPProto == 0 && r.Dport == nil && r.Sport == nil && r.UIDRange == nil && r.TunID == 0
}

// isOwn says whether r is one of ours before the local table.
func isOwn(r netlink.Rule) bool {
	return r.Protocol == protocol && r.IifName == "lo" && !isLocalLookup(r)
}

// rules returns the rules of a family in their order.
func (c *conn) rules(fam int) ([]netlink.Rule, error) {
	list, err := c.handle.RuleList(fam)
	if err != nil {
		return nil, fmt.Errorf("netlink: list %s rules: %w", familyName(fam), err)
	}
	return list, nil
}

// moves says what moving would have to do: needed is false when the local table's lookup stands behind priority 0
// already (moved by us before, or by the host's owner).
func moves(list []netlink.Rule) (needed bool, err error) {
	locals := 0
	for _, r := range list {
		if !isLocalLookup(r) {
			continue
		}
		locals++
		needed = needed || r.Priority == ownPriority
	}
	if locals == 0 {
		return false, errors.New("no rule looks up the local table: put it back with `ip rule add priority 0 lookup local`")
	}
	if !needed {
		return false, nil
	}
	inTheWay := slices.ContainsFunc(list, func(r netlink.Rule) bool {
		return r.Priority <= movedPriority && !isLocalLookup(r) && !isOwn(r)
	})
	if inTheWay {
		return true, errRulesInTheWay
	}
	return true, nil
}

// moveLocal makes room at priority 0: copy, look whether the copy is there, delete the original.
func (c *conn) moveLocal(fam int) error {
	list, err := c.rules(fam)
	if err != nil {
		return err
	}
	needed, err := moves(list)
	if err != nil || !needed {
		return err
	}
	if err := ignore(c.handle.RuleAdd(bareRule(fam, movedPriority, localTable, protocol)), unix.EEXIST); err != nil {
		return fmt.Errorf("copy the local rule to priority %d: %w", movedPriority, err)
	}
	return c.deleteLocal(fam, ownPriority, movedPriority)
}

// localOrigin returns the protocol of the rule that would be moved: the kernel's own, unless somebody made it anew.
func (c *conn) localOrigin(fam int) uint8 {
	list, err := c.rules(fam)
	if err != nil {
		return unix.RTPROT_KERNEL
	}
	for _, r := range list {
		if isLocalLookup(r) && r.Priority == ownPriority {
			return r.Protocol
		}
	}
	return unix.RTPROT_KERNEL
}

// restoreLocal puts the rule back at priority 0, with its former protocol, and deletes our copy.
func (c *conn) restoreLocal(fam int, origin uint8) error {
	list, err := c.rules(fam)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, isMovedCopy) {
		return nil
	}
	if !slices.ContainsFunc(list, func(r netlink.Rule) bool { return isLocalLookup(r) && r.Priority == ownPriority }) {
		if err := c.handle.RuleAdd(bareRule(fam, ownPriority, localTable, origin)); err != nil {
			return fmt.Errorf("put the local rule back at priority %d: %w", ownPriority, err)
		}
	}
	return c.deleteLocal(fam, movedPriority, ownPriority)
}

func isMovedCopy(r netlink.Rule) bool {
	return isLocalLookup(r) && r.Priority == movedPriority && r.Protocol == protocol
}

// deleteLocal deletes the local table's lookup at priority, but only while the kernel shows another one at remaining.
func (c *conn) deleteLocal(fam, priority, remaining int) error {
	list, err := c.rules(fam)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(r netlink.Rule) bool { return isLocalLookup(r) && r.Priority == remaining }) {
		return fmt.Errorf("no %s lookup of the local table at priority %d: the one at %d is not deleted",
			familyName(fam), remaining, priority)
	}
	for _, r := range list {
		if isLocalLookup(r) && r.Priority == priority {
			if err := ignore(c.handle.RuleDel(bareRule(fam, priority, localTable, r.Protocol)), unix.ENOENT); err != nil {
				return fmt.Errorf("delete the local rule at priority %d: %w", priority, err)
			}
		}
	}
	return nil
}

// setOwnRule adds or deletes a group's rule.
func (c *conn) setOwnRule(fam int, group uint8, on bool) error {
	if on {
		return ignore(c.handle.RuleAdd(ownRule(fam, group)), unix.EEXIST)
	}
	return ignore(c.handle.RuleDel(ownRule(fam, group)), unix.ENOENT)
}
