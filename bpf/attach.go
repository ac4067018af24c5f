// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Flags of the ifaces map. The C program knows the first two.
const (
	ifaceGated  = 1
	ifaceVMAC   = 2
	ifaceClsact = 0x80 // the clsact qdisc is ours, and goes with the gate
)

// candidates are the ways to attach at ingress that each Attach tries, in this order. What is attached already in any of them stays.
var candidates = map[Attach][]string{
	AttachAuto:       {asXDPNative, asTCX, asClassic},
	AttachXDP:        {asXDPNative, asXDPGeneric},
	AttachTCX:        {asTCX, asClassic},
	AttachXDPGeneric: {asXDPGeneric},
	AttachClassic:    {asClassic},
}

// Attach attaches the gate to an interface, or brings what is attached in line with i: it may be called again at any time. A link
// that was severed with its interface is attached anew.
func (g *Gate) Attach(i Iface) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i.Slot >= MaxSlots {
		return fmt.Errorf("attach gate to interface %d: slot %d, there are %d", i.Index, i.Slot, MaxSlots)
	}
	dev, err := netlink.LinkByIndex(i.Index)
	if err != nil {
		return fmt.Errorf("attach gate to interface %d: %w", i.Index, err)
	}
	was := g.attachedAs(i.Index)
	failed := g.putIface(i)
	if failed == nil {
		failed = g.attachEgress(i)
	}
	if failed == nil {
		failed = g.attachIngress(i, dev.Type())
	}
	if failed == nil {
		return nil
	}
	failed = fmt.Errorf("attach gate to interface %s: %w", dev.Attrs().Name, failed)
	if was == "" {
		failed = errors.Join(failed, g.detach(i.Index)) // half a gate is none; but one that was there goes on
	}
	return failed
}

// putIface tells the programs about the interface; they do nothing at an interface they do not know.
func (g *Gate) putIface(i Iface) error {
	var old kernelIface
	if err := g.objects.Ifaces.Lookup(uint32(i.Index), &old); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	value := kernelIface{Ethertype: networkOrder(g.options.EtherType), Slot: i.Slot, Flags: old.Flags & ifaceClsact}
	value.MacHead, value.MacTail = macWords(i.MAC)
	value.VmacHead, value.VmacTail = macWords(i.VMAC)
	if i.Gated {
		value.Flags |= ifaceGated
		if i.UseVMAC {
			value.Flags |= ifaceVMAC
		}
	}
	return g.putIfaceEntry(i.Index, value)
}

func (g *Gate) attachIngress(i Iface, kind string) error {
	ways := candidates[g.options.Attach]
	var present string
	for _, as := range ways {
		if ok, err := g.attached(i.Index, as); err != nil {
			return err
		} else if ok {
			present = as
			break
		}
	}
	if present == "" {
		var err error
		if present, err = g.tryIngress(i.Index, ways, kind); err != nil {
			return err
		}
	}
	// What an earlier configuration wanted goes only now, when its successor is there.
	for _, as := range []string{asXDPNative, asXDPGeneric, asTCX, asClassic} {
		if as == present {
			continue
		}
		if err := g.detachAs(i.Index, as); err != nil {
			return err
		}
	}
	return nil
}

func (g *Gate) tryIngress(index int, ways []string, kind string) (string, error) {
	var failed error
	for _, as := range ways {
		if as == asXDPNative && kind == "veth" {
			continue // what XDP sends back is lost on a veth unless its peer runs XDP
		}
		// An interface has room for one XDP program: a predecessor in the other mode must make way.
		for _, other := range []string{asXDPNative, asXDPGeneric} {
			if other != as && (as == asXDPNative || as == asXDPGeneric) {
				if err := g.detachAs(index, other); err != nil {
					return "", err
				}
			}
		}
		err := g.attachAs(index, as)
		if err == nil {
			return as, nil
		}
		failed = errors.Join(failed, fmt.Errorf("as %s: %w", as, err))
	}
	return "", failed
}

func (g *Gate) attachEgress(i Iface) error {
	if !i.Gated {
		return errors.Join(g.detachAs(i.Index, asEgress), g.detachClassic(i.Index, netlink.HANDLE_MIN_EGRESS))
	}
	if g.options.Attach != AttachClassic {
		if ok, err := g.attached(i.Index, asEgress); err != nil || ok {
			return err
		}
		err := g.attachAs(i.Index, asEgress)
		if err == nil {
			return g.detachClassic(i.Index, netlink.HANDLE_MIN_EGRESS)
		}
		if !errors.Is(err, ebpf.ErrNotSupported) {
			return fmt.Errorf("at egress: %w", err)
		}
	}
	if err := g.attachClassic(i.Index, netlink.HANDLE_MIN_EGRESS); err != nil {
		return fmt.Errorf("at egress: %w", err)
	}
	return g.detachAs(i.Index, asEgress)
}

// attachAs attaches and pins one link.
func (g *Gate) attachAs(index int, as string) error {
	if as == asClassic {
		return g.attachClassic(index, netlink.HANDLE_MIN_INGRESS)
	}
	l, err := g.link(index, as)
	for until := Boottime() + linkEnds; err != nil && (errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY)) && Boottime() < until; {
		time.Sleep(linkEnds / 50)
		l, err = g.link(index, as)
	}
	if err != nil {
		return err
	}
	if err = makePinDir(g.options.PinDir); err == nil { // somebody may have removed it
		err = l.Pin(linkPin(g.options.PinDir, index, as))
	}
	if err != nil {
		err = fmt.Errorf("pin the link: %w", err)
	}
	return errors.Join(err, l.Close()) // closing a link that could not be pinned detaches it
}

// linkEnds is how long in ns Attach waits for the kernel to end a link whose pin somebody has just removed: it puts that off (bpf_link_put,
// kernel/bpf/syscall.c), and until then the program counts as attached.
const linkEnds = 50e6

// link makes a link that nothing holds but its descriptor.
func (g *Gate) link(index int, as string) (link.Link, error) {
	program := g.programFor(as)
	switch as {
	case asXDPNative:
		return link.AttachXDP(link.XDPOptions{Program: program, Interface: index, Flags: link.XDPDriverMode})
	case asXDPGeneric:
		return link.AttachXDP(link.XDPOptions{Program: program, Interface: index, Flags: link.XDPGenericMode})
	case asTCX:
		return link.AttachTCX(link.TCXOptions{Program: program, Interface: index, Attach: ebpf.AttachTCXIngress, Anchor: link.Head()})
	}
	return link.AttachTCX(link.TCXOptions{Program: program, Interface: index, Attach: ebpf.AttachTCXEgress, Anchor: link.Head()})
}

// attached reports whether a living link is pinned. It takes the pin of a severed one away.
func (g *Gate) attached(index int, as string) (bool, error) {
	if as == asClassic {
		return g.classicAttached(index, netlink.HANDLE_MIN_INGRESS)
	}
	path := linkPin(g.options.PinDir, index, as)
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open link %s: %w", path, err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return false, fmt.Errorf("open link %s: %w", path, err)
	}
	if linkIndex(info) == index {
		return true, nil
	}
	return false, l.Unpin()
}

// linkIndex returns the interface that a link is attached to, 0 if that is gone.
func linkIndex(info *link.Info) int {
	if x := info.XDP(); x != nil {
		return int(x.Ifindex)
	}
	if t := info.TCX(); t != nil {
		return int(t.Ifindex)
	}
	return 0
}

func (g *Gate) programFor(as string) *ebpf.Program {
	switch as {
	case asXDPNative, asXDPGeneric:
		return g.objects.HoldfastXdp
	case asEgress:
		return g.objects.HoldfastEgress
	}
	return g.objects.HoldfastIngress
}

// AttachedAs returns how the gate is attached to the ingress of an interface: "xdp-native", "xdp-generic", "tcx", "classic", or ""
// if it is not.
func (g *Gate) AttachedAs(index int) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.attachedAs(index)
}

func (g *Gate) attachedAs(index int) string {
	for _, as := range []string{asXDPNative, asXDPGeneric, asTCX, asClassic} {
		if ok, err := g.attached(index, as); err == nil && ok {
			return as
		}
	}
	return ""
}

func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// macWords returns a MAC as two words that lie in memory as it does.
func macWords(mac [6]byte) (head uint32, tail uint16) {
	return binary.NativeEndian.Uint32(mac[:4]), binary.NativeEndian.Uint16(mac[4:])
}
