// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"math/bits"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/holdfast-project/holdfast/lab/hook"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/xtcluster"
)

// floor is a gateway of the kernel's own with programs of a few instructions where members have the gate. Nobody can do what the gate does for less.
type floor struct {
	bareKernel
	release []func() error
}

// onFloor makes a floor of what setup does to the topology and of programs at both sides of the members' devices; in is asked for each member's.
func onFloor(setup func(*topology.Lab) error, in func(member int) asm.Instructions) func(*topology.Lab, string) (Gateway, error) {
	return func(lab *topology.Lab, _ string) (Gateway, error) {
		f := &floor{}
		err := setup(lab)
		for i, n := range lab.OfKind(topology.Member) {
			for slot, g := range lab.Spec.Segments {
				if err == nil && g.Role.HasVIPs() {
					err = f.attach(n, n.Ports[slot], in(i))
				}
			}
		}
		return f, err
	}
}

// attach puts a program at the ingress of a port, and an empty one at its egress.
func (f *floor) attach(n *topology.Node, p *topology.Port, in asm.Instructions) error {
	var both []*ebpf.Program
	for _, code := range []asm.Instructions{in, goOn()} {
		prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "floor", Type: ebpf.SchedCLS, Instructions: code, License: "Dual MIT/GPL"})
		if err != nil {
			return fmt.Errorf("floor at %s of %s: %w", p.Device, n.Name, err)
		}
		f.release = append(f.release, prog.Close)
		both = append(both, prog)
	}
	index := 0
	err := n.NS.Do(func() error {
		ifi, err := net.InterfaceByName(p.Device)
		if err == nil {
			index = ifi.Index
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("floor at %s of %s: %w", p.Device, n.Name, err)
	}
	hooks, err := hook.Attach(n.NS, index, both[0], both[1], hook.Best)
	if err == nil {
		f.release = append(f.release, hooks.Close)
	}
	return err
}

// Close takes the programs away.
func (f *floor) Close() error {
	var errs []error
	for i := range f.release {
		errs = append(errs, f.release[len(f.release)-1-i]())
	}
	return errors.Join(errs...)
}

// Of linux/bpf.h, linux/pkt_cls.h and linux/if_packet.h.
const (
	skbPacketType = 4 // offset of pkt_type in struct __sk_buff
	skbProtocol   = 16
	skbData       = 76
	skbDataEnd    = 80
	actNext       = -1 // TCX_NEXT
	actDrop       = 2  // TCX_DROP
	packetHost    = 0
	packetMany    = 2
	etherIP       = 0x0800
	sourceAt      = 14 + 12 // in a frame of IPv4
)

// goOn is the program that does nothing.
func goOn() asm.Instructions { return asm.Instructions{asm.Mov.Imm(asm.R0, actNext), asm.Return()} }

// evenOdd is the program of one of two members: it takes those packets to a MAC of many whose ends' addresses differ in the lowest bit, or do not, and
// drops the others.
func evenOdd(member int) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, skbPacketType, asm.Word),
		asm.JNE.Imm(asm.R2, packetMany, "next"),
		asm.LoadMem(asm.R2, asm.R1, skbProtocol, asm.Word),
		asm.JNE.Imm(asm.R2, int32(bits.ReverseBytes16(etherIP)), "next"), // in network order
		asm.LoadMem(asm.R2, asm.R1, skbData, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, skbDataEnd, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, sourceAt+8),
		asm.JGT.Reg(asm.R4, asm.R3, "next"),
		asm.LoadMem(asm.R4, asm.R2, sourceAt+3, asm.Byte),
		asm.LoadMem(asm.R5, asm.R2, sourceAt+7, asm.Byte),
		asm.Xor.Reg(asm.R4, asm.R5),
		asm.And.Imm(asm.R4, 1),
		asm.Mov.Imm(asm.R0, actDrop),
		asm.JNE.Imm(asm.R4, int32(member), "out"),
		asm.Mov.Imm(asm.R2, packetHost),
		asm.FnSkbChangeType.Call(),
		asm.Mov.Imm(asm.R0, actNext).WithSymbol("next"),
		asm.Return().WithSymbol("out"),
	}
}

// flooded is xtcluster.Flood with or without what state synchronisation needs.
func flooded(events bool) func(*topology.Lab) error {
	return func(lab *topology.Lab) error {
		err := xtcluster.Flood(lab)
		if err == nil && events {
			err = reportConnections(lab)
		}
		return err
	}
}
