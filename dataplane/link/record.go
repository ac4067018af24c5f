// SPDX-License-Identifier: Apache-2.0

package link

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// kind is what a change is about. Its order (see order) is the order of application; undoing goes the other way, so that
// no address is ever on lo while the sysctls would let the stack answer for it.
type kind string

const (
	kindSysctl  kind = "sysctl"
	kindSide    kind = "sysctl-side-effect" // changed by the kernel when another sysctl was set
	kindNAPI    kind = "napi-priority"
	kindFilter  kind = "unicast-filter"
	kindAddress kind = "address" // on lo
	kindJoined  kind = "joined-group"
	kindLocal   kind = "local-route"
	kindPrefix  kind = "prefix-route" // to the prefix that a VIP declares, in the main table
	kindRoute   kind = "route"        // to a VIP, in the group's table
	kindMoved   kind = "local-rule-moved"
	kindRule    kind = "rule" // lookup of the group's table
)

// order of application; side effects are recorded before and undone after their cause.
var order = map[kind]int{
	kindSide: 0, kindSysctl: 1, kindNAPI: 2, kindFilter: 3, kindAddress: 4, kindJoined: 5, kindLocal: 6, kindPrefix: 7, kindRoute: 8,
	kindMoved: 9, kindRule: 10,
}

// item identifies one change. Fields that a kind does not need are zero, so items compare.
type item struct {
	Kind   kind         `json:"kind"`
	Link   string       `json:"link,omitempty"`
	Index  int          `json:"index,omitempty"`
	Addr   netip.Addr   `json:"addr,omitzero"`
	Prefix netip.Prefix `json:"prefix,omitzero"`
	MAC    hexMAC       `json:"mac,omitzero"`
	Family int          `json:"family,omitempty"`
	Group  uint8        `json:"group,omitempty"`
	Path   string       `json:"path,omitempty"` // below /proc/sys/net
}

// entry is an item on record: what was there before and what was set.
type entry struct {
	item
	Previous string `json:"previous,omitempty"`
	Set      string `json:"set,omitempty"`
}

func (i item) String() string {
	var b strings.Builder
	b.WriteString(string(i.Kind))
	for _, part := range []string{i.Path, i.Link} {
		if part != "" {
			b.WriteString(" " + part)
		}
	}
	if i.Addr.IsValid() {
		b.WriteString(" " + i.Addr.String())
	}
	if i.Prefix.IsValid() {
		b.WriteString(" " + i.Prefix.String())
	}
	if i.MAC != (hexMAC{}) {
		b.WriteString(" " + i.MAC.String())
	}
	if i.Family != 0 {
		fmt.Fprintf(&b, " %s group %d", familyName(i.Family), i.Group)
	}
	return b.String()
}

// hexMAC is a MAC that JSON shows in the usual form.
type hexMAC [6]byte

func (m hexMAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// MarshalText returns the usual form.
func (m hexMAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the usual form.
func (m *hexMAC) UnmarshalText(b []byte) error {
	n, err := fmt.Sscanf(string(b), "%02x:%02x:%02x:%02x:%02x:%02x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5])
	if err != nil || n != 6 {
		return fmt.Errorf("MAC %q: not six hexadecimal numbers", b)
	}
	return nil
}

// record is the file. It holds for one boot and one network namespace: in another nothing of it is there.
type record struct {
	Version   int     `json:"version"`
	Boot      string  `json:"boot"`
	Namespace uint64  `json:"namespace"`
	Entries   []entry `json:"entries"`
}

const recordVersion = 1

// readRecord returns the record at path, or an empty one if there is none for this boot and namespace.
func readRecord(path string) (record, error) {
	here, err := newRecord()
	if err != nil {
		return here, err
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return here, nil
	}
	if err != nil {
		return here, fmt.Errorf("record of host changes: %w: see to the disk of state-dir", err)
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return here, fmt.Errorf("record of host changes %s: %w: repair it, or remove it and what is marked with protocol %d by hand",
			path, err, protocol)
	}
	if r.Boot != here.Boot || r.Namespace != here.Namespace {
		return here, nil
	}
	if r.Version != recordVersion {
		return here, fmt.Errorf("record of host changes %s: version %d, this program knows %d: stop the cluster with the program that wrote it",
			path, r.Version, recordVersion)
	}
	return r, nil
}

// newRecord returns an empty record of this boot and the calling thread's network namespace.
func newRecord() (record, error) {
	r := record{Version: recordVersion}
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return r, fmt.Errorf("record of host changes: boot id: %w", err)
	}
	r.Boot = strings.TrimSpace(string(b))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return r, fmt.Errorf("record of host changes: network namespace: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	// Kernels before 5.14 do not know it: there all namespaces of a boot count as one.
	r.Namespace, _ = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	return r, nil
}

// write replaces the file durably: a crash leaves the old record or the new one.
func (r record) write(path string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("record of host changes: %w", err)
	}
	temp := path + ".new"
	if err := writeSynced(temp, append(b, '\n')); err != nil {
		return fmt.Errorf("record of host changes: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("record of host changes: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("record of host changes: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("record of host changes: %s: %w", dir, err)
	}
	return nil
}

// remove deletes the file; it need not exist.
func (r record) remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("record of host changes: %w", err)
	}
	return syncDir(filepath.Dir(path))
}
