// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// watchMax bounds the processes of one monitor that are watched through pidfds; more are counted at each interval.
const watchMax = 64

// pidRead is how much of a pidfile is read: it is often another user's to write.
const pidRead = 64

// process checks that processes run. Those that were found are watched: while enough of them live there is nothing to look for.
type process struct {
	Process
	procs *procs
	// age is how old a look at all processes may be.
	age     time.Duration
	news    chan struct{}
	died    atomic.Int64 // when the last watched process ended, by now()
	watched map[int]*watch
}

func newProcess(p Process, procs *procs, interval time.Duration) *process {
	return &process{Process: p, procs: procs, age: interval / 2, news: make(chan struct{}, 1), watched: map[int]*watch{}}
}

func (p *process) changed() <-chan struct{} { return p.news }

func (p *process) close() {
	for pid, w := range p.watched {
		w.close()
		delete(p.watched, pid)
	}
}

func (p *process) check(context.Context) verdict.Result {
	alive := p.bury()
	if p.PIDFile != "" {
		return p.byFile()
	}
	if p.Max == 0 && alive >= p.Min {
		return verdict.Fine()
	}
	since := time.Now().Add(-p.age)
	if died := start.Add(time.Duration(p.died.Load())); died.After(since) {
		since = died
	}
	pids, err := p.procs.find(p.Name, since)
	if err != nil {
		return verdict.Wrong(err.Error())
	}
	p.follow(pids)
	switch n := len(pids); {
	case n == 0 && p.Min > 0:
		return verdict.Wrong("no process " + p.Name)
	case n < p.Min:
		return verdict.Wrong(fmt.Sprintf("%d processes %s, fewer than %d", n, p.Name, p.Min))
	case p.Max > 0 && n > p.Max:
		return verdict.Wrong(fmt.Sprintf("%d processes %s, more than %d", n, p.Name, p.Max))
	}
	return verdict.Fine()
}

// byFile looks at the process that a file names.
func (p *process) byFile() verdict.Result {
	text, err := head(p.PIDFile, pidRead)
	if err != nil {
		return verdict.Wrong(err.Error())
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil || pid <= 0 {
		return verdict.Wrong(p.PIDFile + " holds no process number")
	}
	if p.Name != "" && !p.procs.named(pid, p.Name) {
		return verdict.Wrong(fmt.Sprintf("process %d of %s is not a running %s", pid, p.PIDFile, p.Name))
	}
	p.follow([]int{pid})
	if p.watched[pid] == nil {
		return verdict.Wrong(fmt.Sprintf("process %d of %s does not run", pid, p.PIDFile))
	}
	return verdict.Fine()
}

// follow watches pids instead of those that were watched.
func (p *process) follow(pids []int) {
	keep := map[int]bool{}
	for _, pid := range pids[:min(len(pids), watchMax)] {
		keep[pid] = true
		if p.watched[pid] != nil {
			continue
		}
		if w, err := p.watch(pid); err == nil {
			p.watched[pid] = w
		}
	}
	for pid, w := range p.watched {
		if !keep[pid] {
			w.close()
			delete(p.watched, pid)
		}
	}
}

// bury forgets the watched processes that have ended and returns how many live.
func (p *process) bury() int {
	for pid, w := range p.watched {
		if w.dead.Load() {
			w.close()
			delete(p.watched, pid)
		}
	}
	return len(p.watched)
}

// watch is a process that is watched through its pidfd, which cannot be taken over by another process.
type watch struct {
	fd   *os.File
	dead atomic.Bool
}

// watch follows a process until it ends or the watch is closed.
func (p *process) watch(pid int) (*watch, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	if over(fd) {
		_ = unix.Close(fd)
		return nil, errDead
	}
	w := &watch{fd: os.NewFile(uintptr(fd), "pidfd")}
	raw, err := w.fd.SyscallConn()
	if err != nil {
		_ = w.fd.Close()
		return nil, err
	}
	go func() { // the runtime's poller wakes it: no thread waits
		if raw.Read(func(fd uintptr) bool { return over(int(fd)) }) != nil {
			return // closed
		}
		p.died.Store(now())
		w.dead.Store(true)
		select {
		case p.news <- struct{}{}:
		default:
		}
	}()
	return w, nil
}

func (w *watch) close() { _ = w.fd.Close() }

// over reports whether the process of a pidfd has ended.
func over(pidfd int) bool {
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n == 1
}
