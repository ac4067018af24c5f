// SPDX-License-Identifier: Apache-2.0

// Package slack tells the kernel which threads of this process may wake late.
//
// The Go runtime has a thread that looks after all others. It wakes with every goroutine that does, and then every 20 us until it has found
// nothing to do, or, in a program that never rests, every 10 ms. In a daemon that has some work for 100 us a hundred times a second that is more than half of
// what the process costs, and most of it for waking. The kernel lets a thread's sleep be late by its timer slack (prctl(2)), 50 us
// unless told otherwise.
//
// A thread gets the slack of the one that began it, and the monitor begins some, which any goroutine may come to run on: [Keeper.Keep] sees to
// those.
package slack

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Monitor lets the runtime's monitor thread sleep longer by up to d. A goroutine that waits while all others are in system calls waits
// up to d longer. Call it early: the thread is known by being the first that the process began. CAP_SYS_NICE is needed. The Keeper is to be
// asked now and then to keep it to that thread; it is nil where there is nothing to keep.
func Monitor(d time.Duration) (*Keeper, error) {
	others, err := threads()
	if err != nil || len(others) == 0 {
		return nil, err
	}
	k := &Keeper{monitor: others[0], late: d}
	if k.usual, err = get(os.Getpid()); err != nil {
		return nil, err
	}
	if err := set(k.monitor, d); err != nil || d == k.usual {
		return nil, err
	}
	return k, nil
}

// Keeper keeps the monitor's slack from other threads. It is not safe for concurrent use.
type Keeper struct {
	monitor     int
	late, usual time.Duration
	there       int // threads when it looked last
	asked       int
}

// anyway is how often Keep looks although there are as many threads as before: one may have ended and another begun.
const anyway = 60

// Keep gives threads that the monitor began, and those that they began, the slack that the process had. It costs next to nothing while there are
// as many threads as before. A nil Keeper does nothing.
func (k *Keeper) Keep() {
	if k == nil {
		return
	}
	there, _ := runtime.ThreadCreateProfile(nil)
	if k.asked++; there == k.there && k.asked%anyway != 0 {
		return
	}
	others, err := threads()
	if err != nil {
		return // no file is to be had just now: the next time
	}
	k.there = there // before they were listed: what begins meanwhile makes it look again
	for _, tid := range others {
		// One that has ended meanwhile needs nothing.
		if d, err := get(tid); err == nil && d == k.late && tid != k.monitor {
			_ = set(tid, k.usual)
		}
	}
}

// Others lets all present threads but the calling one sleep longer by up to d. CAP_SYS_NICE is needed.
func Others(d time.Duration) error {
	others, err := threads()
	errs := []error{err}
	for _, tid := range others {
		if tid != unix.Gettid() {
			errs = append(errs, set(tid, d))
		}
	}
	return errors.Join(errs...)
}

// threads are this process's threads but the first, in the order of their numbers.
func threads() (tids []int, err error) {
	all, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, fmt.Errorf("timer slack: list this process's threads: %w", err)
	}
	for _, entry := range all {
		if tid, err := strconv.Atoi(entry.Name()); err == nil && tid != os.Getpid() {
			tids = append(tids, tid)
		}
	}
	slices.SortFunc(tids, cmp.Compare[int])
	return tids, nil
}

// get reads one thread's slack.
func get(tid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", tid))
	if err != nil {
		return 0, fmt.Errorf("timer slack: %w", err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("timer slack of thread %d: %w", tid, err)
	}
	return time.Duration(ns), nil
}

// set sets one thread's slack.
func set(tid int, d time.Duration) error {
	file := fmt.Sprintf("/proc/%d/timerslack_ns", tid)
	if err := os.WriteFile(file, strconv.AppendInt(nil, d.Nanoseconds(), 10), 0); err != nil {
		return fmt.Errorf("timer slack of %v: %w (grant CAP_SYS_NICE; without it this process costs more when it has little to do)", d, err)
	}
	return nil
}
