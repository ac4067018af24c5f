// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/holdfast-project/holdfast/lab/netns"
)

// End is an end of a cable.
type End string

// The ends of a cable. At either the other end loses its carrier; at the switch's end the switch forgets what it had learnt
// there, at the node's end the node's kernel takes the device down and its routes with it.
const (
	AtSwitch End = "switch"
	AtNode   End = "node"
)

// Unplug pulls a node's cable out of one end.
func (f *Faults) Unplug(node, segment string, end End) error {
	return f.cable(node, segment, end, false)
}

// Plug puts it back.
func (f *Faults) Plug(node, segment string, end End) error { return f.cable(node, segment, end, true) }

func (f *Faults) cable(node, segment string, end End, up bool) error {
	n, err := f.lab.Node(node)
	if err != nil {
		return err
	}
	p, err := n.Port(segment)
	if err != nil {
		return err
	}
	if end == AtNode {
		return setLinks(n.NS, up, 0, nil, p.Device)
	}
	return setLinks(f.lab.Switch.NS, up, 0, nil, p.SwitchPort)
}

// SwitchDown takes all ports of a segment's switch down, one after another with stagger in between (0: as fast as netlink
// goes). Its bridge forgets its addresses.
func (f *Faults) SwitchDown(ctx context.Context, segment string, stagger time.Duration) error {
	return f.switchPorts(ctx, segment, stagger, false)
}

// SwitchUp brings them up again in the same order.
func (f *Faults) SwitchUp(ctx context.Context, segment string, stagger time.Duration) error {
	return f.switchPorts(ctx, segment, stagger, true)
}

func (f *Faults) switchPorts(ctx context.Context, segment string, stagger time.Duration, up bool) error {
	if _, err := f.lab.Segment(segment); err != nil {
		return err
	}
	var names []string
	for _, p := range f.lab.PortsOn(segment) {
		names = append(names, p.SwitchPort)
	}
	return setLinks(f.lab.Switch.NS, up, stagger, ctx.Done(), names...)
}

// setLinks sets links of a namespace up or down. The links are looked up first, so that the changes follow each other fast.
func setLinks(ns *netns.NS, up bool, stagger time.Duration, stop <-chan struct{}, names ...string) error {
	h, err := ns.Handle()
	if err != nil {
		return err
	}
	defer h.Close()
	var indexes []int
	for _, name := range names {
		link, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("link %s of %s: %w", name, ns.Name(), err)
		}
		indexes = append(indexes, link.Attrs().Index)
	}
	set := h.LinkSetDown
	if up {
		set = h.LinkSetUp
	}
	for i, index := range indexes {
		if i > 0 && stagger > 0 && !pause(stop, stagger) {
			return context.Canceled
		}
		if err := set(byIndex(index)); err != nil && !errors.As(err, &netlink.LinkNotFoundError{}) {
			return fmt.Errorf("link %s of %s: %w", names[i], ns.Name(), err)
		}
	}
	return nil
}

// pause waits for d and tells whether it was not stopped before.
func pause(stop <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
		return false
	}
}
