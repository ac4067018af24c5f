// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// HostSetting is a setting that the whole machine has only once, network namespaces or not, by its file.
type HostSetting string

// The connection table's settings. Both are the machine's: in a namespace they can only be read (net/netfilter/nf_conntrack_standalone.c).
const (
	// ConntrackMax is how many connections each namespace's table may have.
	ConntrackMax HostSetting = "/proc/sys/net/netfilter/nf_conntrack_max"
	// ConntrackBuckets is the size of the one hash table of all.
	ConntrackBuckets HostSetting = "/proc/sys/net/netfilter/nf_conntrack_buckets"
)

// Raise sets a number of the machine to least if it is lower. What it was is recorded first: Close restores it, or, if this process
// does not live to do it, the next laboratory, or "holdfast-lab down". While several laboratories have raised it, the last of them
// restores it.
func (e *Entry) Raise(s HostSetting, least int) error {
	return locked(e.root, func() error {
		now, err := read(s)
		if err != nil {
			return err
		}
		if now >= least {
			return nil
		}
		if _, ok := e.Host[s]; !ok {
			was := now
			all, err := List(e.root)
			if err != nil {
				return err
			}
			for _, r := range all { // of those too that were killed and not swept yet
				if v, ok := r.Host[s]; ok {
					was = v
				}
			}
			if e.Host == nil {
				e.Host = map[HostSetting]int{}
			}
			e.Host[s] = was
			if err := e.write(); err != nil {
				return err
			}
		}
		return write(s, least)
	})
}

// write writes the record in one piece: a reader sees the old one or the new one.
func (e *Entry) write() error {
	text, err := json.MarshalIndent(e.Record, "", "  ")
	if err != nil {
		return err
	}
	next := e.record() + ".new"
	if err := os.WriteFile(next, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, e.record())
}

// restore sets back what a record says was raised, unless another laboratory that runs needs it too.
func restore(r Record, all []Record) error {
	var errs []error
	for _, s := range slices.Sorted(maps.Keys(r.Host)) {
		if slices.ContainsFunc(all, func(o Record) bool { _, ok := o.Host[s]; return ok && o.Running && o.ID != r.ID }) {
			continue
		}
		errs = append(errs, write(s, r.Host[s]))
	}
	return errors.Join(errs...)
}

// locked does fn while no other process does anything of the kind.
func locked(root string, fn func() error) error {
	f, err := os.Open(root)
	if errors.Is(err, fs.ErrNotExist) {
		return fn() // no laboratory was ever there
	}
	if err != nil {
		return err
	}
	defer f.Close() // which unlocks it
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", root, err)
	}
	return fn()
}

func read(s HostSetting) (int, error) {
	text, err := os.ReadFile(string(s))
	if err != nil {
		return 0, fmt.Errorf("%w: is the kernel's module nf_conntrack there?", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

func write(s HostSetting, value int) error {
	if err := os.WriteFile(string(s), []byte(strconv.Itoa(value)), 0o644); err != nil {
		return fmt.Errorf("set %s to %d: %w", s, value, err)
	}
	return nil
}
