// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"math"

	"github.com/holdfast-project/holdfast/lab/hook"
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
	FrameType uint8   // of these only frames with this in their second byte, as the type of CCP frames; 0: all
	Cut       uint64  // Out only: bit n drops what came in by port n
}

// Count is what a side has done so far. Seen counts frames of the harmed EtherType and type.
type Count struct{ Seen, Dropped, Duplicated uint64 }

// Port is a port with programs at both sides. It is not safe for concurrent use.
type Port struct {
	Index   int // of the interface
	number  uint8
	objects portObjects
	hooks   *hook.Attached
}

// Attach puts the programs at the interface index of namespace ns. number, 1 to MaxPort, marks what comes in by it.
func Attach(ns *netns.NS, index int, number uint8) (*Port, error) {
	return attach(ns, index, number, hook.Best)
}

func attach(ns *netns.NS, index int, number uint8, way hook.Way) (_ *Port, err error) {
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
	p.hooks, err = hook.Attach(ns, index, p.objects.PortIn, p.objects.PortOut, way)
	return p, err
}

// Set replaces the harm at one side; it is in force when Set returns. Counters start again.
func (p *Port) Set(side Side, h Harm) error {
	v := portHarm{
		Drop: threshold(h.Loss), Duplicate: threshold(h.Duplicate),
		EtherType: h.EtherType, FrameType: h.FrameType, Port: p.number, Cut: h.Cut,
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
	var err error
	if p.hooks != nil {
		err = p.hooks.Close()
	}
	return errors.Join(err, p.objects.Close())
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
