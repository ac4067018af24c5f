// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// procNet shows the sysctls of the network namespace of the thread that opens a file below it.
const procNet = "/proc/sys/net/"

func readSysctl(path string) (string, error) {
	b, err := os.ReadFile(procNet + path)
	if err != nil {
		return "", fmt.Errorf("sysctl: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func writeSysctl(path, value string) error {
	err := os.WriteFile(procNet+path, []byte(value), 0)
	if errors.Is(err, unix.EROFS) { // as in containers
		return fmt.Errorf("sysctl: set to %s: %w: mount /proc/sys so that it can be written here, or have net/%s=%s set beforehand by what has mounted it", value, err, path, value)
	}
	if err != nil {
		return fmt.Errorf("sysctl: set to %s: %w", value, err)
	}
	return nil
}

// suffices says that a sysctl's present value does what want is for. A stricter arp_ignore does: 2 answers only to senders of the
// address's own prefix, 8 to nobody.
func suffices(path, now, want string) bool {
	return now == want || filepath.Base(path) == "arp_ignore" && (now == "2" || now == "8")
}

// sideEffects returns what the kernel changes besides when path is set: turning forwarding on for all interfaces writes
// it into each of them, and for IPv4 clears all/accept_redirects.
func sideEffects(path string) ([]string, error) {
	var all []string
	switch path {
	case forwardingPath(afInet):
		all = append(all, "ipv4/conf/all/accept_redirects")
	case forwardingPath(afInet6):
	default:
		return nil, nil
	}
	dir := filepath.Dir(filepath.Dir(path))
	names, err := os.ReadDir(procNet + dir)
	if err != nil {
		return nil, fmt.Errorf("sysctl: %w", err)
	}
	for _, n := range names {
		if n.Name() != "all" {
			all = append(all, dir+"/"+n.Name()+"/forwarding")
		}
	}
	return all, nil
}

// undoSysctl puts the previous value back, unless somebody has set another one since. An interface that is gone took
// its sysctls along.
func undoSysctl(e entry) error {
	now, err := readSysctl(e.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if e.Kind == kindSysctl && now != e.Set || now == e.Previous {
		return nil
	}
	return writeSysctl(e.Path, e.Previous)
}

// ignoreAbsent turns a missing sysctl into nil: doing the wish reports it.
func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
