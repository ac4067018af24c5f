// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Place says in which namespaces a process starts. Net is required; Mount and PID are descriptors of namespaces of
// those kinds, or nil for this process's own.
type Place struct {
	Net        *NS
	Mount, PID *os.File
}

// Start starts cmd in the place. It ends with this process, however this process ends: SIGKILL is its parent-death
// signal, or, in a process namespace, it ends with that namespace's init. An empty cmd.Dir means the root directory. The caller waits for cmd as usual. All processes are started by one thread that lives as long as this
// process, because the parent-death signal follows the thread that forked.
func Start(p Place, cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if p.PID == nil {
		// In a foreign process namespace the runtime takes the invisible parent for a dead one; there the namespace's
		// init is what the process dies with.
		cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	}
	if cmd.Dir == "" {
		// Joining a mount namespace moves the starter to its root.
		cmd.Dir = "/"
	}
	starterOnce.Do(func() { go starter() })
	done := make(chan error, 1)
	starterCh <- startRequest{p, cmd, done}
	if err := <-done; err != nil {
		return fmt.Errorf("netns %s: start %s: %w", p.Net.Name(), cmd.Path, err)
	}
	return nil
}

type startRequest struct {
	place Place
	cmd   *exec.Cmd
	done  chan<- error
}

var (
	starterOnce sync.Once
	starterCh   = make(chan startRequest)
)

// starter is the thread that forks. If it cannot come back from a foreign namespace it parks for good (its children
// live by it) and another takes over.
func starter() {
	runtime.LockOSThread()
	home, err := openHome()
	for r := range starterCh {
		if err != nil {
			r.done <- err
			continue
		}
		startErr := home.startIn(r.place, r.cmd)
		back := home.comeBack()
		r.done <- errors.Join(startErr, back)
		if back != nil {
			go starter()
			select {}
		}
	}
}

// home holds the starter's own namespaces.
type home struct{ net, mount, pid *os.File }

func openHome() (home, error) {
	var h home
	// A thread may join a mount namespace only when it shares its root and working directory with no other thread.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return h, fmt.Errorf("unshare the starter's working directory: %w", err)
	}
	var errs [3]error
	h.net, errs[0] = os.Open("/proc/thread-self/ns/net")
	h.mount, errs[1] = os.Open("/proc/thread-self/ns/mnt")
	h.pid, errs[2] = os.Open("/proc/thread-self/ns/pid")
	return h, errors.Join(errs[:]...)
}

func (h home) startIn(p Place, cmd *exec.Cmd) error {
	if p.PID != nil {
		if err := unix.Setns(int(p.PID.Fd()), unix.CLONE_NEWPID); err != nil {
			return fmt.Errorf("enter the process namespace: %w", err)
		}
	}
	if p.Mount != nil {
		if err := unix.Setns(int(p.Mount.Fd()), unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("enter the mount namespace: %w", err)
		}
	}
	if err := unix.Setns(p.Net.FD(), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	return cmd.Start()
}

func (h home) comeBack() error {
	return errors.Join(
		unix.Setns(int(h.net.Fd()), unix.CLONE_NEWNET),
		unix.Setns(int(h.mount.Fd()), unix.CLONE_NEWNS),
		unix.Setns(int(h.pid.Fd()), unix.CLONE_NEWPID),
	)
}
