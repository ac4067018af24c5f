// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is a line for /bin/sh. It runs in a session of its own, in directory /, as an unprivileged user, at lower priority, the first
// victim when memory runs out, with nothing but the files 0, 1 and 2 and a minimal environment. When it ends, or its time does,
// everything that it has started is killed: by its control group (cgroup v2) where there is one, else by its session, which only a
// process escapes that made a session of its own.
type Command struct {
	Line string
	// User runs it, with all of its groups; empty for nobody.
	User string
	// Env are further variables, NAME=value.
	Env []string
}

// nobody is the user of commands that name none, overflow the number that it has if the host does not know it.
const (
	nobody   = "nobody"
	overflow = 65534
)

// prologue runs in the command's own shell. Its limit of processes counts for all of the user's (not for root's): it is there for the
// one that forks without end. The two spellings are bash's and dash's.
//
// The daemon may use real-time priorities and lock memory without end; a command inherits neither.
const prologue = `echo 500 >/proc/self/oom_score_adj; ulimit -c 0; ulimit -u 1024 || ulimit -p 1024; ulimit -r 0; ulimit -l 64`

// limits are what the shell may have no word for, or refuse: the same for whatever it is. They are set from outside once it runs.
var limits = map[int]unix.Rlimit{unix.RLIMIT_RTPRIO: {}, unix.RLIMIT_NICE: {}, unix.RLIMIT_MEMLOCK: {Cur: 64 << 10, Max: 64 << 10}}

// environment is what each command has.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LANG=C", "SHELL=/bin/sh"}

// nice is the priority of commands: what serves comes first.
const nice = 10

// drain is how long the output of a command that has ended may still come.
const drain = 200 * time.Millisecond

// dying is how long a process that was killed may take to end. One that waits in the kernel, as for a disk or an NFS server, does not end
// before that answers.
const dying = 200 * time.Millisecond

// Runner runs commands. Its methods are safe for concurrent use.
type Runner struct {
	log    *slog.Logger
	groups *cgroups

	mu    sync.Mutex
	stuck map[string]<-chan error // by name: the end of the process that could not be killed
}

// NewRunner returns a runner. log may be nil.
func NewRunner(log *slog.Logger) *Runner {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Runner{log: log, groups: newCgroups(log), stuck: map[string]<-chan error{}}
}

// Close removes the control groups of the runner once no command runs.
func (r *Runner) Close() { r.groups.close() }

// Errors of commands.
var (
	// ErrTimeout: the command's time was over before it was.
	ErrTimeout = errors.New("killed at its timeout")
	// ErrStuck: the command was killed and something of it lives on, in the kernel. It is not started again before that has ended.
	ErrStuck = errors.New("not started: what its last run left was killed and still does not end; look at the disk or server that it waits for")
)

// ExitError says with what a command ended that did not succeed.
type ExitError struct {
	// Code is its exit status, -1 if a signal ended it.
	Code   int
	Signal syscall.Signal
}

// Error implements error.
func (e *ExitError) Error() string {
	if e.Code < 0 {
		return "ended by signal " + strconv.Itoa(int(e.Signal)) + " (" + e.Signal.String() + ")"
	}
	return "exit status " + strconv.Itoa(e.Code)
}

// Run runs a command until it ends or ctx does, and returns the last line that it printed (of at most 4 KiB; the rest of what it
// prints is read and thrown away). The error is nil if its exit status is 0, an *ExitError if it ended otherwise, and ErrTimeout if ctx
// ended first. It returns soon after ctx ended even if the command cannot be killed; while something of a command of this name lives on
// so the error is ErrStuck.
func (r *Runner) Run(ctx context.Context, name string, c Command) (last string, err error) {
	cmd, err := c.build()
	if err != nil {
		return "", err
	}
	if r.isStuck(name) {
		return "", ErrStuck
	}
	g, err := r.groups.make(name)
	if err != nil {
		return "", err
	}
	defer g.remove()
	g.enter(cmd.SysProcAttr)
	// What this process got from its parent, or a careless library opened, is not for commands.
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
	out, in, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("run %s: %w", name, err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = in, in
	err = cmd.Start()
	_ = in.Close()
	if err != nil {
		return "", fmt.Errorf("run %s: %w", name, err)
	}
	pid := cmd.Process.Pid
	_ = unix.Setpriority(unix.PRIO_PGRP, pid, nice)
	for what, limit := range limits {
		_ = unix.Prlimit(pid, what, &limit, nil) // it may have ended
	}
	text := make(chan string, 1)
	go func() { text <- lastLine(out) }()
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	err = r.await(ctx, name, exited, func() { g.kill(pid) })
	_ = out.SetReadDeadline(time.Now().Add(drain)) // something may have escaped with the pipe
	return <-text, exit(err)
}

// await waits for the end of a command, or kills it when ctx ends. Whatever it started is killed in either case.
func (r *Runner) await(ctx context.Context, name string, exited <-chan error, kill func()) error {
	select {
	case err := <-exited:
		kill()
		return err
	case <-ctx.Done():
	}
	kill()
	patience := time.NewTimer(dying)
	defer patience.Stop()
	select {
	case <-exited: //nolint:errcheck // killed, which is known
	case <-patience.C:
		r.mu.Lock()
		r.stuck[name] = exited
		r.mu.Unlock()
	}
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	return ErrTimeout
}

// isStuck reports whether the last process of a name could not be killed and still has not ended.
func (r *Runner) isStuck(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	exited, is := r.stuck[name]
	if !is {
		return false
	}
	select {
	case <-exited: //nolint:errcheck // it was killed
		delete(r.stuck, name)
		return false
	default:
		return true
	}
}

// exit turns an error of exec into one of ours.
func exit(err error) error {
	var e *exec.ExitError
	if !errors.As(err, &e) {
		return err
	}
	status, ok := e.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return &ExitError{Code: -1, Signal: status.Signal()}
	}
	return &ExitError{Code: e.ExitCode()}
}

func (c *Command) build() (*exec.Cmd, error) {
	cred, err := credential(cmp.Or(c.User, nobody))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", "{ "+prologue+"; } 2>/dev/null\n"+c.Line)
	cmd.Dir = "/"
	cmd.Env = append(append([]string{}, environment...), c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: cred}
	return cmd, nil
}

// credential is a user with its groups; nil if that is who we are.
func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil && name == nobody {
		u, err = &user.User{Uid: strconv.Itoa(overflow), Gid: strconv.Itoa(overflow)}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	if uid == uint64(os.Geteuid()) {
		return nil, nil
	}
	cred := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if u.Username == "" {
		return cred, nil
	}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %s: %w", name, err)
	}
	for _, g := range groups {
		if n, err := strconv.ParseUint(g, 10, 32); err == nil {
			cred.Groups = append(cred.Groups, uint32(n))
		}
	}
	return cred, nil
}
