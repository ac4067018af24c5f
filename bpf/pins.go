// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Names in the pin directory. Maps are pinned under their own names; dots are not allowed on a BPF file system.
const (
	pinWords   = kernelMapWords
	pinProgram = "prog-"
	pinLink    = "link-" // link-<interface index>-<as what>
	pinNew     = "-new"  // appended to what is not published yet
)

// The ways in which a link may be attached; also what AttachedAs returns, except for egress.
const (
	asXDPNative  = "xdp-native"
	asXDPGeneric = "xdp-generic"
	asTCX        = "tcx"
	asClassic    = "classic"
	asEgress     = "egress"
)

func linkPin(dir string, index int, as string) string {
	return filepath.Join(dir, fmt.Sprintf("%s%d-%s", pinLink, index, as))
}

// parseLinkPin is the reverse of linkPin for a file name.
func parseLinkPin(name string) (as string, ok bool) {
	rest, ok := strings.CutPrefix(name, pinLink)
	if !ok {
		return "", false
	}
	number, as, ok := strings.Cut(rest, "-")
	_, err := strconv.Atoi(number)
	return as, ok && err == nil
}

func pinnedLinks(dir string) ([]string, error) {
	names, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	var links []string
	for _, name := range names {
		if _, ok := parseLinkPin(name); ok {
			links = append(links, name)
		}
	}
	return links, nil
}

// readDir returns the names in dir, none if it does not exist.
func readDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read pin directory: %w", err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// checkPinDir makes sure that dir can hold pins: its nearest existing ancestor is on a BPF file system.
func checkPinDir(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("pin directory %q: not an absolute path", dir)
	}
	if strings.Contains(filepath.Base(dir), ".") {
		return fmt.Errorf("pin directory %q: a BPF file system allows no dots in names", dir)
	}
	at := dir
	for !exists(at) {
		at = filepath.Dir(at)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return fmt.Errorf("pin directory %q: %w", at, err)
	}
	if st.Type != unix.BPF_FS_MAGIC {
		return fmt.Errorf("pin directory %q: %q is %w (mount one: mount -t bpf bpf /sys/fs/bpf)", dir, at, ErrNotBPFFS)
	}
	return nil
}

// makePinDir makes sure that dir is there and can hold pins.
func makePinDir(dir string) error {
	if err := checkPinDir(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make pin directory: %w", err)
	}
	return nil
}

// clearDir removes a directory of pins that was never published.
func clearDir(dir string) error {
	names, err := readDir(dir)
	if err != nil || !exists(dir) {
		return err
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("clear unfinished pins: %w", err)
		}
	}
	if err := os.Remove(dir); err != nil {
		return fmt.Errorf("clear unfinished pins: %w", err)
	}
	return nil
}
