// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Detach takes the gate off an interface. Detaching what is not attached, or an interface that is gone, is not an error.
func (g *Gate) Detach(index int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.detach(index); err != nil {
		return fmt.Errorf("detach gate from interface %d: %w", index, err)
	}
	return nil
}

func (g *Gate) detach(index int) error {
	var failed error
	for _, as := range []string{asXDPNative, asXDPGeneric, asTCX, asClassic, asEgress} {
		failed = errors.Join(failed, g.detachAs(index, as))
	}
	failed = errors.Join(failed, g.detachClassic(index, netlink.HANDLE_MIN_EGRESS), removeClsact(g.objects.Ifaces, index))
	return errors.Join(failed, g.deleteIfaceEntry(index))
}

func (g *Gate) detachAs(index int, as string) error {
	if as == asClassic {
		return g.detachClassic(index, netlink.HANDLE_MIN_INGRESS)
	}
	return unlink(linkPin(g.options.PinDir, index, as))
}

// unlink detaches and unpins a link. Unpinning alone detaches too, but some time later.
func unlink(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("detach link: %w", err)
	}
	if err := errors.Join(l.Detach(), l.Close()); err != nil {
		return fmt.Errorf("detach link %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("unpin link: %w", err)
	}
	return nil
}

// Remove detaches and unpins everything that is pinned in pinDir. Nothing pinned is not an error. Classic filters are found in the
// network namespace of the calling thread only.
func Remove(pinDir string) error {
	if err := clearDir(pinDir + pinNew); err != nil {
		return fmt.Errorf("remove gate: %w", err)
	}
	names, err := readDir(pinDir)
	if err != nil || !exists(pinDir) {
		return err
	}
	// Links first and the words last: what an interruption leaves is a gate that Open adopts and Remove removes.
	var failed error
	for _, name := range names {
		if _, ok := parseLinkPin(name); ok {
			failed = errors.Join(failed, unlink(filepath.Join(pinDir, name)))
		}
	}
	failed = errors.Join(failed, removeClassic(filepath.Join(pinDir, kernelMapIfaces)))
	if failed != nil {
		return fmt.Errorf("remove gate: %w", failed)
	}
	for _, name := range append(ourPins(), pinWords) {
		if err := os.Remove(filepath.Join(pinDir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove gate: %w", err)
		}
	}
	if err := os.Remove(pinDir); err != nil {
		return fmt.Errorf("remove gate: %w", err)
	}
	return nil
}

// ourPins returns the names of all pins but links and words.
func ourPins() []string {
	var names []string
	for name := range (&Gate{}).programSlots() {
		names = append(names, pinProgram+name, pinProgram+name+pinNew)
	}
	for name := range (&Gate{}).mapSlots() {
		if name != pinWords {
			names = append(names, name)
		}
	}
	return names
}
