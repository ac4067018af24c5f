// SPDX-License-Identifier: Apache-2.0

package keepalived

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/machine"
)

// member is keepalived on one machine.
type member struct {
	name    string
	opts    Options
	machine *machine.Machine
	groups  int // how many sync groups it has
	notify  func(machine.Change)
	fifo    *os.File
	read    sync.WaitGroup

	mu     sync.Mutex
	run    *machine.Running
	states map[string]string // by sync group, from when on it says one
}

// open makes the member's FIFO and reads it until close. It is opened for writing too, so that its end is not the end of a
// keepalived.
func (m *member) open() error {
	path := m.opts.path(m.name, "notify.fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	m.fifo = f
	m.read.Go(func() {
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			m.told(lines.Text())
		}
	})
	return nil
}

// told takes a line like: GROUP "gateway" MASTER 0.
func (m *member) told(line string) {
	fields := strings.Fields(line)
	if len(fields) < 3 || fields[0] != "GROUP" {
		return
	}
	c := machine.Change{At: time.Now(), Member: m.name, To: fields[2]}
	group := strings.Trim(fields[1], `"`)
	if m.opts.Shares {
		c.Reason = group
	}
	m.mu.Lock()
	c.From, m.states[group] = m.states[group], c.To
	m.mu.Unlock()
	if c.From != c.To {
		m.notify(c)
	}
}

func (m *member) close() error {
	if m.fifo == nil {
		return nil
	}
	err := m.fifo.Close()
	m.read.Wait()
	return err
}

// serves tells whether it says that it serves, one group at least.
func (m *member) serves() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, state := range m.states {
		if state == "MASTER" {
			return m.run.Alive()
		}
	}
	return false
}

// known is of how many sync groups it has told a state.
func (m *member) known() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.states)
}

func (m *member) boot(ctx context.Context) error {
	if err := m.machine.Boot(); err != nil {
		return err
	}
	if m.opts.Beside != nil {
		if err := m.opts.Beside(ctx, m.machine); err != nil {
			return fmt.Errorf("member %s: %w", m.name, err)
		}
	}
	return m.start(ctx)
}

// start starts keepalived and waits until it says the state of every group.
func (m *member) start(ctx context.Context) error {
	path, err := exec.LookPath("keepalived")
	if err != nil {
		return fmt.Errorf("%w: install Debian's package keepalived", err)
	}
	for _, file := range []string{"parent.pid", "vrrp.pid"} {
		if err := os.Remove(m.opts.path(m.name, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	log, err := os.OpenFile(m.opts.path(m.name, "keepalived.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // keepalived has its own
	cmd := exec.Command(path, "--dont-fork", "--log-console", "--log-detail", "--no-syslog", "--vrrp",
		"--use-file", m.opts.path(m.name, "keepalived.conf"),
		"--pid", m.opts.path(m.name, "parent.pid"), "--vrrp_pid", m.opts.path(m.name, "vrrp.pid"))
	cmd.Stdout, cmd.Stderr = log, log
	m.mu.Lock()
	if m.run.Alive() {
		m.mu.Unlock()
		return fmt.Errorf("member %s: start: its keepalived runs", m.name)
	}
	m.states = map[string]string{}
	run, err := m.machine.Start(cmd)
	m.run = run
	m.mu.Unlock()
	if err != nil {
		return err
	}
	for m.known() < m.groups {
		select {
		case <-run.Done():
			return fmt.Errorf("member %s: keepalived ended: %w: see %s", m.name, run.Wait(), log.Name())
		case <-ctx.Done():
			return fmt.Errorf("member %s: keepalived says no state: %w", m.name, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
	return nil
}

// pollEvery is how often a state that is waited for is looked at.
const pollEvery = 5 * time.Millisecond

// signal sends a signal to keepalived's processes; the parent and its VRRP process are one part.
func (m *member) signal(sig unix.Signal) error {
	count, err := m.machine.Signal(sig, func(p machine.Process) bool { return strings.HasSuffix(p.Args[0], "keepalived") })
	if err == nil && count == 0 {
		err = fmt.Errorf("member %s: signal %v: keepalived does not run", m.name, sig)
	}
	return err
}

// end ends keepalived as its service manager does.
func (m *member) end(ctx context.Context) error {
	m.mu.Lock()
	run := m.run
	m.mu.Unlock()
	if run == nil {
		return nil
	}
	if err := unix.Kill(run.PID(), unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	select {
	case <-run.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("member %s: keepalived does not end: %w", m.name, ctx.Err())
	}
}
