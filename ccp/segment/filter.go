// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Class is a kind of CCP frames that a socket receives.
type Class uint8

// The classes. The zero value is invalid: a socket says what it is for.
const (
	// GateReplies are the answers of gates (REPLY, YIELD-REPLY): the pulse's.
	GateReplies Class = iota + 1
	// Sealed are the daemons' frames (types from 16 on), but for Sync's.
	Sealed
	// Any is every frame of the EtherType whatever it holds, for captures and tests; the socket joins no multicast group.
	Any
	// Sync are the frames of state synchronisation (SYNC). The socket has room for many.
	Sync
)

// Filter says which frames a socket receives. All other frames are refused by the kernel before they are queued.
type Filter struct {
	Class Class
	// Cluster is the cluster's id: frames of others are refused (not for Any), and its multicast group is joined.
	Cluster uint16
	// VLAN is the 802.1Q tag that frames carry in and out, 0 for none. It is for a VLAN without a device of its own: dial the
	// device and leave it 0 where there is one. Without one the kernel shows a tagged packet to sockets before any program at
	// the interface's TC ingress has seen it, so the gate's limits do not protect this socket; XDP's do.
	VLAN uint16
}

// Offsets in a packet as an AF_PACKET socket of type SOCK_RAW sees it: the 802.1Q tag is not in it any more.
const (
	ethLen     = 14
	vlanLen    = 4
	atVersion  = ethLen
	atType     = ethLen + 1
	atCluster  = ethLen + 4
	minLen     = ethLen + 104 // header and the least body of package ccp
	maxCapture = 1 << 16      // as much of the packet as there is

	firstSealed   = 16
	typeSync      = 18
	typeReply     = 2
	typeYieldRep  = 4
	headerVersion = 1
)

// Group is the multicast address that the daemons and gates of cluster listen to.
func Group(cluster uint16) [6]byte {
	return [6]byte{0x03, 0x48, 0x46, 0x00, byte(cluster >> 8), byte(cluster)}
}

// Broadcast is Ethernet's broadcast address.
var Broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// program assembles the classic BPF program of f. Jumps are written against two labels, resolved at the end: every test either goes
// on or goes to "refuse".
func (f Filter) program(etherType uint16) ([]bpf.RawInstruction, error) {
	var p []bpf.Instruction
	refuseUnless := func(test bpf.JumpTest, val uint32) {
		// SkipFalse is filled in below, when the distance to the refusal is known.
		p = append(p, bpf.JumpIf{Cond: test, Val: val, SkipFalse: 0xff})
	}
	if f.VLAN != 0 {
		p = append(p, bpf.LoadExtension{Num: bpf.ExtProto})
		refuseUnless(bpf.JumpEqual, uint32(etherType))
		p = append(p, bpf.LoadExtension{Num: bpf.ExtVLANTagPresent})
		refuseUnless(bpf.JumpNotEqual, 0)
		p = append(p, bpf.LoadExtension{Num: bpf.ExtVLANTag}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xfff})
		refuseUnless(bpf.JumpEqual, uint32(f.VLAN))
	} else if f.Class != Any {
		// In promiscuous mode other hosts' frames pass by, and the kernel counts as such, its tag removed, what came tagged for a
		// VLAN that has no device.
		p = append(p, bpf.LoadExtension{Num: bpf.ExtType})
		refuseUnless(bpf.JumpLessThan, unix.PACKET_OTHERHOST)
	}
	switch f.Class {
	case Any:
		return bpf.Assemble(resolve(p))
	case GateReplies, Sealed, Sync:
	default:
		return nil, fmt.Errorf("segment: filter class %d: want GateReplies, Sealed, Sync or Any", f.Class)
	}
	p = append(p, bpf.LoadExtension{Num: bpf.ExtLen})
	refuseUnless(bpf.JumpGreaterOrEqual, minLen)
	p = append(p, bpf.LoadAbsolute{Off: atVersion, Size: 1})
	refuseUnless(bpf.JumpEqual, headerVersion)
	p = append(p, bpf.LoadAbsolute{Off: atCluster, Size: 2})
	refuseUnless(bpf.JumpEqual, uint32(f.Cluster))
	p = append(p, bpf.LoadAbsolute{Off: atType, Size: 1})
	switch f.Class {
	case Sealed:
		refuseUnless(bpf.JumpGreaterOrEqual, firstSealed)
		refuseUnless(bpf.JumpNotEqual, typeSync)
	case Sync:
		refuseUnless(bpf.JumpEqual, typeSync)
	default:
		p = append(p, bpf.JumpIf{Cond: bpf.JumpEqual, Val: typeReply, SkipTrue: 1})
		refuseUnless(bpf.JumpEqual, typeYieldRep)
	}
	return bpf.Assemble(resolve(p))
}

// resolve appends acceptance and refusal, and points every open jump at the latter.
func resolve(p []bpf.Instruction) []bpf.Instruction {
	refuse := len(p) + 1
	p = append(p, bpf.RetConstant{Val: maxCapture}, bpf.RetConstant{Val: 0})
	for i, ins := range p {
		if j, ok := ins.(bpf.JumpIf); ok && j.SkipFalse == 0xff {
			j.SkipFalse = uint8(refuse - i - 1)
			p[i] = j
		}
	}
	return p
}
