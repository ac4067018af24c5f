// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/cgroup"
	"github.com/holdfast-project/holdfast/lab/netns"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Marker begins the environment variable by which processes that a killed laboratory left are known; its process number
// follows. Only those of machines that share the host's process numbers have it: others cannot be left.
const Marker = "HOLDFAST_LAB_PID="

// Machine is one node with a power switch. It is safe for concurrent use.
type Machine struct {
	lab  *topology.Lab
	node *topology.Node

	mu     sync.Mutex
	booted bool
	fresh  bool // the node's namespace has not been used since it was made
	init   *exec.Cmd
	group  *cgroup.Group
	mount  *os.File
	pid    *os.File
	ended  chan error // gets one value when all of the last boot is gone
}

// New returns the machine of a node; it is off until Boot.
func New(lab *topology.Lab, node *topology.Node) *Machine {
	return &Machine{lab: lab, node: node, fresh: true}
}

// Node returns the node that the machine is.
func (m *Machine) Node() *topology.Node { return m.node }

// Boot switches the machine on: after a power-off with a fresh kernel state (namespace, mounts, bpffs), same cables.
// Booting a machine that is on is an error.
func (m *Machine) Boot() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.booted {
		return fmt.Errorf("machine %s: boot: it is on", m.node.Name)
	}
	if !m.fresh {
		if err := <-m.ended; err != nil {
			return fmt.Errorf("machine %s: end of its last boot: %w", m.node.Name, err)
		}
		if err := m.lab.Renew(m.node.Name); err != nil {
			return fmt.Errorf("machine %s: boot: %w", m.node.Name, err)
		}
	}
	m.fresh = false
	var err error
	m.group = cgroup.New(m.node.Name)
	if m.init, m.mount, m.pid, err = startInit(m.node, m.group, m.sharesPIDs()); err != nil {
		err = errors.Join(err, m.group.Remove())
		m.ended = make(chan error, 1)
		m.ended <- nil
		return fmt.Errorf("machine %s: boot: %w", m.node.Name, err)
	}
	m.booted = true
	return nil
}

// sharesPIDs tells whether the machine has no process namespace of its own: a daemon that is to raise its interfaces' NAPI
// threads must be able to see them, and kernel threads are in the host's.
func (m *Machine) sharesPIDs() bool {
	return m.lab.Spec.ThreadedNAPI && m.node.Kind == topology.Member
}

// Booted tells whether the machine is on.
func (m *Machine) Booted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.booted
}

// InitPID returns the machine's init as this process sees it, 0 when the machine is off.
func (m *Machine) InitPID() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.booted {
		return 0
	}
	return m.init.Process.Pid
}

// Running is a process that was started on a machine.
type Running struct {
	Cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Done is closed when the process has ended.
func (r *Running) Done() <-chan struct{} { return r.done }

// Alive reports whether the process has not ended yet; nil has.
func (r *Running) Alive() bool {
	if r == nil {
		return false
	}
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

// Wait waits for the end of the process and returns what exec.Cmd.Wait says.
func (r *Running) Wait() error {
	<-r.done
	return r.err
}

// PID is the process's number as this process sees it.
func (r *Running) PID() int { return r.Cmd.Process.Pid }

// Start starts cmd on the machine and collects it when it ends (cmd.Wait must not be called). An empty cmd.Dir means the
// root directory.
func (m *Machine) Start(cmd *exec.Cmd) (*Running, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.booted {
		return nil, fmt.Errorf("machine %s: start %s: the machine is off", m.node.Name, cmd.Path)
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	m.group.Enter(cmd.SysProcAttr)
	if m.sharesPIDs() {
		if cmd.Env == nil {
			cmd.Env = os.Environ()
		}
		cmd.Env = append(cmd.Env, Marker+strconv.Itoa(os.Getpid()))
	}
	if err := netns.Start(netns.Place{Net: m.node.NS, Mount: m.mount, PID: m.pid}, cmd); err != nil {
		return nil, err
	}
	r := &Running{Cmd: cmd, done: make(chan struct{})}
	// An init ends only after every process of its namespace has been collected, so each needs somebody who waits.
	go func() {
		defer close(r.done)
		r.err = cmd.Wait()
	}()
	return r, nil
}

// PowerOff ends every process on the machine and takes every cable's carrier away, in the same instant as far as a
// machine's kernel can do it: all processes get their SIGKILL (stopped ones too), then the switch ports go down one after
// the other. It returns how long that took. Switching off a machine that is off only returns.
func (m *Machine) PowerOff() (took time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.booted {
		return 0, nil
	}
	sw, err := m.lab.Switch.NS.Handle()
	if err != nil {
		return 0, err
	}
	defer sw.Close()
	var ports []int
	for _, p := range m.node.Ports {
		link, err := sw.LinkByName(p.SwitchPort)
		if err != nil {
			return 0, fmt.Errorf("machine %s: power off: %w", m.node.Name, err)
		}
		ports = append(ports, link.Attrs().Index)
	}
	// Each by itself: the init's own end takes the others along, but only when it gets its turn on a processor.
	procs, err := m.processes()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	for _, p := range procs {
		_ = unix.Kill(p.PID, unix.SIGKILL) // it may have ended by itself
	}
	errs := []error{unix.Kill(m.init.Process.Pid, unix.SIGKILL)}
	for _, index := range ports {
		errs = append(errs, setDown(sw, index))
	}
	took = time.Since(start)
	m.forget()
	if err := errors.Join(errs...); err != nil {
		return took, fmt.Errorf("machine %s: power off: %w", m.node.Name, err)
	}
	return took, nil
}

// Close ends everything on the machine, waits until it is gone and leaves its cables as they are.
func (m *Machine) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	if m.booted {
		err = errors.Join(m.killAll(), unix.Kill(m.init.Process.Pid, unix.SIGKILL))
		m.forget()
	}
	if !m.fresh {
		err = errors.Join(err, <-m.ended)
		m.ended <- nil
	}
	return err
}

// forget lets a killed machine go. Nothing of it runs any more, but the kernel takes a while: it waits for every process, and then for whoever
// may still look at their BPF programs. Only the next boot waits for that.
func (m *Machine) forget() {
	m.booted = false
	m.ended = make(chan error, 1)
	cmd, group, files, ended := m.init, m.group, []*os.File{m.mount, m.pid}, m.ended
	left := m.survivors()
	go func() {
		err := cmd.Wait() // returns once every process of its namespace is gone and collected
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			err = nil // killed, as it should be
		}
		err = errors.Join(err, left(), group.Remove())
		for _, f := range files {
			if f != nil {
				err = errors.Join(err, f.Close())
			}
		}
		ended <- err
	}()
}

// endWithin is how long killed processes may take to end; checked every endEvery.
const (
	endWithin = 10 * time.Second
	endEvery  = 5 * time.Millisecond
)

// survivors returns what waits for the processes of a machine without a process namespace of its own, whose init takes nobody
// along. It kills what it meets: a process may have forked as it was killed.
func (m *Machine) survivors() func() error {
	if !m.sharesPIDs() {
		return func() error { return nil }
	}
	world, err := worldOf(m.init.Process.Pid, "mnt")
	if err != nil {
		// Its init is dead and collected: nothing is left to find them by but the descriptor.
		world, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", m.mount.Fd()))
	}
	name := m.node.Name
	return func() error {
		for end := time.Now().Add(endWithin); err == nil; {
			var procs []Process
			if procs, err = processesOf(world, "mnt"); len(procs) == 0 {
				return err
			}
			for _, p := range procs {
				_ = unix.Kill(p.PID, unix.SIGKILL) // it may have ended by itself
			}
			if time.Now().After(end) {
				return fmt.Errorf("machine %s: %v do not end", name, procs)
			}
			<-time.After(endEvery)
		}
		return err
	}
}

// killAll kills every process but the init.
func (m *Machine) killAll() error {
	procs, err := m.processes()
	for _, p := range procs {
		_ = unix.Kill(p.PID, unix.SIGKILL) // it may have ended by itself
	}
	return err
}
