// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/slack"
)

// environment is what the parent sets for the child's runtime: no collector, no signals to preempt goroutines with, and one
// scheduler slot, for there is nothing else to run.
var environment = []string{"GOGC=off", "GOMEMLIMIT=off", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1"}

// How late the process's threads may wake: the one that works as little as by default, whatever it has from main, and the runtime's own, which have
// nothing to do, a second. Real-time threads are never late on this account.
const (
	ownSlack   = 50 * time.Microsecond
	otherSlack = time.Second
)

// stackWarm is more stack than the loop ever needs: growing a stack allocates.
const stackWarm = 32 << 10

// tame makes this process one that is never late on its own account: no collector, memory locked, and only then the calling
// thread raised (a raised thread that waits for a page is late all the same). room is memory that the loop will use. It returns what
// it could not do.
func tame(priority int, room ...[]byte) []Notice {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(math.MaxInt64)
	var notices []Notice
	if err := lockMemory(room...); err != nil {
		notices = append(notices, Notice{Code: NoticeMemory, Text: err.Error()})
	}
	warmStack()
	// Where that is refused the process costs more, and does what it should.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(ownSlack), 0, 0, 0)
	_ = slack.Others(otherSlack)
	if priority == 0 {
		priority = DefaultPriority
	}
	if priority < 0 {
		return append(notices, Notice{Code: NoticeRealtime, Text: "switched off by the configuration"})
	}
	if err := raise(priority); err != nil {
		notices = append(notices, Notice{Code: NoticeRealtime, Text: err.Error()})
	}
	return notices
}

// raise gives the calling thread the real-time policy SCHED_FIFO, or failing that the best nice value.
func raise(priority int) error {
	lift(unix.RLIMIT_RTPRIO)
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: uint32(priority)}
	err := unix.SchedSetAttr(0, attr, 0)
	if err == nil {
		return nil
	}
	if e := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20); e != nil {
		return fmt.Errorf("SCHED_FIFO %d: %w, and nice -20: %w (grant CAP_SYS_NICE)", priority, err, e)
	}
	return fmt.Errorf("SCHED_FIFO %d: %w (grant CAP_SYS_NICE, or LimitRTPRIO=%d); running at nice -20", priority, err, priority)
}

// lift raises a soft limit as far as this process may.
func lift(resource int) {
	var limit unix.Rlimit
	if unix.Getrlimit(resource, &limit) != nil {
		return
	}
	if all := (unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}); unix.Setrlimit(resource, &all) == nil {
		return
	}
	limit.Cur = limit.Max
	// A limit that cannot be lifted is reported by what it then refuses.
	_ = unix.Setrlimit(resource, &limit)
}

// warmStack grows the goroutine's stack once.
//
//go:noinline
func warmStack() byte {
	var room [stackWarm]byte
	for i := 0; i < len(room); i += 4096 {
		room[i] = byte(i)
	}
	return room[len(room)-1]
}
