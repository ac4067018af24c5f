// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups makes a control group for each command: what is in one is killed in one step, and nothing gets out of it.
type cgroups struct {
	log *slog.Logger

	once sync.Once
	dir  string // of all groups of this runner; "" if there is no cgroup v2, or no right to it

	mu     sync.Mutex
	number int
	left   map[string]string // groups that could not be removed yet, with the command that they were for
}

// groupPrefix begins the name of the directory that holds the groups; the number of the process that made it follows.
const groupPrefix = "holdfast-commands-"

func newCgroups(log *slog.Logger) *cgroups { return &cgroups{log: log, left: map[string]string{}} }

// group is the control group of one command, or stands for its session where there is none.
type group struct {
	all  *cgroups
	name string
	path string   // "" without
	fd   *os.File // of path, nil without
}

// open makes the directory of the groups inside of the group that this process is in.
func (c *cgroups) open() {
	dir, err := ownCgroup()
	if err == nil {
		clean(dir)
		dir = filepath.Join(dir, fmt.Sprintf("%s%d-%p", groupPrefix, os.Getpid(), c))
		err = os.Mkdir(dir, 0o755)
	}
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "cgroup.kill")) // from Linux 5.14 on
	}
	if err != nil {
		c.log.Info("commands are killed by their session: no control group", "error", err)
		return
	}
	c.dir = dir
}

// ownCgroup is the directory of the cgroup v2 that this process is in.
func ownCgroup() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	path, found := "", false
	for line := range strings.Lines(string(own)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			path, found = p, true
		}
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); found && len(f) > 2 && f[2] == "cgroup2" {
			return filepath.Join(f[1], path), nil
		}
	}
	return "", fmt.Errorf("this process is in no cgroup v2")
}

// clean kills what commands of earlier daemons have left here.
func clean(dir string) {
	old, _ := filepath.Glob(filepath.Join(dir, groupPrefix+"*"))
	for _, path := range old {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), groupPrefix), "-")
		pid, err := strconv.Atoi(number)
		if err != nil || unix.Kill(pid, 0) == nil {
			continue // whoever made it lives
		}
		_ = os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0)
		inner, _ := filepath.Glob(filepath.Join(path, "*", "cgroup.kill"))
		for _, f := range inner {
			_ = removeGroup(filepath.Dir(f))
		}
		_ = removeGroup(path)
	}
}

// make makes a group for a command. The error is ErrStuck while its former group still holds a process.
func (c *cgroups) make(name string) (*group, error) {
	c.once.Do(c.open)
	g := &group{all: c, name: name}
	if c.dir == "" {
		return g, nil
	}
	if !c.sweep(name) {
		return nil, ErrStuck
	}
	c.mu.Lock()
	c.number++
	path := filepath.Join(c.dir, fmt.Sprintf("%s-%d", name, c.number))
	c.mu.Unlock()
	if err := os.Mkdir(path, 0o755); err != nil {
		c.log.Warn("control group of a command", "error", err)
		return g, nil
	}
	fd, err := os.Open(path)
	if err != nil {
		c.log.Warn("control group of a command", "error", err)
		_ = os.Remove(path)
		return g, nil
	}
	g.path, g.fd = path, fd
	return g, nil
}

// enter makes a process begin in the group.
func (g *group) enter(a *syscall.SysProcAttr) {
	if g.fd != nil {
		a.UseCgroupFD, a.CgroupFD = true, int(g.fd.Fd())
	}
}

// kill kills all that is in the group, or else in the session of its first process.
func (g *group) kill(leader int) {
	if g.path != "" && os.WriteFile(filepath.Join(g.path, "cgroup.kill"), []byte("1"), 0) == nil {
		return
	}
	_ = unix.Kill(-leader, unix.SIGKILL)
	for range 10 { // who forks meanwhile is found in the next round
		n := 0
		for _, pid := range session(leader) {
			if unix.Kill(pid, unix.SIGKILL) == nil {
				n++
			}
		}
		if n == 0 {
			return
		}
	}
}

// session lists the living processes of a session.
func session(leader int) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		// After the name in parentheses: state, parent, group, session.
		f := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(f) > 3 && string(f[3]) == strconv.Itoa(leader) && f[0][0] != 'Z' && f[0][0] != 'X' {
			pids = append(pids, pid)
		}
	}
	return pids
}

// remove removes the group, now or when its last process is gone.
func (g *group) remove() {
	if g.path == "" {
		return
	}
	_ = g.fd.Close()
	if removeGroup(g.path) != nil {
		g.all.mu.Lock()
		g.all.left[g.path] = g.name
		g.all.mu.Unlock()
	}
}

// sweep removes what earlier commands left, without waiting for it, and reports whether nothing is left of those of a name.
func (c *cgroups) sweep(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	free := true
	for path, of := range c.left {
		if err := os.Remove(path); err == nil || os.IsNotExist(err) {
			delete(c.left, path)
		} else if of == name {
			free = false
		}
	}
	return free
}

// removeGroup removes a group whose processes have been killed; they may take a moment to be gone.
func removeGroup(path string) error {
	err := os.Remove(path)
	for wait := time.Millisecond; err != nil && !os.IsNotExist(err) && wait < 64*time.Millisecond; wait *= 2 {
		time.Sleep(wait)
		err = os.Remove(path)
	}
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

func (c *cgroups) close() {
	c.sweep("")
	if c.dir == "" {
		return
	}
	c.mu.Lock()
	left := len(c.left)
	c.mu.Unlock()
	if left > 0 {
		c.log.Warn("processes of commands were killed and do not end", "groups", left, "below", c.dir)
		return // the next daemon removes them
	}
	_ = removeGroup(c.dir)
}
