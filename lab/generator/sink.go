// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"errors"
	"fmt"
	"math/bits"
	"net"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/holdfast-project/holdfast/lab/hook"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Sink counts and drops a generator's frames at an interface: UDP over IPv4, FrameLen bytes long. Everything else passes. It is safe
// for concurrent use.
type Sink struct {
	count *ebpf.Map
	prog  *ebpf.Program
	hooks *hook.Attached
}

// Of linux/bpf.h and linux/pkt_cls.h.
const (
	skbLen      = 0  // offset of len in struct __sk_buff
	skbProtocol = 16 // of protocol
	actPass     = -1 // TCX_NEXT, and TC_ACT_UNSPEC
	actDrop     = 2  // TCX_DROP, TC_ACT_SHOT
)

// AttachSink puts a sink at the ingress of a port; Close must be called.
func AttachSink(n *topology.Node, p *topology.Port) (*Sink, error) {
	s := &Sink{}
	err := s.attach(n, p)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sink at %s of %s: %w", p.Device, n.Name, err), s.Close())
	}
	return s, nil
}

func (s *Sink) attach(n *topology.Node, p *topology.Port) (err error) {
	s.count, err = ebpf.NewMap(&ebpf.MapSpec{Name: "sink_count", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return err
	}
	if s.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{Name: "sink", Type: ebpf.SchedCLS, Instructions: s.program(), License: "Dual MIT/GPL"}); err != nil {
		return err
	}
	index := 0
	err = n.NS.Do(func() error {
		ifi, err := net.InterfaceByName(p.Device)
		if err == nil {
			index = ifi.Index
		}
		return err
	})
	if err == nil {
		s.hooks, err = hook.Attach(n.NS, index, s.prog, nil, hook.Best)
	}
	return err
}

// program tells the frames by length, EtherType and protocol.
func (s *Sink) program() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1), // where LoadAbs looks for the packet
		asm.LoadMem(asm.R2, asm.R6, skbLen, asm.Word),
		asm.JNE.Imm(asm.R2, FrameLen, "pass"),
		asm.LoadMem(asm.R2, asm.R6, skbProtocol, asm.Word),
		asm.JNE.Imm(asm.R2, int32(bits.ReverseBytes16(etherIP)), "pass"), // in network order
		asm.LoadAbs(protocolAt, asm.Byte),
		asm.JNE.Imm(asm.R0, protoUDP, "pass"),
		asm.StoreImm(asm.RFP, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, s.count.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "drop"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, actDrop).WithSymbol("drop"),
		asm.Return(),
		asm.Mov.Imm(asm.R0, actPass).WithSymbol("pass"),
		asm.Return(),
	}
}

// Count returns how many frames came so far.
func (s *Sink) Count() (uint64, error) {
	var each []uint64
	if err := s.count.Lookup(uint32(0), &each); err != nil {
		return 0, fmt.Errorf("read the count of a sink: %w", err)
	}
	total := uint64(0)
	for _, n := range each {
		total += n
	}
	return total, nil
}

// Close takes the sink away.
func (s *Sink) Close() error {
	var errs []error
	if s.hooks != nil {
		errs = append(errs, s.hooks.Close())
	}
	if s.prog != nil {
		errs = append(errs, s.prog.Close())
	}
	if s.count != nil {
		errs = append(errs, s.count.Close())
	}
	return errors.Join(errs...)
}
