// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what a member has used so far.
type usage struct {
	member string
	cpu    time.Duration
	rssMB  float64
}

// userHz is the kernel's unit of processor times in /proc, the same on all of Go's architectures.
const userHz = 100

// usage reads what every member's processes have used, those included that have ended and were waited for.
func (c *loaded) usage() ([]usage, error) {
	var out []usage
	for _, m := range c.cluster.Members() {
		u := usage{member: m.Name()}
		procs, err := m.Machine().Processes()
		if err != nil {
			return nil, err
		}
		for _, p := range procs {
			one, err := processUsage(p.PID)
			if errors.Is(err, fs.ErrNotExist) {
				continue // a short-lived one; its parent has its time
			}
			if err != nil {
				return nil, err
			}
			u.cpu, u.rssMB = u.cpu+one.cpu, u.rssMB+one.rssMB
		}
		out = append(out, u)
	}
	return out, nil
}

// processUsage reads what a process has used, and its children that have ended and were waited for.
func processUsage(pid int) (u usage, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, unix.ESRCH) {
		err = fs.ErrNotExist // it ended while it was read
	}
	if err != nil {
		return u, err
	}
	// After the name in parentheses: utime, stime, cutime and cstime are the 12th to 15th, the resident pages the 22nd.
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(f) < 22 {
		return u, fmt.Errorf("/proc/%d/stat: unknown format", pid)
	}
	for _, field := range f[11:15] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return u, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		u.cpu += time.Duration(ticks) * time.Second / userHz
	}
	pages, err := strconv.ParseInt(f[21], 10, 64)
	if err != nil {
		return u, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	u.rssMB = float64(pages*int64(os.Getpagesize())) / (1 << 20)
	return u, nil
}
