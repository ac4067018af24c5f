// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// commMax is how long a name of a process the kernel keeps.
const commMax = 15

// procs is one look at all processes, shared by those who want to know.
type procs struct {
	root string

	mu    sync.Mutex
	at    time.Time
	names map[string][]int // by comm
	scans int
}

// find returns the processes of a name, as they were at some time not before since.
func (p *procs) find(name string, since time.Time) ([]int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at.Before(since) || p.names == nil {
		at := time.Now()
		names, err := p.scan()
		if err != nil {
			return nil, err
		}
		p.at, p.names = at, names
		p.scans++
	}
	if len(name) <= commMax {
		return p.names[name], nil
	}
	var pids []int
	for _, pid := range p.names[name[:commMax]] {
		if p.argument(pid) == name {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func (p *procs) scan() (map[string][]int, error) {
	d, err := os.Open(p.root)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer d.Close()
	entries, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	names := make(map[string][]int, len(entries))
	for _, e := range entries {
		pid, err := strconv.Atoi(e)
		if err != nil {
			continue
		}
		if comm, err := p.comm(pid); err == nil { // one that has ended meanwhile is none
			names[comm] = append(names[comm], pid)
		}
	}
	return names, nil
}

var errDead = errors.New("the process has ended")

// comm is the name of a process that has not ended: one whose parent has not waited for it yet has.
func (p *procs) comm(pid int) (string, error) {
	text, err := os.ReadFile(filepath.Join(p.root, strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", err
	}
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open || end+2 >= len(text) {
		return "", errDead
	}
	if state := text[end+2]; state == 'Z' || state == 'X' {
		return "", errDead
	}
	return string(text[open+1 : end]), nil
}

// argument is the last part of a process's first argument.
func (p *procs) argument(pid int) string {
	text, err := head(filepath.Join(p.root, strconv.Itoa(pid), "cmdline"), 4096)
	if err != nil {
		return ""
	}
	first, _, _ := bytes.Cut(text, []byte{0})
	return filepath.Base(string(first))
}

// named reports whether a process has a name.
func (p *procs) named(pid int, name string) bool {
	comm, err := p.comm(pid)
	if err != nil {
		return false
	}
	return comm == name || len(name) > commMax && comm == name[:commMax] && p.argument(pid) == name
}
