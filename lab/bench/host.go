// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Host is what the benchmark ran on.
type Host struct {
	CPUs    int    `json:"cpus"`
	Kernel  string `json:"kernel"`
	Machine string `json:"machine"`
	// Load is the load average of the last minute before the run: what others did meanwhile shows in the figures.
	Load float64 `json:"load"`
}

// thisHost describes the machine. What cannot be learnt stays zero.
func thisHost() Host {
	h := Host{CPUs: runtime.NumCPU()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel, h.Machine = unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:])
	}
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) == nil {
		const fraction = 1 << 16 // sysinfo(2): loads are scaled by this
		h.Load = float64(s.Loads[0]) / fraction
	}
	return h
}
