// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
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

	"github.com/holdfast-project/holdfast/lab/cgroup"
)

// Default is where laboratories have their directories. It is short, because paths of sockets are.
const Default = "/run/holdfast-lab"

// Record says whose a laboratory is.
type Record struct {
	ID      string    `json:"id"`
	PID     int       `json:"pid"`
	Start   uint64    `json:"start"` // of the process, in clock ticks since boot: tells it from a later one of the same number
	What    string    `json:"what"`
	Since   time.Time `json:"since"`
	Socket  string    `json:"socket,omitempty"` // by which an open laboratory takes orders
	Dir     string    `json:"dir"`
	Running bool      `json:"-"`
	// Host is what settings of the machine were before this laboratory raised them.
	Host map[HostSetting]int `json:"host,omitempty"`
}

// Entry is this process's laboratory.
type Entry struct {
	Record
	root string
}

// Open removes leftovers of killed laboratories, then makes a directory for this process's and records it. Close must be
// called.
func Open(root, what string) (*Entry, error) {
	if _, err := Sweep(root); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	start, err := startOf(os.Getpid())
	if err != nil {
		return nil, err
	}
	id := "hfl" + strconv.Itoa(os.Getpid())
	e := &Entry{Record{ID: id, PID: os.Getpid(), Start: start, What: what, Since: time.Now(), Dir: filepath.Join(root, id)}, root}
	e.Socket = filepath.Join(e.Dir, "lab.sock")
	// The record comes first: a directory without one would never be swept.
	if err := e.write(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(e.Dir, 0o700); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Entry) record() string { return filepath.Join(e.root, e.ID+".json") }

// Close restores what was raised, and removes the directory and the record.
func (e *Entry) Close() error {
	return locked(e.root, func() error {
		all, err := List(e.root)
		return errors.Join(err, restore(e.Record, all), os.RemoveAll(e.Dir), os.Remove(e.record()))
	})
}

// List returns all records, of running and of killed laboratories.
func List(root string) ([]Record, error) {
	names, err := filepath.Glob(filepath.Join(root, "*.json"))
	if err != nil {
		return nil, err
	}
	var out []Record
	for _, name := range names {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		var r Record
		if err := json.Unmarshal(text, &r); err != nil {
			// Half a record: its process was killed as it wrote it, before it had anything else.
			r = Record{}
		}
		r.ID = strings.TrimSuffix(filepath.Base(name), ".json")
		r.Dir = filepath.Join(root, r.ID)
		start, err := startOf(r.PID)
		r.Running = err == nil && start == r.Start
		out = append(out, r)
	}
	return out, nil
}

// Sweep removes what killed laboratories left, restores what they raised, and returns their records.
func Sweep(root string) (swept []Record, err error) {
	err = locked(root, func() error { swept, err = sweep(root); return err })
	return swept, err
}

func sweep(root string) ([]Record, error) {
	all, err := List(root)
	if err != nil {
		return nil, err
	}
	var swept []Record
	var errs []error
	for _, r := range all {
		if r.Running {
			continue
		}
		errs = append(errs, killMarked(r.PID), cgroup.Sweep(r.PID), os.RemoveAll(r.Dir), restore(r, all))
		if err := os.Remove(filepath.Join(root, r.ID+".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		swept = append(swept, r)
	}
	return swept, errors.Join(errs...)
}

// marker is machine.Marker; this package imports nothing that runs in the laboratory.
const marker = "HOLDFAST_LAB_PID="

// killMarked kills processes that a laboratory of that process number left.
func killMarked(pid int) error {
	if pid == 0 {
		return nil
	}
	names, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return err
	}
	want := marker + strconv.Itoa(pid)
	for _, name := range names {
		env, err := os.ReadFile(name)
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), want) {
			continue // gone meanwhile, or another's
		}
		left, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			return err
		}
		if err := syscall.Kill(left, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill process %d, which laboratory %d left: %w", left, pid, err)
		}
	}
	return nil
}

// errEnded is of a process that has ended and waits for its parent to collect it.
var errEnded = errors.New("it has ended")

// startOf returns when a process started, from /proc/PID/stat. One that has ended is none, collected or not.
func startOf(pid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in parentheses may contain anything; the state comes after it, the start is field 22, the 20th after it.
	_, after, ok := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	fields := strings.Fields(after)
	if !ok || len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat: unknown format", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return 0, fmt.Errorf("process %d: %w", pid, errEnded)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
