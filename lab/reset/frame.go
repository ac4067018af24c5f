// SPDX-License-Identifier: Apache-2.0

package reset

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/net/bpf"
)

// Places in a frame.
const (
	ethLen    = 14
	ipv6Len   = 40
	tcpLen    = 20
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	protoTCP  = 6
	flagsAt   = 13
	flagRST   = 0x04
)

// filter takes TCP segments with RST, over IPv4 with or without options and over IPv6 without extension headers.
func filter() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherIPv6, SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherIPv4, SkipTrue: 10},
		bpf.LoadAbsolute{Off: ethLen + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoTCP, SkipTrue: 8},
		bpf.LoadMemShift{Off: ethLen},
		bpf.LoadIndirect{Off: ethLen + flagsAt, Size: 1},
		bpf.Jump{Skip: 3},
		bpf.LoadAbsolute{Off: ethLen + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoTCP, SkipTrue: 3},
		bpf.LoadAbsolute{Off: ethLen + ipv6Len + flagsAt, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: flagRST, SkipTrue: 1},
		bpf.RetConstant{Val: 256},
		bpf.RetConstant{Val: 0},
	}
}

// parse reads a frame that the filter took.
func parse(f []byte) (s seen, ok bool) {
	if len(f) < ethLen {
		return s, false
	}
	s.MAC = net.HardwareAddr(append([]byte(nil), f[6:12]...))
	ip := f[ethLen:]
	var from, to netip.Addr
	var tcp []byte
	switch binary.BigEndian.Uint16(f[12:]) {
	case etherIPv4:
		if len(ip) < 20 || len(ip) < int(ip[0]&15)*4 {
			return s, false
		}
		from, to, tcp = netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:])), ip[int(ip[0]&15)*4:]
	case etherIPv6:
		if len(ip) < ipv6Len {
			return s, false
		}
		from, to, tcp = netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:])), ip[ipv6Len:]
	default:
		return s, false
	}
	if len(tcp) < tcpLen || tcp[flagsAt]&flagRST == 0 {
		return s, false
	}
	s.From = netip.AddrPortFrom(from, binary.BigEndian.Uint16(tcp))
	s.To = netip.AddrPortFrom(to, binary.BigEndian.Uint16(tcp[2:]))
	s.numbers = [2]uint32{binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:])}
	return s, true
}
