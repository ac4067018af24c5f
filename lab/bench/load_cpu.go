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
