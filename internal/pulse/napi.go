// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxComm is the longest name of a thread that kernels before 5.17 show (TASK_COMM_LEN, less its final zero).
const maxComm = 15

// RaiseNAPI gives SCHED_FIFO of the priority (1..99) to the kernel's threads that poll the interface, which exist where threaded
// NAPI is on: at normal priority they are tens of milliseconds late on a busy machine, and gates answer as late. It returns how
// many it raised; none, without an error, is the rule, for NAPI mostly runs without threads. It needs CAP_SYS_NICE, and the
// machine's own /proc: kernel threads are not seen in a process namespace.
func RaiseNAPI(ifname string, prio int) (n int, err error) {
	pids, err := napiThreads("/proc", ifname)
	if err != nil {
		return 0, fmt.Errorf("raise NAPI threads of %s: %w", ifname, err)
	}
	var errs []error
	for _, pid := range pids {
		attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: uint32(prio)}
		switch err := unix.SchedSetAttr(pid, attr, 0); {
		case err == nil:
			n++
		case errors.Is(err, unix.ESRCH): // gone between the look and the call
		default:
			errs = append(errs, fmt.Errorf("raise NAPI thread %d of %s to SCHED_FIFO %d: %w (grant CAP_SYS_NICE)", pid, ifname, prio, err))
		}
	}
	return n, errors.Join(errs...)
}

// napiThreads finds the kernel threads napi/IFNAME-NUMBER under proc, a mounted /proc.
func napiThreads(proc, ifname string) (pids []int, err error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		comm, err := os.ReadFile(filepath.Join(proc, e.Name(), "comm"))
		if err != nil || !napiName(strings.TrimSuffix(string(comm), "\n"), ifname) {
			continue
		}
		if stat, err := os.ReadFile(filepath.Join(proc, e.Name(), "stat")); err == nil && kernelThread(stat) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// napiName reports whether a thread of this name polls the interface. Older kernels cut the name, perhaps within the
// interface's: then it may be another interface's thread that is raised too.
func napiName(comm, ifname string) bool {
	prefix := "napi/" + ifname + "-"
	if rest, ok := strings.CutPrefix(comm, prefix); ok {
		return strings.Trim(rest, "0123456789") == ""
	}
	return len(comm) == maxComm && strings.HasPrefix(prefix, comm)
}

// kernelThread reports whether a /proc/PID/stat is that of a child of kthreadd: a process may call itself what it likes.
func kernelThread(stat []byte) bool {
	// PID (COMM) STATE PPID ...; COMM may hold anything, a closing parenthesis too.
	_, rest, ok := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(" "))
	if !ok {
		return false
	}
	fields := bytes.Fields(rest)
	return len(fields) > 1 && string(fields[1]) == "2"
}
