// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Indices of SO_MEMINFO (linux/sock_diag.h): bytes in the receive queue, its limit, and messages that did not fit.
const (
	skMemReceived = 0
	skMemReceive  = 1
	skMemDrops    = 8
	skMemVars     = 9
)

// memory reads SO_MEMINFO, for which golang.org/x/sys has no function.
func memory(fd int) (m [skMemVars]uint32, err error) {
	n := uint32(unsafe.Sizeof(m))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&m)), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return m, fmt.Errorf("conntrack: use of the socket's buffer: %w", errno)
	}
	return m, nil
}
