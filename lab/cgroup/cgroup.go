// SPDX-License-Identifier: Apache-2.0

// Package cgroup owns the control groups (cgroup v2) of the laboratory's machines: each machine has one, as each real machine has a
// hierarchy of its own, so that what software on it does with groups stays on it and goes with it. It imports nothing of the
// laboratory.
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// prefix begins the names of the groups; the process number of the laboratory and the machine's name follow.
const prefix = "holdfast-lab-"

// Group is a machine's control group. The nil Group stands for none: its methods do nothing.
type Group struct {
	path string
	dir  *os.File
}

// New makes a group. It returns nil where this process may make none: no cgroup v2 is mounted, or it is read-only. What needs groups
// on such a host has to do without, as on a machine without them.
func New(name string) *Group {
	root, err := own()
	if err != nil {
		return nil
	}
	path, err := os.MkdirTemp(root, prefix+strconv.Itoa(os.Getpid())+"-"+name+"-")
	if err != nil {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		_ = os.Remove(path) // it was just made, and is empty
		return nil
	}
	return &Group{path: path, dir: dir}
}

// Enter makes a process begin in the group.
func (g *Group) Enter(a *syscall.SysProcAttr) {
	if g != nil {
		a.UseCgroupFD, a.CgroupFD = true, int(g.dir.Fd())
	}
}

// CPU returns the processor time of all that has run in the group so far, those included that have ended: in user space, in the
// kernel on their behalf, and in interrupts that came while they ran (cpu.stat, usage_usec). It fails for the nil Group.
func (g *Group) CPU() (time.Duration, error) {
	if g == nil {
		return 0, fmt.Errorf("control group: processor time is not known: %w", errNone)
	}
	file := filepath.Join(g.path, "cpu.stat")
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), "usage_usec "); found {
			us, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			return time.Duration(us) * time.Microsecond, nil
		}
	}
	return 0, fmt.Errorf("%s: no usage_usec in it", file)
}

// Remove kills what is left in the group and in those below it, and removes them.
func (g *Group) Remove() error {
	if g == nil {
		return nil
	}
	return errors.Join(g.dir.Close(), remove(g.path))
}

// Sweep removes the groups that the laboratory of a process number left.
func Sweep(pid int) error {
	root, err := own()
	if errors.Is(err, errNone) {
		return nil
	}
	if err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(root, prefix+strconv.Itoa(pid)+"-*"))
	errs := []error{err}
	for _, path := range left {
		errs = append(errs, remove(path))
	}
	return errors.Join(errs...)
}

// SweepDead removes the groups of all processes that have ended, laboratories that were never registered among them (tests that were
// killed), and returns their paths.
func SweepDead() (swept []string, err error) {
	root, err := own()
	if errors.Is(err, errNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := filepath.Glob(filepath.Join(root, prefix+"*-*"))
	errs := []error{err}
	for _, path := range all {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), prefix), "-")
		pid, err := strconv.Atoi(number)
		if err != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		swept, errs = append(swept, path), append(errs, remove(path))
	}
	return swept, errors.Join(errs...)
}

// goneWithin is how long killed processes may take to leave their group.
const goneWithin = 5 * time.Second

func remove(path string) error {
	if err := os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("control group %s: kill: %w", path, err)
	}
	var groups []string
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			groups = append(groups, p)
		}
		return nil // gone meanwhile
	})
	if err != nil {
		return err
	}
	end := time.Now().Add(goneWithin)
	for _, p := range slices.Backward(groups) { // the inner ones first
		for {
			err := os.Remove(p)
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("control group: %w", err)
			}
			<-time.After(time.Millisecond)
		}
	}
	return nil
}

// own is the directory of the group that this process is in.
func own() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[2] != "cgroup2" {
			continue
		}
		for group := range strings.Lines(string(groups)) {
			if path, found := strings.CutPrefix(strings.TrimSpace(group), "0::"); found {
				return filepath.Join(fields[1], path), nil
			}
		}
	}
	return "", errNone
}

var errNone = errors.New("this process is in no cgroup v2")
