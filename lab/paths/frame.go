// SPDX-License-Identifier: Apache-2.0

package paths

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/net/bpf"

	"github.com/holdfast-project/holdfast/lab/churn"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Of frames.
const (
	ethLen, ipv4Len, ipv6Len = 14, 20, 40
	typeIPv4, typeIPv6       = 0x0800, 0x86dd
	protoICMP, protoICMPv6   = 1, 58
	protoTCP, protoUDP       = 6, 17
	// codeAt is where a topology's MACs say what a node is.
	codeAt = 3
	// snap is what is read of a frame.
	snap = 128
)

// macs is how all MACs of a topology begin.
const macs = 0x024c

// toStations takes frames for the MACs of clients and servers.
func toStations() ([]bpf.RawInstruction, error) {
	raw, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: macs, SkipTrue: 4},
		bpf.LoadAbsolute{Off: codeAt, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: topology.CodeClient, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: topology.CodeServer, SkipTrue: 1},
		bpf.RetConstant{Val: snap},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return nil, fmt.Errorf("paths: filter: %w", err)
	}
	return raw, nil
}

// sight is what a frame tells.
type sight struct {
	flow     Flow
	numbered bool
	way
}

// parse reads a frame for an end station. Fragments but the first have no ports and tell nothing, nor does what is no TCP, UDP or
// ICMP echo.
func parse(b []byte) (s sight, ok bool) {
	if len(b) < ethLen+ipv4Len {
		return s, false
	}
	var from, to netip.Addr
	upper := b[ethLen:]
	six := false
	switch binary.BigEndian.Uint16(b[12:]) {
	case typeIPv4:
		head := int(upper[0]&0xf) * 4
		if head < ipv4Len || len(upper) < head+8 || binary.BigEndian.Uint16(upper[6:])&0x1fff != 0 {
			return s, false
		}
		from, to = netip.AddrFrom4([4]byte(upper[12:])), netip.AddrFrom4([4]byte(upper[16:]))
		s.flow.Protocol, upper = upper[9], upper[head:]
	case typeIPv6:
		if len(upper) < ipv6Len+8 {
			return s, false
		}
		from, to = netip.AddrFrom16([16]byte(upper[8:])), netip.AddrFrom16([16]byte(upper[24:]))
		s.flow.Protocol, upper, six = upper[6], upper[ipv6Len:], true
	default:
		return s, false
	}
	source, dest := binary.BigEndian.Uint16(upper), binary.BigEndian.Uint16(upper[2:])
	switch s.flow.Protocol {
	case protoTCP, protoUDP:
		s.number, s.firstPort, s.numbered = churn.Number(s.flow.Protocol, upper)
	case protoICMP, protoICMPv6:
		const echo4, echoReply4, echo6, echoReply6 = 8, 0, 128, 129
		if t := upper[0]; t != echo4 && t != echoReply4 && t != echo6 && t != echoReply6 {
			return s, false
		}
		source = binary.BigEndian.Uint16(upper[4:])
		dest = source
	default:
		return s, false
	}
	s.flow.From, s.flow.To = netip.AddrPortFrom(from, source), netip.AddrPortFrom(to, dest)
	s.clients = b[codeAt] == topology.CodeClient
	if s.numbered {
		s.protocol, s.six = s.flow.Protocol, six
	}
	return s, true
}
