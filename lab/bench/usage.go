// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
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
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
			if err != nil {
				continue // a short-lived one; its parent has its time
			}
			// After the name in parentheses: utime, stime, cutime and cstime are the 12th to 15th, the resident pages the 22nd.
			f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
			if len(f) < 22 {
				return nil, fmt.Errorf("/proc/%d/stat: unknown format", p.PID)
			}
			for _, field := range f[11:15] {
				ticks, err := strconv.ParseInt(field, 10, 64)
				if err != nil {
					return nil, fmt.Errorf("/proc/%d/stat: %w", p.PID, err)
				}
				u.cpu += time.Duration(ticks) * time.Second / userHz
			}
			pages, err := strconv.ParseInt(f[21], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("/proc/%d/stat: %w", p.PID, err)
			}
			u.rssMB += float64(pages*int64(os.Getpagesize())) / (1 << 20)
		}
		out = append(out, u)
	}
	return out, nil
}
