// SPDX-License-Identifier: Apache-2.0

package stamp

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Space is the room in bytes that a read needs for the control message with the timestamp, with some to spare.
const Space = 64

// maxAge bounds how old a frame can be when it is read. A larger or negative age means that the wall clock was stepped between
// arrival and reading, and then the time of reading is the better answer.
const maxAge = 10 * time.Second

// Enable asks the kernel to stamp what socket fd receives (SO_TIMESTAMPNS).
func Enable(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fmt.Errorf("set SO_TIMESTAMPNS: %w", err)
	}
	return nil
}

// Arrival returns when a frame arrived, from the control messages oob that came with it. now is the time of reading, taken by
// time.Now after the read; the result has its monotonic reading. ok is false, and the result is now, when oob has no timestamp
// or an impossible one.
func Arrival(oob []byte, now time.Time) (at time.Time, ok bool) {
	for len(oob) >= unix.SizeofCmsghdr {
		length := int(binary.NativeEndian.Uint64(oob[0:8]))
		level := int32(binary.NativeEndian.Uint32(oob[8:12]))
		kind := int32(binary.NativeEndian.Uint32(oob[12:16]))
		if length < unix.SizeofCmsghdr || length > len(oob) {
			break
		}
		if level == unix.SOL_SOCKET && kind == unix.SCM_TIMESTAMPNS && length >= unix.SizeofCmsghdr+16 {
			sec := int64(binary.NativeEndian.Uint64(oob[16:24]))
			nsec := int64(binary.NativeEndian.Uint64(oob[24:32]))
			return before(time.Unix(sec, nsec), now)
		}
		oob = oob[min(unix.CmsgSpace(length-unix.SizeofCmsghdr), len(oob)):]
	}
	return now, false
}

// before returns now less the wall-clock age of stamp.
func before(stamp, now time.Time) (time.Time, bool) {
	age := now.Round(0).Sub(stamp)
	if age < 0 || age > maxAge {
		return now, false
	}
	return now.Add(-age), true
}
