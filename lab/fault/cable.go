// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

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

// SwitchDown takes all ports of a segment's switch down, one after another with stagger in between (0: all by one request, of
// which nobody hears before the last is down). Its bridge forgets its addresses.
func (f *Faults) SwitchDown(ctx context.Context, segment string, stagger time.Duration) error {
	return f.switchPorts(ctx, segment, stagger, false)
}

// SwitchUp brings them up again in the same way.
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
	if stagger == 0 && len(indexes) > 1 {
		return setTogether(ns, h, up, indexes)
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

// setTogether sets links up or down by one request for the group that they are put in. One after another they would be milliseconds
// apart on a busy machine, and a member could rightly tell that only one of them is down.
func setTogether(ns *netns.NS, h *netlink.Handle, up bool, indexes []int) error {
	group := indexes[0] // no other group of this namespace has it
	for _, index := range indexes {
		if err := h.LinkSetGroup(byIndex(index), group); err != nil {
			return fmt.Errorf("link %d of %s: group %d: %w", index, ns.Name(), group, err)
		}
	}
	return ns.Do(func() error {
		req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
		msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
		msg.Change = unix.IFF_UP
		if up {
			msg.Flags = unix.IFF_UP
		}
		req.AddData(msg)
		req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(uint32(group))))
		if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
			return fmt.Errorf("links of group %d of %s: %w", group, ns.Name(), err)
		}
		return nil
	})
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
