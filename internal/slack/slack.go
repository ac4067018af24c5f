// SPDX-License-Identifier: Apache-2.0

// Package slack tells the kernel which threads of this process may wake late.
//
// The Go runtime has a thread that looks after all others. It wakes with every goroutine that does, and then every 20 us until it has found
// nothing to do, or, in a program that never rests, every 10 ms. In a daemon that has some work for 100 us a hundred times a second that is more than half of
// what the process costs, and most of it for waking. The kernel lets a thread's sleep be late by its timer slack (prctl(2)), 50 us
// unless told otherwise.
package slack

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Monitor lets the runtime's monitor thread sleep longer by up to d. A goroutine that waits while all others are in system calls waits
// up to d longer. Call it early: the thread is known by being the first that the process began. CAP_SYS_NICE is needed.
func Monitor(d time.Duration) error {
	others, err := threads()
	if err != nil || len(others) == 0 {
		return err
	}
	return set(others[0], d)
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

// set sets one thread's slack.
func set(tid int, d time.Duration) error {
	file := fmt.Sprintf("/proc/%d/timerslack_ns", tid)
	if err := os.WriteFile(file, strconv.AppendInt(nil, d.Nanoseconds(), 10), 0); err != nil {
		return fmt.Errorf("timer slack of %v: %w (grant CAP_SYS_NICE; without it this process costs more when it has little to do)", d, err)
	}
	return nil
}
