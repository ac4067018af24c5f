// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Where there is no TCX (before Linux 6.6) the programs hang in clsact filters, which have no pins: they live with the interface,
// and are known by name, handle and priority.
const (
	classicName     = "holdfast"
	classicHandle   = 0x4846
	classicPriority = 1
)

func classicFilter(index int, parent uint32, fd int) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: parent, Handle: classicHandle, Protocol: unix.ETH_P_ALL, Priority: classicPriority,
		},
		Fd: fd, Name: classicName, DirectAction: true,
	}
}

func (g *Gate) attachClassic(index int, parent uint32) error {
	if err := g.ensureClsact(index); err != nil {
		return err
	}
	if err := netlink.FilterReplace(classicFilter(index, parent, g.classicProgram(parent).FD())); err != nil {
		return fmt.Errorf("add clsact filter: %w", err)
	}
	return nil
}

// ensureClsact adds the clsact qdisc if there is none, and remembers that it is ours.
func (g *Gate) ensureClsact(index int) error {
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	err := netlink.QdiscAdd(qdisc)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("add clsact qdisc: %w", err)
	}
	var value kernelIface
	if err := g.objects.Ifaces.Lookup(uint32(index), &value); err != nil {
		return err
	}
	value.Flags |= ifaceClsact
	return g.putIfaceEntry(index, value)
}

// findClassic returns our filter at one side of an interface, nil if there is none or no such interface.
func findClassic(index int, parent uint32) (*netlink.BpfFilter, error) {
	filters, err := classicFilters(index, parent)
	if err != nil {
		return nil, err
	}
	for _, f := range filters {
		if b, ok := f.(*netlink.BpfFilter); ok && b.Name == classicName && b.Handle == classicHandle {
			return b, nil
		}
	}
	return nil, nil
}

func classicFilters(index int, parent uint32) ([]netlink.Filter, error) {
	dev, err := netlink.LinkByIndex(index)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	filters, err := netlink.FilterList(dev, parent)
	// EINVAL: no such qdisc.
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("list filters of %s: %w", dev.Attrs().Name, err)
	}
	return filters, nil
}

// classicAttached reports whether one of this gate's programs is in the filter at one side of an interface. It may be that of a gate whose
// pins were removed before it could be adopted: by that one's words nobody can open or close anything any more.
func (g *Gate) classicAttached(index int, parent uint32) (bool, error) {
	f, err := findClassic(index, parent)
	if err != nil || f == nil {
		return false, err
	}
	id, err := programID(g.classicProgram(parent))
	return err == nil && f.Id == int(id), err
}

// classicProgram returns what belongs into the filter at one side.
func (g *Gate) classicProgram(parent uint32) *ebpf.Program {
	if parent == netlink.HANDLE_MIN_EGRESS {
		return g.objects.HoldfastEgress
	}
	return g.objects.HoldfastIngress
}

func (g *Gate) detachClassic(index int, parent uint32) error { return removeFilter(index, parent) }

func removeFilter(index int, parent uint32) error {
	f, err := findClassic(index, parent)
	if err != nil || f == nil {
		return err
	}
	if err := netlink.FilterDel(classicFilter(index, parent, 0)); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove clsact filter: %w", err)
	}
	return nil
}

// removeClsact takes the clsact qdisc away if it is ours and nobody else has put filters there since.
func removeClsact(ifaces *ebpf.Map, index int) error {
	var value kernelIface
	err := ifaces.Lookup(uint32(index), &value)
	switch {
	case errors.Is(err, ebpf.ErrKeyNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look interface %d up: %w", index, err)
	case value.Flags&ifaceClsact == 0:
		return nil
	}
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		filters, err := classicFilters(index, parent)
		if err != nil || len(filters) > 0 {
			return err
		}
	}
	err = netlink.QdiscDel(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}})
	if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("remove clsact qdisc: %w", err)
	}
	return nil
}

// updateClassic puts the current programs into filters that have others.
func (g *Gate) updateClassic() error {
	return eachIface(g.objects.Ifaces, func(index int) error {
		for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
			program := g.classicProgram(parent)
			f, err := findClassic(index, parent)
			if err != nil {
				return err
			}
			id, err := programID(program)
			if err != nil {
				return err
			}
			if f == nil || f.Id == int(id) {
				continue
			}
			if err := netlink.FilterReplace(classicFilter(index, parent, program.FD())); err != nil {
				return fmt.Errorf("replace clsact filter: %w", err)
			}
		}
		return nil
	})
}

// removeClassic removes the filters of all interfaces in a pinned map.
func removeClassic(pin string) error {
	ifaces, err := ebpf.LoadPinnedMap(pin, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer ifaces.Close()
	return eachIface(ifaces, func(index int) error {
		return errors.Join(
			removeFilter(index, netlink.HANDLE_MIN_INGRESS), removeFilter(index, netlink.HANDLE_MIN_EGRESS), removeClsact(ifaces, index))
	})
}

func eachIface(ifaces *ebpf.Map, do func(index int) error) error {
	var (
		index   uint32
		value   kernelIface
		indexes []int
	)
	it := ifaces.Iterate()
	for it.Next(&index, &value) {
		indexes = append(indexes, int(index))
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("list interfaces of the gate: %w", err)
	}
	for _, index := range indexes {
		if err := do(index); err != nil {
			return err
		}
	}
	return nil
}
