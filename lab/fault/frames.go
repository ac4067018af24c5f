// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"golang.org/x/net/bpf"

	"github.com/holdfast-project/holdfast/lab/tap"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// The cluster protocol's place on the wire, as far as garbage and recordings need it (package ccp).
const (
	ccpEtherType = 0x88b5
	ccpHeader    = 56
	ethernet     = 14
)

// ccpGroup is the multicast address of a cluster's frames.
func ccpGroup(cluster uint16) net.HardwareAddr {
	return net.HardwareAddr{0x03, 0x48, 0x46, 0, byte(cluster >> 8), byte(cluster)}
}

// Garbage makes frames of the cluster protocol's EtherType from source that no member may believe: random ones, truncated
// ones, ones with a well-formed header of this cluster or of a foreign one and a random tag; one in eight is an ARP of
// random content. The same seed makes the same frames.
func Garbage(count int, cluster uint16, source net.HardwareAddr, seed uint64) [][]byte {
	r := rand.New(rand.NewPCG(seed, 0x48464c))
	frames := make([][]byte, count)
	for i := range frames {
		size := ccpHeader + 48 + r.IntN(64)
		switch i % 8 {
		case 0:
			size = r.IntN(ccpHeader) // truncated
		case 1:
			size = r.IntN(1400)
		}
		f := make([]byte, ethernet+size)
		for j := range f[ethernet:] {
			f[ethernet+j] = byte(r.Uint32())
		}
		copy(f, ccpGroup(cluster))
		if i%4 == 3 {
			copy(f, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		}
		copy(f[6:], source)
		etherType := uint16(ccpEtherType)
		switch i % 8 {
		case 2, 3, 4, 5:
			wellFormed(f[ethernet:], cluster+uint16(i%8)/4, r) // 4 and 5: foreign
		case 7:
			etherType = 0x0806
		}
		binary.BigEndian.PutUint16(f[12:], etherType)
		frames[i] = f
	}
	return frames
}

// wellFormed writes a header that passes every check but the tag's.
func wellFormed(b []byte, cluster uint16, r *rand.Rand) {
	b[0] = 1
	b[1] = []byte{1, 2, 3, 4, 16}[r.IntN(5)]
	b[2], b[3] = 0, 1
	binary.BigEndian.PutUint16(b[4:], cluster)
	b[6], b[7] = byte(r.IntN(8)), byte(r.IntN(8))
	binary.BigEndian.PutUint16(b[8:], uint16(len(b)-ccpHeader))
	copy(b[10:16], make([]byte, 6))
}

// Record collects at most count authentic frames that members send on a segment, until ctx ends, and puts source in place of
// their Ethernet source: the replay is an attacker's at another port, and a switch that believed its source addresses
// would cut the members off, which no protocol above can help.
func Record(ctx context.Context, lab *topology.Lab, segment string, count int, source net.HardwareAddr) ([][]byte, error) {
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: ccpEtherType, SkipFalse: 1},
		bpf.RetConstant{Val: 65535},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return nil, err
	}
	var taps []*tap.Tap
	defer func() {
		for _, t := range taps {
			t.Close()
		}
	}()
	for _, n := range lab.OfKind(topology.Member) {
		p, err := n.Port(segment)
		if err != nil {
			return nil, err
		}
		t, err := tap.Open(lab.Switch.NS.Do, p.SwitchPort, tap.Options{Filter: filter, Incoming: true})
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", segment, err)
		}
		taps = append(taps, t)
	}
	var frames [][]byte
	buf := make([]byte, 2048)
	for len(frames) < count && ctx.Err() == nil {
		quiet := true
		for _, t := range taps {
			frame, ok, err := t.Read(buf)
			if err != nil {
				return nil, fmt.Errorf("record %s: %w", segment, err)
			}
			if ok && len(frame.Data) >= ethernet+ccpHeader {
				copied := append([]byte(nil), frame.Data...)
				copy(copied[6:12], source)
				frames = append(frames, copied)
				quiet = false
			}
		}
		if quiet {
			pause(ctx.Done(), time.Millisecond)
		}
	}
	if len(frames) == 0 {
		return nil, fmt.Errorf("record %s: no member sent a frame of EtherType %#x", segment, ccpEtherType)
	}
	return frames, nil
}
