// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"os"
	"strconv"
)

// cpuLoad is the machine's CPU use between the last two samples, told to the other members.
type cpuLoad struct {
	busy, total uint64
	permille    uint16
}

// sample reads /proc/stat.
func (c *cpuLoad) sample() {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	c.take(cpuTimes(line))
}

// take takes the times as they stand.
func (c *cpuLoad) take(busy, total uint64) {
	if total > c.total {
		// The kernel's count of idle time may go backwards, so that all of it grows by less than the busy part.
		c.permille = uint16(min((busy-min(busy, c.busy))*1000/(total-c.total), 1000))
	}
	c.busy, c.total = busy, total
}

// cpuTimes sums the fields of the line "cpu user nice system idle iowait irq softirq steal ..." (proc(5)).
func cpuTimes(line []byte) (busy, total uint64) {
	for i, field := range bytes.Fields(line) {
		v, err := strconv.ParseUint(string(field), 10, 64)
		if i == 0 || i > 8 || err != nil { // guest times are in user and nice already
			continue
		}
		total += v
		if i != 4 && i != 5 {
			busy += v
		}
	}
	return busy, total
}
