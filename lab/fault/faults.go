// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"errors"
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"

	"github.com/holdfast-project/holdfast/lab/fault/bpf"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Faults are the faults of one topology's network. It is safe for concurrent use.
type Faults struct {
	lab *topology.Lab

	mu    sync.Mutex
	ports map[string]*port // by switch port
}

// port is a switch port whose programs are attached, and what they are to do.
type port struct {
	*bpf.Port
	harm [2]bpf.Harm // by side
}

// New returns the faults of a topology; none is active.
func New(lab *topology.Lab) *Faults { return &Faults{lab: lab, ports: map[string]*port{}} }

// Direction is seen from the node: what it sends, what it gets, or both.
type Direction string

// The directions.
const (
	From Direction = "from"
	To   Direction = "to"
	Both Direction = "both"
)

func (d Direction) sides() []bpf.Side {
	switch d {
	case From:
		return []bpf.Side{bpf.In}
	case To:
		return []bpf.Side{bpf.Out}
	default:
		return []bpf.Side{bpf.In, bpf.Out}
	}
}

// Close takes all programs away. Cables and switches stay as they are.
func (f *Faults) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for name, p := range f.ports {
		errs = append(errs, p.Close())
		delete(f.ports, name)
	}
	return errors.Join(errs...)
}

// Loss says which frames are lost.
type Loss struct {
	// Probability is from 0 (nothing is lost any more) to 1 (a cut).
	Probability float64
	// EtherType limits it to that one if it is not 0 (0x88b5: the cluster's own protocol is silent while its addresses still
	// answer), FrameType to frames of that type of the cluster's protocol.
	EtherType uint16
	FrameType uint8
}

// Drop loses frames of a node on a segment.
func (f *Faults) Drop(node, segment string, d Direction, l Loss) error {
	if l.FrameType != 0 {
		l.EtherType = ccpEtherType
	}
	return f.change(node, segment, d, func(h *bpf.Harm) { h.Loss, h.EtherType, h.FrameType = l.Probability, l.EtherType, l.FrameType })
}

// Duplicate sends a node's frames on a segment twice with the given probability; 0 ends it.
func (f *Faults) Duplicate(node, segment string, d Direction, probability float64) error {
	return f.change(node, segment, d, func(h *bpf.Harm) { h.Duplicate = probability })
}

// Count returns what was done to a node's frames on a segment since the last change; zero if nothing ever was. d is From or To.
func (f *Faults) Count(node, segment string, d Direction) (bpf.Count, error) {
	p, err := f.portOf(node, segment)
	if err != nil {
		return bpf.Count{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if have, ok := f.ports[p.SwitchPort]; ok {
		return have.Count(d.sides()[0])
	}
	return bpf.Count{}, nil
}

// Split cuts a segment into parts: nodes of different groups do not hear each other. Nodes that are in no group hear
// everybody and are heard.
func (f *Faults) Split(segment string, groups ...[]string) error {
	in := map[int][]*topology.Port{}
	var all uint64
	for g, names := range groups {
		for _, name := range names {
			p, err := f.portOf(name, segment)
			if err != nil {
				return err
			}
			in[g] = append(in[g], p)
			all |= 1 << f.number(p)
		}
	}
	for g := range groups {
		var own uint64
		for _, p := range in[g] {
			own |= 1 << f.number(p)
		}
		for _, p := range in[g] {
			// Both sides: "out" drops, "in" numbers the frames.
			err := f.change(p.Node, segment, Both, func(h *bpf.Harm) { h.Cut = all &^ own })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Join ends a split of a segment.
func (f *Faults) Join(segment string) error {
	var errs []error
	for _, p := range f.lab.PortsOn(segment) {
		f.mu.Lock()
		_, have := f.ports[p.SwitchPort]
		f.mu.Unlock()
		if have {
			errs = append(errs, f.change(p.Node, segment, Both, func(h *bpf.Harm) { h.Cut = 0 }))
		}
	}
	return errors.Join(errs...)
}

// Prepare attaches the programs to all of a node's switch ports, which takes a while, so that harm to several of them can
// begin in the same instant.
func (f *Faults) Prepare(nodes ...string) error {
	for _, node := range nodes {
		n, err := f.lab.Node(node)
		if err != nil {
			return err
		}
		for _, p := range n.Ports {
			if err := f.change(node, p.Segment, Both, func(*bpf.Harm) {}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Replug puts a node's active harm on its new switch ports, after its machine was booted.
func (f *Faults) Replug(node string) error {
	n, err := f.lab.Node(node)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range n.Ports {
		f.mu.Lock()
		_, have := f.ports[p.SwitchPort]
		f.mu.Unlock()
		if have {
			errs = append(errs, f.change(node, p.Segment, Both, func(*bpf.Harm) {}))
		}
	}
	return errors.Join(errs...)
}

// change edits the harm at a port and attaches the programs first if they are not there. Programs stay until Close even
// when they have nothing to do: taking them away would lose the counters.
func (f *Faults) change(node, segment string, d Direction, edit func(*bpf.Harm)) error {
	t, err := f.portOf(node, segment)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p, fresh, err := f.attached(t)
	if err != nil {
		return err
	}
	for _, side := range d.sides() {
		edit(&p.harm[side])
		fresh[side] = true
	}
	for side, set := range fresh {
		if !set {
			continue
		}
		h := p.harm[side]
		if bpf.Side(side) == bpf.In {
			h.Cut = 0
		}
		if err := p.Set(bpf.Side(side), h); err != nil {
			return fmt.Errorf("%s: %w", t.SwitchPort, err)
		}
	}
	return nil
}

// attached returns the port with its programs at the interface that has the port's name now, and which sides are new.
func (f *Faults) attached(t *topology.Port) (p *port, fresh [2]bool, err error) {
	index, err := f.index(t.SwitchPort)
	if err != nil {
		return nil, fresh, err
	}
	have, ok := f.ports[t.SwitchPort]
	if ok && have.Index == index {
		return have, fresh, nil
	}
	b, err := bpf.Attach(f.lab.Switch.NS, index, f.number(t))
	if err != nil {
		return nil, fresh, fmt.Errorf("%s: %w", t.SwitchPort, err)
	}
	p = &port{Port: b}
	if ok {
		p.harm = have.harm
		if err := have.Close(); err != nil {
			return nil, fresh, errors.Join(err, b.Close())
		}
	}
	f.ports[t.SwitchPort] = p
	return p, [2]bool{true, true}, nil
}

// number is the port's number in its segment's switch, from 1.
func (f *Faults) number(p *topology.Port) uint8 {
	for i, o := range f.lab.PortsOn(p.Segment) {
		if o == p {
			return uint8(i + 1)
		}
	}
	return 0
}

func (f *Faults) index(switchPort string) (int, error) {
	h, err := f.lab.Switch.NS.Handle()
	if err != nil {
		return 0, err
	}
	defer h.Close()
	link, err := h.LinkByName(switchPort)
	if err != nil {
		return 0, fmt.Errorf("switch port %s: %w", switchPort, err)
	}
	return link.Attrs().Index, nil
}

func (f *Faults) portOf(node, segment string) (*topology.Port, error) {
	n, err := f.lab.Node(node)
	if err != nil {
		return nil, err
	}
	return n.Port(segment)
}

// byIndex names a link to netlink without asking for it first.
func byIndex(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}
