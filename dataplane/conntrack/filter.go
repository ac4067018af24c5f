// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// Offsets in a message as the filter of a netlink socket sees it: struct nlmsghdr, struct nfgenmsg, attributes.
const (
	atType = 4
	atPort = 12
)

// Attributes that the filter looks for (linux/netfilter/nfnetlink_conntrack.h). They lie in each other in this order.
const (
	ctaTupleOrig    = 1
	ctaTupleProto   = 2
	ctaProtoNum     = 1
	ctaProtoDstPort = 3
	nlaLen          = 4 // struct nlattr
)

// maxFilter is BPF_MAXINSNS, beyond which the kernel refuses a program.
const maxFilter = 4096

// Program results: the whole message, or none of it.
const (
	take   = 1 << 31
	refuse = 0
)

// eventFilter makes the classic BPF program of an event socket: messages that carry one of the port ids in ignore, and connections of
// the services that are never copied, are refused before they take room in the buffer. A message that the program does not understand
// is let through: what it is, is judged again from the record.
func eventFilter(ignore []uint32, services []record.Service) ([]bpf.RawInstruction, error) {
	var p []bpf.Instruction
	if len(ignore) > 0 {
		p = append(p, bpf.LoadAbsolute{Off: atPort, Size: 4})
		for _, id := range ignore {
			p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: swapped(id), SkipTrue: 1}, bpf.RetConstant{Val: refuse})
		}
	}
	if services = upToLastNever(services); len(services) > 0 {
		p = append(p, toService()...)
		for _, s := range services {
			p = append(p, decide(s)...)
		}
	}
	p = append(p, bpf.RetConstant{Val: take})
	if len(p) > maxFilter {
		return nil, fmt.Errorf("%w: %d instructions, the kernel allows %d", errFilterSize, len(p), maxFilter)
	}
	return bpf.Assemble(p)
}

// errFilterSize says that the services are too many for a filter.
var errFilterSize = errors.New("the services make too long a filter")

// install sets or replaces a socket's filter. If the services are too many for it, they are left out, and whole is false: a program has
// 4096 instructions at most, and its size is bounded by net.core.optmem_max (by default 20 KB before Linux 6.8, which is some 250 port ranges).
func install(fd int, ignore []uint32, services []record.Service) (whole bool, err error) {
	filter, err := eventFilter(ignore, services)
	if err == nil {
		err = attach(fd, filter)
	}
	if err == nil || !errors.Is(err, errFilterSize) && !errors.Is(err, unix.ENOMEM) || len(services) == 0 {
		return err == nil, err
	}
	if filter, err = eventFilter(ignore, nil); err != nil {
		return false, err
	}
	return false, attach(fd, filter)
}

// upToLastNever returns the services that the filter has to know: those behind the last one that is never copied are taken anyway.
func upToLastNever(services []record.Service) []record.Service {
	for i := len(services) - 1; i >= 0; i-- {
		if services[i].Never {
			return services[:i+1]
		}
	}
	return nil
}

// swapped is v as a filter loads it: fields of the netlink header are in host order, and a load takes them for network order.
func swapped(v uint32) uint32 {
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, v))
}

// Scratch memory of the filter.
const (
	memProtocol = iota
	memPort
)

// noPort is what the filter has for the port of a protocol without ports: in no range.
const noPort = 1 << 16

// toService puts the protocol and the destination port of the original direction into the scratch memory, and takes the message if it
// has no protocol.
func toService() []bpf.Instruction {
	takeUnlessFound := []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 1}, bpf.RetConstant{Val: take}}
	nested := func(attr uint32) []bpf.Instruction {
		return append([]bpf.Instruction{bpf.LoadConstant{Dst: bpf.RegX, Val: attr}, bpf.LoadExtension{Num: bpf.ExtNetlinkAttrNested}}, takeUnlessFound...)
	}
	p := []bpf.Instruction{
		// Expectations are no connections: the subsystem is the type's upper byte.
		bpf.LoadAbsolute{Off: atType, Size: 2},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: swapped16(0xff00)},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: swapped16(subConntrack), SkipTrue: 1},
		bpf.RetConstant{Val: take},
		bpf.LoadConstant{Dst: bpf.RegA, Val: headLen},
		bpf.LoadConstant{Dst: bpf.RegX, Val: ctaTupleOrig},
		bpf.LoadExtension{Num: bpf.ExtNetlinkAttr},
	}
	p = append(p, takeUnlessFound...)
	p = append(p, nested(ctaTupleProto)...)
	// A holds the offset of the attribute with the protocol's parts, twice needed.
	p = append(p, bpf.StoreScratch{Src: bpf.RegA, N: memPort})
	p = append(p, nested(ctaProtoNum)...)
	p = append(p, bpf.TAX{}, bpf.LoadIndirect{Off: nlaLen, Size: 1}, bpf.StoreScratch{Src: bpf.RegA, N: memProtocol},
		bpf.LoadScratch{Dst: bpf.RegA, N: memPort})
	return append(p,
		bpf.LoadConstant{Dst: bpf.RegX, Val: ctaProtoDstPort}, bpf.LoadExtension{Num: bpf.ExtNetlinkAttrNested},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 2},
		bpf.LoadConstant{Dst: bpf.RegA, Val: noPort},
		bpf.Jump{Skip: 2},
		bpf.TAX{}, bpf.LoadIndirect{Off: nlaLen, Size: 2},
		bpf.StoreScratch{Src: bpf.RegA, N: memPort})
}

// decide ends the program for the connections of s, and goes on for others.
func decide(s record.Service) []bpf.Instruction {
	verdict := bpf.RetConstant{Val: take}
	if s.Never {
		verdict.Val = refuse
	}
	protocol := []bpf.Instruction{
		bpf.LoadScratch{Dst: bpf.RegA, N: memProtocol},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(s.Protocol), SkipTrue: 1},
	}
	if len(s.Ports) == 0 {
		return append(protocol, verdict)
	}
	var p []bpf.Instruction
	for _, r := range s.Ports {
		p = append(p,
			bpf.LoadScratch{Dst: bpf.RegA, N: memProtocol},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(s.Protocol), SkipTrue: 4},
			bpf.LoadScratch{Dst: bpf.RegA, N: memPort},
			bpf.JumpIf{Cond: bpf.JumpLessThan, Val: uint32(r.First), SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: uint32(r.Last), SkipTrue: 1},
			verdict)
	}
	return p
}

// swapped16 is swapped for a field of two bytes.
func swapped16(v uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)))
}

// attach sets or replaces the filter of a socket.
func attach(fd int, prog []bpf.RawInstruction) error {
	code := make([]unix.SockFilter, len(prog))
	for i, ins := range prog {
		code[i] = unix.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}); err != nil {
		return fmt.Errorf("attach a filter of %d instructions: %w", len(code), err)
	}
	return nil
}
