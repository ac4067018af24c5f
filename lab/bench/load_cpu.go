// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// busy is how long the machine's processors have worked so far, all together: everything but idling, waiting for disks, and what the
// hypervisor gave to others (proc_stat(5)).
func busy() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return busyOf(string(text))
}

// busyOf reads the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; what guests have is in user and nice.
func busyOf(text string) (time.Duration, error) {
	line, _, _ := strings.Cut(text, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat: unknown format: %q", line)
	}
	total := time.Duration(0)
	for _, i := range []int{1, 2, 3, 6, 7} {
		ticks, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		total += time.Duration(ticks) * time.Second / userHz
	}
	return total, nil
}

// softirqd finds the kernel's threads that take over what processors do for packets when it gets too much.
func softirqd() (pids []int, err error) {
	all, err := os.ReadDir("/proc")
	for _, entry := range all {
		pid, notProcess := strconv.Atoi(entry.Name())
		if notProcess != nil {
			continue
		}
		name, gone := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if gone == nil && strings.HasPrefix(string(name), "ksoftirqd/") {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// ran is how long processes have had a processor, all together (/proc/PID/schedstat, in ns).
func ran(pids []int) (time.Duration, error) {
	total := time.Duration(0)
	for _, pid := range pids {
		file := fmt.Sprintf("/proc/%d/schedstat", pid)
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		total += time.Duration(ns)
	}
	return total, nil
}
