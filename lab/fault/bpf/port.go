// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"math"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/netns"
)

// Side is one side of a switch port.
type Side uint32

// The sides of a port.
const (
	In  Side = 0 // what the node at the port sends
	Out Side = 1 // what the node at the port is about to get
)

// MaxPort is the highest number of a port in a switch.
const MaxPort = 63

// Harm is what happens to frames at one side of a port. The zero value does nothing but number the frames' port.
type Harm struct {
	Loss      float64 // probability of a loss, 0 to 1
	Duplicate float64 // probability of a second copy, 0 to 1
	EtherType uint16  // only frames of this EtherType; 0: all
	Cut       uint64  // Out only: bit n drops what came in by port n
}

// Count is what a side has done so far. Seen counts frames of the harmed EtherType.
type Count struct{ Seen, Dropped, Duplicated uint64 }

// Port is a port with programs at both sides. It is not safe for concurrent use.
type Port struct {
	Index   int // of the interface
	number  uint8
	objects portObjects
	detach  []func() error
}

// Attach puts the programs at the interface index of namespace ns. number, 1 to MaxPort, marks what comes in by it.
func Attach(ns *netns.NS, index int, number uint8) (*Port, error) {
	return attach(ns, index, number, true)
}

func attach(ns *netns.NS, index int, number uint8, tcx bool) (_ *Port, err error) {
	if number < 1 || number > MaxPort {
		return nil, fmt.Errorf("port number %d: must be 1 to %d", number, MaxPort)
	}
	p := &Port{Index: index, number: number}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("attach to switch port %d: %w", index, err), p.Close())
		}
	}()
	if err := loadPortObjects(&p.objects, nil); err != nil {
		return nil, err
	}
	for _, side := range []Side{In, Out} {
		if err := p.Set(side, Harm{}); err != nil {
			return nil, err
		}
	}
	return p, ns.Do(func() error {
		if tcx {
			err := p.attachTCX()
			if err == nil || !errors.Is(err, ebpf.ErrNotSupported) {
				return err
			}
		}
		return p.attachClassic()
	})
}

func (p *Port) attachTCX() error {
	for prog, at := range map[*ebpf.Program]ebpf.AttachType{
		p.objects.PortIn: ebpf.AttachTCXIngress, p.objects.PortOut: ebpf.AttachTCXEgress,
	} {
		l, err := link.AttachTCX(link.TCXOptions{Interface: p.Index, Program: prog, Attach: at})
		if err != nil {
			return err
		}
		p.detach = append(p.detach, l.Close)
	}
	return nil
}

// attachClassic is for kernels before 6.6. The queueing discipline, and the filters with it, go with the interface or here.
func (p *Port) attachClassic() error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: p.Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	p.detach = append(p.detach, func() error {
		defer h.Close()
		err := h.QdiscDel(qdisc)
		if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
			return nil // the port is gone
		}
		return err
	})
	if err := h.QdiscReplace(qdisc); err != nil {
		return fmt.Errorf("clsact: %w", err)
	}
	for prog, parent := range map[*ebpf.Program]uint32{
		p.objects.PortIn: netlink.HANDLE_MIN_INGRESS, p.objects.PortOut: netlink.HANDLE_MIN_EGRESS,
	} {
		filter := &netlink.BpfFilter{
			FilterAttrs:  netlink.FilterAttrs{LinkIndex: p.Index, Parent: parent, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL},
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

// Set replaces the harm at one side; it is in force when Set returns. Counters start again.
func (p *Port) Set(side Side, h Harm) error {
	v := portHarm{
		Drop: threshold(h.Loss), Duplicate: threshold(h.Duplicate),
		EtherType: h.EtherType, Port: p.number, Cut: h.Cut,
	}
	if err := p.objects.Harms.Put(uint32(side), v); err != nil {
		return fmt.Errorf("set harm: %w", err)
	}
	return nil
}

// Count returns what one side has done since its last Set.
func (p *Port) Count(side Side) (Count, error) {
	var v portHarm
	if err := p.objects.Harms.Lookup(uint32(side), &v); err != nil {
		return Count{}, fmt.Errorf("read harm: %w", err)
	}
	return Count{v.Seen, v.Dropped, v.Duplicated}, nil
}

// Close takes the programs away.
func (p *Port) Close() error {
	var errs []error
	for _, d := range p.detach {
		errs = append(errs, d())
	}
	p.detach = nil
	return errors.Join(append(errs, p.objects.Close())...)
}

// threshold turns a probability into what a random 32-bit number must be below.
func threshold(p float64) uint32 {
	switch {
	case p <= 0:
		return 0
	case p >= 1:
		return math.MaxUint32
	default:
		return uint32(p * math.MaxUint32)
	}
}
