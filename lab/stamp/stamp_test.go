// SPDX-License-Identifier: Apache-2.0

package stamp

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// message builds a control message as the kernel does.
func message(level, kind int32, at time.Time) []byte {
	b := make([]byte, unix.CmsgSpace(16))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(16)))
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	binary.NativeEndian.PutUint32(b[12:], uint32(kind))
	binary.NativeEndian.PutUint64(b[16:], uint64(at.Unix()))
	binary.NativeEndian.PutUint64(b[24:], uint64(at.Nanosecond()))
	return b
}

func TestArrival(t *testing.T) {
	now := time.Now()
	other := message(unix.SOL_SOCKET, unix.SCM_CREDENTIALS, now)
	tests := []struct {
		name string
		oob  []byte
		age  time.Duration
		ok   bool
	}{
		{"stamp", message(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, now.Add(-time.Second)), time.Second, true},
		{"stamp after another message", append(other, message(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, now.Add(-time.Millisecond))...), time.Millisecond, true},
		{"no message", nil, 0, false},
		{"another message only", other, 0, false},
		{"clock stepped back since", message(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, now.Add(time.Hour)), 0, false},
		{"clock stepped forward since", message(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, now.Add(-time.Hour)), 0, false},
		{"truncated", message(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, now)[:20], 0, false},
		{"wrong length", make([]byte, 32), 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			at, ok := Arrival(tt.oob, now)
			if ok != tt.ok || now.Sub(at) != tt.age {
				t.Errorf("age %v ok %v, want %v %v", now.Sub(at), ok, tt.age, tt.ok)
			}
		})
	}
}
