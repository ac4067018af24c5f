// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/netns"
)

// Way says which mechanism of the kernel to use.
type Way uint8

// The ways.
const (
	Best    Way = iota // TCX, or Classic where there is none
	Classic            // a clsact filter
)

// Attached are the programs at one interface.
type Attached struct{ detach []func() error }

// Attach puts in at the ingress and out at the egress of the interface of that index in ns; either may be nil. The programs stay
// until Close; they go with the interface, too.
func Attach(ns *netns.NS, index int, in, out *ebpf.Program, way Way) (*Attached, error) {
	a := new(Attached)
	err := ns.Do(func() error {
		if way == Best {
			err := a.tcx(index, in, out)
			if err == nil || !errors.Is(err, ebpf.ErrNotSupported) {
				return err
			}
		}
		return a.classic(index, in, out)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("attach programs to interface %d of %s: %w", index, ns.Name(), err), a.Close())
	}
	return a, nil
}

func (a *Attached) tcx(index int, in, out *ebpf.Program) error {
	for at, prog := range map[ebpf.AttachType]*ebpf.Program{ebpf.AttachTCXIngress: in, ebpf.AttachTCXEgress: out} {
		if prog == nil {
			continue
		}
		l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: prog, Attach: at})
		if err != nil {
			return err
		}
		a.detach = append(a.detach, l.Close)
	}
	return nil
}

// classic is for kernels before 6.6. The queueing discipline, and the filters with it, go with the interface or at Close.
func (a *Attached) classic(index int, in, out *ebpf.Program) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	a.detach = append(a.detach, func() error {
		defer h.Close()
		err := h.QdiscDel(qdisc)
		if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
			return nil // the interface is gone
		}
		return err
	})
	if err := h.QdiscReplace(qdisc); err != nil {
		return fmt.Errorf("clsact: %w", err)
	}
	for parent, prog := range map[uint32]*ebpf.Program{netlink.HANDLE_MIN_INGRESS: in, netlink.HANDLE_MIN_EGRESS: out} {
		if prog == nil {
			continue
		}
		filter := &netlink.BpfFilter{
			FilterAttrs:  netlink.FilterAttrs{LinkIndex: index, Parent: parent, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL},
			Fd:           prog.FD(),
			Name:         "holdfast-lab",
			DirectAction: true,
		}
		if err := h.FilterReplace(filter); err != nil {
			return fmt.Errorf("filter: %w", err)
		}
	}
	return nil
}

// Close takes the programs away. A second Close does nothing.
func (a *Attached) Close() error {
	var errs []error
	for _, d := range a.detach {
		errs = append(errs, d())
	}
	a.detach = nil
	return errors.Join(errs...)
}
