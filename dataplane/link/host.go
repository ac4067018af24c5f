// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Desired is all that the cluster wants of the host. The zero value wants nothing.
type Desired struct {
	Interfaces []Interface
	// ManageForwarding turns IP forwarding on for the families that have VIPs.
	ManageForwarding bool
	// NAPIPriority raises the NAPI threads of NAPIDevices, where they have any, to this SCHED_FIFO priority; 0 leaves them.
	NAPIPriority int
	// NAPIDevices are the devices by which others hear us, those without VIPs too; nil means the Interfaces. A device that does not
	// exist is passed over.
	NAPIDevices []string
	// Sysctls are further settings of the network namespace, put back by Restore like all others.
	Sysctls []Sysctl
	// OwnStays has the member's own traffic to VIPs stay here at all times: SetServing does nothing then, and the host is spared the
	// rules that it needs otherwise, which every packet that it forwards would pay for (decision 016).
	OwnStays bool
}

// Sysctl is one setting: a path below /proc/sys/net that exists, and its value as the kernel shows it.
type Sysctl struct{ Path, Value string }

// Interface is what is wanted for one cluster interface.
type Interface struct {
	Name string
	// VMACs are let through the interface's unicast filter; empty with `vmac: false`.
	VMACs [][6]byte
	VIPs  []VIP
	// Groups are IPv4 multicast groups that the interface is in for good: unlike those of IPv6 addresses they outlive the process,
	// since switches that snoop IGMP would take shared traffic away from a member whose daemon restarts.
	Groups []netip.Addr
	// Proxy are addresses answered for but not local; the IPv6 ones need their multicast group as VIPs do.
	Proxy []netip.Addr
}

// VIP is a virtual address. A link-local one (the virtual link-local address among them) becomes local on its
// interface, any other on lo.
type VIP struct {
	Addr  netip.Addr
	Group uint8
	// Prefix, if valid, is the network of a VIP outside the members' own: every member gets a route to it out of the interface,
	// whether it serves or not, since nothing else tells the kernel that those hosts are there.
	Prefix netip.Prefix
}

// Host applies what is desired and remembers what it changed. Its methods are safe for concurrent use; sysctls are those
// of the calling thread's network namespace, which must be the one where OpenHost was called.
type Host struct {
	log  *slog.Logger
	path string

	mu      sync.Mutex
	conn    *conn
	index   func(name string) (int, error) // of a device; unix.ENODEV: there is none of that name
	record  record
	serving map[uint8]bool
	rules   map[item]bool // the kindRule items that the last Apply wanted
	groups  map[int]*membership

	unwritten atomic.Pointer[string] // why the record is not on the disk
}

// OpenHost reads the record at path, if there is one of this boot and this network namespace. The directory must exist.
// log may be nil.
func OpenHost(path string, log *slog.Logger) (*Host, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r, err := readRecord(path)
	if err != nil {
		return nil, err
	}
	c, err := openConn()
	if err != nil {
		return nil, err
	}
	return &Host{
		log: log, path: path, conn: c, index: c.index, record: r,
		serving: make(map[uint8]bool), rules: make(map[item]bool), groups: make(map[int]*membership),
	}, nil
}

// Close ends the multicast memberships and closes sockets. What is on the host stays, and on record.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaveAll()
	h.conn.close()
	return nil
}

func (h *Host) leaveAll() {
	for _, m := range h.groups {
		m.close()
	}
	clear(h.groups)
}

// Apply makes the host as desired: adds what is missing, takes back what an earlier Apply had set and is no longer wanted.
// It looks at the kernel, so it repairs as well; call it again when an interface came (back) up. The gate must be attached
// before it, else the stack could answer for a VIP. What a user had set before is neither recorded nor ever removed. Parts
// that fail do not stop the others; all are in the error. An interface that is down gets its routes at the next Apply.
func (h *Host) Apply(d Desired) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	indices := make(map[string]int)
	for _, in := range d.Interfaces {
		index, err := h.index(in.Name)
		if err != nil && !errors.Is(err, unix.ENODEV) {
			return blind(in.Name, err)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("interface %s: %w", in.Name, err))
			continue
		}
		indices[in.Name] = index
	}
	all := maps.Clone(indices)
	for _, name := range d.NAPIDevices {
		switch index, err := h.index(name); {
		case err == nil:
			all[name] = index
		case !errors.Is(err, unix.ENODEV):
			return blind(name, err)
		}
	}
	if err := h.rename(all); err != nil {
		return err
	}
	if h.unwritten.Load() != nil || h.lost() {
		h.write()
	}
	wishes := plan(d, func(name string) (int, bool) { i, ok := all[name]; return i, ok })
	k, err := h.look(indices)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, k.misplaced(d, indices)...)
	errs = append(errs, h.forget(wishes)...)
	if err := h.remember(wishes, k); err != nil {
		return errors.Join(append(errs, err)...)
	}
	clear(h.rules)
	for _, w := range wishes {
		if w.Kind == kindRule {
			h.rules[w.item] = true
		}
		if err := h.do(w, k); err != nil {
			errs = append(errs, fmt.Errorf("%v: %w", w.item, err))
		}
	}
	errs = append(errs, h.join(d, indices)...)
	return errors.Join(errs...)
}

// SetServing says whether group is served here. While it is not, the member's own traffic to the group's VIPs leaves by
// their interface, to the server; while it is, it stays here. A group does not serve until told, which may be before the
// first Apply. It costs one netlink request per address family and writes no file.
func (h *Host) SetServing(group uint8, serving bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.serving[group] = serving
	var errs []error
	for r := range h.rules {
		if r.Group != group {
			continue
		}
		if err := h.rule(r); err != nil {
			errs = append(errs, fmt.Errorf("%v: %w", r, err))
		}
	}
	return errors.Join(errs...)
}

// Restore takes back everything on record, last change first, and removes the record. What cannot be taken back stays
// on record and in the error.
func (h *Host) Restore() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaveAll()
	clear(h.rules)
	errs := h.forget(nil)
	if len(h.record.Entries) > 0 {
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, h.record.remove(h.path))...)
}

// rename has entries of devices that were renamed follow them: what was set on a device is still there under its new name, and taking it
// back as the old one's would take it from the new one.
func (h *Host) rename(indices map[string]int) error {
	changed := false
	for name, index := range indices {
		for i := range h.record.Entries {
			e := &h.record.Entries[i]
			if e.Index != index || e.Link == "" || e.Link == name {
				continue
			}
			switch _, err := h.index(e.Link); {
			case err == nil:
				continue // another device, which had that index when it was made
			case !errors.Is(err, unix.ENODEV):
				return blind(e.Link, err)
			}
			e.Path = strings.Replace(e.Path, "/conf/"+e.Link+"/", "/conf/"+name+"/", 1)
			e.Link, changed = name, true
		}
	}
	if changed {
		h.write()
	}
	return nil
}

// blind is the error of an Apply that could not look: a device that is not seen is not gone, and what is set on it must not be taken back as
// if it were no longer wanted.
func blind(name string, err error) error {
	return fmt.Errorf("interface %s: cannot be looked at (%w): settings of this host stay as they are until that works", name, err)
}

// forget undoes entries that are not wished for, newest kind first, and writes the record if any were.
func (h *Host) forget(wishes []wish) []error {
	wanted := make(map[item]bool, len(wishes))
	for _, w := range wishes {
		wanted[w.item] = true
	}
	// Side effects go with their cause.
	for _, w := range wishes {
		paths, _ := sideEffects(w.Path)
		for _, p := range paths {
			wanted[item{Kind: kindSide, Path: p}] = true
		}
	}
	var keep, drop []entry
	for _, e := range h.record.Entries {
		if wanted[e.item] {
			keep = append(keep, e)
		} else {
			drop = append(drop, e)
		}
	}
	if len(drop) == 0 {
		return nil
	}
	slices.SortStableFunc(drop, func(a, b entry) int { return order[b.Kind] - order[a.Kind] })
	var errs []error
	for _, e := range drop {
		if err := h.undo(e); err != nil {
			errs = append(errs, fmt.Errorf("take back %v: %w", e.item, err))
			keep = append(keep, e)
		}
	}
	h.record.Entries = keep
	h.write()
	return errs
}

// remember puts on record what is going to be changed, before it is.
func (h *Host) remember(wishes []wish, k *kernel) error {
	known := make(map[item]bool, len(h.record.Entries))
	for _, e := range h.record.Entries {
		known[e.item] = true
	}
	before := len(h.record.Entries)
	for _, w := range wishes {
		if known[w.item] {
			continue
		}
		entries, err := h.previous(w, k)
		if err != nil {
			h.record.Entries = h.record.Entries[:before] // nothing of it is done either
			return err
		}
		for _, e := range entries {
			if !known[e.item] {
				known[e.item] = true
				h.record.Entries = append(h.record.Entries, e)
			}
		}
	}
	if len(h.record.Entries) == before {
		return nil
	}
	h.write()
	return nil
}

// write puts the record on the disk. A disk that refuses must not keep a member from serving: the
// record is in memory meanwhile, and the next Apply tries again.
func (h *Host) write() {
	err := h.record.write(h.path)
	if err == nil {
		h.unwritten.Store(nil)
		return
	}
	why := err.Error()
	h.unwritten.Store(&why)
}

// lost reports whether somebody has removed the record.
func (h *Host) lost() bool {
	_, err := os.Stat(h.path)
	return len(h.record.Entries) > 0 && errors.Is(err, fs.ErrNotExist)
}

// Unrecorded says why what is set on the host is not on record on the disk, "" if it is: a daemon that followed could not take it back.
func (h *Host) Unrecorded() string {
	if why := h.unwritten.Load(); why != nil {
		return *why
	}
	return ""
}

// join sets the multicast memberships of every interface.
func (h *Host) join(d Desired, indices map[string]int) []error {
	var errs []error
	used := make(map[int]bool)
	for _, in := range d.Interfaces {
		index, known := indices[in.Name]
		if !known {
			continue
		}
		used[index] = true
		if h.groups[index] == nil {
			h.groups[index] = new(membership)
		}
		if err := h.groups[index].set(index, multicastGroups(in)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", in.Name, err))
		}
	}
	for index, m := range h.groups {
		if !used[index] {
			m.close()
			delete(h.groups, index)
		}
	}
	return errs
}
