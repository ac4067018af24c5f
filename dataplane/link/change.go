// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// lo is the loopback interface's index in every network namespace.
const lo = 1

// kernel is what the host holds before an Apply, looked at once.
type kernel struct {
	addresses map[netip.Addr][]address
	own       map[int][]netip.Prefix // usable global IPv6 addresses by interface
	routes    map[item]netip.Addr    // kindRoute, kindPrefix and kindLocal with our protocol, and their source
	filters   map[int]map[[6]byte]bool
}

// look reads what the diff needs.
func (h *Host) look(indices map[string]int) (*kernel, error) {
	k := &kernel{routes: make(map[item]netip.Addr), filters: make(map[int]map[[6]byte]bool)}
	var err error
	if k.addresses, err = h.conn.addresses(); err != nil {
		return nil, err
	}
	k.own = ownPrefixes(k.addresses)
	names := make(map[int]string, len(indices))
	for name, index := range indices {
		names[index] = name
		if k.filters[index], err = h.conn.filters(index); err != nil {
			return nil, fmt.Errorf("interface %s: %w", name, err)
		}
	}
	mask := netlink.RT_FILTER_PROTOCOL | netlink.RT_FILTER_TABLE
	list, err := h.conn.handle.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: protocol, Table: unix.RT_TABLE_UNSPEC}, mask)
	if err != nil {
		return nil, fmt.Errorf("netlink: list routes: %w", err)
	}
	for _, r := range list {
		if r.Dst == nil {
			continue
		}
		to, _ := prefixOf(r.Dst)
		i := item{Link: names[r.LinkIndex], Index: r.LinkIndex}
		switch {
		case r.Table == unix.RT_TABLE_MAIN:
			i.Kind, i.Prefix = kindPrefix, to
		case r.Type == unix.RTN_LOCAL:
			i.Kind, i.Addr = kindLocal, to.Addr()
		default:
			i.Kind, i.Addr, i.Group = kindRoute, to.Addr(), uint8(r.Table-tableBase)
		}
		source, _ := netip.AddrFromSlice(r.Src)
		k.routes[i] = source.Unmap()
	}
	return k, nil
}

// misplaced reports VIPs that are addresses of an interface too: there the stack itself would answer for them.
func (k *kernel) misplaced(d Desired, indices map[string]int) []error {
	var errs []error
	for _, in := range d.Interfaces {
		for _, v := range in.VIPs {
			for _, at := range k.addresses[plain(v.Addr)] {
				if at.index != lo {
					errs = append(errs, fmt.Errorf("VIP %v of %s is an address of interface %s itself: remove it there, "+
						"members hold VIPs on lo", v.Addr, in.Name, nameOf(at.index, indices)))
				}
			}
		}
	}
	return errs
}

func nameOf(index int, indices map[string]int) string {
	for name, i := range indices {
		if i == index {
			return name
		}
	}
	return strconv.Itoa(index)
}

// onLo says whether addr is on lo, and whether it is marked as ours.
func (k *kernel) onLo(addr netip.Addr) (there, ours bool) {
	for _, a := range k.addresses[addr] {
		if a.index == lo {
			return true, a.ours
		}
	}
	return false, false
}

// joined says whether the interface of a kindJoined item is in its group by an address, and whether that is marked as ours. first says that
// it stands before an address of the interface's own, which has been made anew.
func (k *kernel) joined(i item) (there, ours, first bool) {
	place := 0
	for _, a := range k.addresses[i.Addr] {
		if a.index == i.Index {
			there, ours, place = true, a.ours, a.place
		}
	}
	for addr, all := range k.addresses {
		for _, a := range all {
			first = first || there && a.index == i.Index && addr.Is4() && !addr.IsMulticast() && a.place > place
		}
	}
	return there, ours, first
}

// previous returns the entries to record before w is done: none when what is wanted is there already and not ours.
func (h *Host) previous(w wish, k *kernel) ([]entry, error) {
	switch w.Kind {
	case kindSysctl:
		now, err := readSysctl(w.Path)
		if err != nil || suffices(w.Path, now, w.value) {
			return nil, ignoreAbsent(err)
		}
		entries := []entry{{item: w.item, Previous: now, Set: w.value}}
		side, err := sideEffects(w.Path)
		if err != nil {
			return nil, err
		}
		for _, path := range side {
			value, err := readSysctl(path)
			if err != nil {
				continue // the interface has just gone
			}
			entries = append(entries, entry{item: item{Kind: kindSide, Path: path}, Previous: value})
		}
		return entries, nil
	case kindAddress:
		if there, ours := k.onLo(w.Addr); there && !ours {
			return nil, nil
		}
	case kindJoined:
		if there, ours, _ := k.joined(w.item); there && !ours {
			return nil, nil
		}
	case kindFilter:
		if k.filters[w.Index][w.MAC] {
			return nil, nil
		}
	case kindNAPI:
		if h.conn.realTimeNAPI(w.item) {
			return nil, nil
		}
	case kindMoved:
		return []entry{{item: w.item, Previous: strconv.Itoa(int(h.conn.localOrigin(w.Family)))}}, nil
	case kindLocal, kindPrefix, kindRoute, kindRule, kindSide:
	}
	return []entry{{item: w.item, Set: w.value}}, nil
}

// do brings one wish about; doing it again changes nothing.
func (h *Host) do(w wish, k *kernel) error {
	switch w.Kind {
	case kindSysctl:
		now, err := readSysctl(w.Path)
		if err != nil || suffices(w.Path, now, w.value) {
			return err
		}
		return writeSysctl(w.Path, w.value)
	case kindNAPI:
		return h.conn.raiseNAPI(w)
	case kindFilter:
		if k.filters[w.Index][w.MAC] {
			return nil
		}
		return h.conn.addFilter(w.MAC, w.Index)
	case kindAddress:
		if there, _ := k.onLo(w.Addr); there {
			return nil
		}
		return h.conn.addAddress(w.Addr, lo)
	case kindJoined:
		there, ours, first := k.joined(w.item)
		if there && (!first || !ours) {
			return nil
		}
		if there {
			if err := h.conn.deleteAddress(w.Addr, w.Index); err != nil {
				return err
			}
		}
		return h.conn.addAddress(w.Addr, w.Index)
	case kindLocal, kindPrefix, kindRoute:
		source := k.source(w.item)
		if now, there := k.routes[w.item]; there && now == source {
			return nil
		}
		// A route needs its interface up, and the next Apply comes when it is.
		return ignore(h.conn.setRoute(routeOf(w.item, source)), unix.ENETDOWN)
	case kindMoved:
		return h.conn.moveLocal(w.Family)
	case kindRule:
		return h.rule(w.item)
	case kindSide:
	}
	return nil
}

// rule makes a group's rule as its serving state wants it. Without room before the local table there is none.
func (h *Host) rule(i item) error {
	on := !h.serving[i.Group]
	if on {
		list, err := h.conn.rules(i.Family)
		if err != nil {
			return err
		}
		if needed, err := moves(list); err != nil || needed {
			return err
		}
	}
	return h.conn.setOwnRule(i.Family, i.Group, on)
}

// undo takes one change back; nothing to take back is no error.
func (h *Host) undo(e entry) error {
	switch e.Kind {
	case kindSysctl, kindSide:
		return undoSysctl(e)
	case kindNAPI:
		return h.conn.lowerNAPI(e)
	case kindFilter:
		return h.conn.deleteFilter(e.MAC, e.Index)
	case kindAddress:
		return h.conn.deleteAddress(e.Addr, lo)
	case kindJoined:
		return h.conn.deleteAddress(e.Addr, e.Index)
	case kindLocal, kindPrefix, kindRoute:
		return h.conn.deleteRoute(routeOf(e.item, netip.Addr{}))
	case kindMoved:
		origin, err := strconv.ParseUint(e.Previous, 10, 8)
		if err != nil {
			return fmt.Errorf("protocol of the local rule: %w", err)
		}
		return h.conn.restoreLocal(e.Family, uint8(origin))
	case kindRule:
		return h.conn.setOwnRule(e.Family, e.Group, false)
	}
	return errors.New("unknown kind of change: stop the cluster with the program that wrote the record")
}

// routeOf is the route that an item of kindLocal, kindPrefix or kindRoute stands for.
func routeOf(i item, source netip.Addr) *netlink.Route {
	switch i.Kind {
	case kindLocal:
		return route(hostPrefix(i.Addr), source, i.Index, localTable, true)
	case kindPrefix:
		r := route(i.Prefix, source, i.Index, unix.RT_TABLE_MAIN, false)
		r.Priority = prefixMetric + i.Index
		return r
	default:
		return route(hostPrefix(i.Addr), source, i.Index, tableBase+int(i.Group), false)
	}
}

// source is the own address for packets to an IPv6 VIP or its declared prefix: on the VIP's interface, of its prefix if there is
// one. Left to itself the kernel would take the VIP as the source of packets to it, since the VIP is an address of the host too (RFC 6724
// rule 1). IPv4 picks an address of the interface by itself, and so does IPv6 for link-local VIPs, which are
// nobody's address.
func (k *kernel) source(i item) netip.Addr {
	to := i.Addr
	if i.Kind == kindPrefix {
		to = i.Prefix.Addr()
	}
	if i.Kind == kindLocal || !to.Is6() || onInterface(to) {
		return netip.Addr{}
	}
	var best netip.Addr
	bestNear := false
	for _, p := range k.own[i.Index] {
		near := p.Masked().Contains(to)
		if !best.IsValid() || near && !bestNear || near == bestNear && p.Addr().Less(best) {
			best, bestNear = p.Addr(), near
		}
	}
	return best
}

// ownPrefixes are the addresses that can be the source of own traffic.
func ownPrefixes(all map[netip.Addr][]address) map[int][]netip.Prefix {
	own := make(map[int][]netip.Prefix)
	for addr, list := range all {
		if !addr.Is6() || !addr.IsGlobalUnicast() {
			continue
		}
		for _, a := range list {
			if a.usable && a.index != lo {
				own[a.index] = append(own[a.index], netip.PrefixFrom(addr, a.bits))
			}
		}
	}
	return own
}
