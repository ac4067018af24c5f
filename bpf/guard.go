// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Missing says which side of the gate somebody else has taken off an interface since Attach: "ingress", "egress" or "ingress and
// egress"; "" if it hangs there whole, or if that cannot be found out. gated is what Attach was told. The kernel tells nobody that a
// link was detached or a qdisc deleted, so it has to be asked. That may take as long as others hold the kernel's lock of all interfaces, so
// nobody else waits meanwhile.
func (g *Gate) Missing(index int, gated bool) string {
	in := g.linked(index, asXDPNative, asXDPGeneric, asTCX) || g.filtered(index, netlink.HANDLE_MIN_INGRESS)
	out := !gated || g.linked(index, asEgress) || g.filtered(index, netlink.HANDLE_MIN_EGRESS)
	switch {
	case in && out:
		return ""
	case in:
		return "egress"
	case out:
		return "ingress"
	}
	return "ingress and egress"
}

// linked reports whether a living link is pinned in one of these ways, or whether that cannot be found out.
func (g *Gate) linked(index int, ways ...string) bool {
	return slices.ContainsFunc(ways, func(as string) bool {
		l, err := link.LoadPinnedLink(linkPin(g.options.PinDir, index, as), nil)
		if err != nil {
			return !errors.Is(err, os.ErrNotExist)
		}
		defer l.Close()
		info, err := l.Info()
		return err != nil || linkIndex(info) == index
	})
}

// filtered reports whether one of our filters is at one side of an interface, or whether that cannot be found out.
func (g *Gate) filtered(index int, parent uint32) bool {
	there, err := g.classicAttached(index, parent)
	return there || err != nil
}

// KeepPins puts back the pins of maps and programs that somebody has removed, and returns their names. Without them a restarted daemon
// would find no gate to adopt. Links are not among them: one whose pin goes is detached, which Missing tells.
func (g *Gate) KeepPins() (restored []string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, m := range g.maps() {
		restored, err = keepPin(g, restored, name, m)
		if err != nil {
			return restored, fmt.Errorf("keep the gate's pins: %w", err)
		}
	}
	for name, p := range g.programs() {
		restored, err = keepPin(g, restored, pinProgram+name, p)
		if err != nil {
			return restored, fmt.Errorf("keep the gate's pins: %w", err)
		}
	}
	slices.Sort(restored)
	return restored, nil
}

// keepPin puts one pin back if it is not there, and adds its name to those that were restored.
func keepPin[T pinned[T]](g *Gate, restored []string, name string, what T) ([]string, error) {
	path := filepath.Join(g.options.PinDir, name)
	if exists(path) {
		return restored, nil
	}
	if err := makePinDir(g.options.PinDir); err != nil {
		return restored, err
	}
	// What has been pinned once, or was opened by its pin, believes that it still is, and pins nothing; a copy does not.
	unpinned, err := what.Clone()
	if err != nil {
		return restored, err
	}
	if err := errors.Join(unpinned.Pin(path), unpinned.Close()); err != nil {
		return restored, err
	}
	return append(restored, name), nil
}

// pinned is a map or a program.
type pinned[T any] interface {
	Pin(path string) error
	Clone() (T, error)
	Close() error
}
