// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lockedSections of the program are brought into memory whole, for a path that is walked for the first time in the moment of a
// take-over must not wait for a disk. The rest (tables for stack traces, buffers of packages that the pulse does not use: tens of
// megabytes) is locked page by page when it is first used.
var lockedSections = []string{".text", ".rodata", ".data", ".noptrdata", ".bss"}

// lockMemory keeps in memory every page that is in use or comes into use, and brings the program and room in at once. Without
// CAP_IPC_LOCK the limit may still allow it.
func lockMemory(room ...[]byte) error {
	lift(unix.RLIMIT_MEMLOCK)
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock memory: %w (grant CAP_IPC_LOCK, or LimitMEMLOCK=infinity)", err)
	}
	program, err := sections()
	if err != nil {
		return fmt.Errorf("lock memory: find the program's own: %w", err)
	}
	var errs []error
	for _, m := range append(program, room...) {
		if err := unix.Mlock(m); err != nil {
			errs = append(errs, fmt.Errorf("lock memory: %d bytes: %w", len(m), err))
		}
	}
	return errors.Join(errs...)
}

// sections returns the memory of the program's lockedSections.
func sections() (out [][]byte, err error) {
	file, err := elf.Open(ownProgram)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	bias, err := loadBias(file.Entry)
	if err != nil {
		return nil, err
	}
	for _, s := range file.Sections {
		if slices.Contains(lockedSections, s.Name) && s.Size > 0 {
			// The address is the linker's, not Go's: there is no Go pointer to derive it from.
			start := uintptr(s.Addr) + bias
			out = append(out, unsafe.Slice(*(**byte)(unsafe.Pointer(&start)), s.Size))
		}
	}
	return out, nil
}

// loadBias returns how far from its linked addresses the program is loaded: 0, unless it is position-independent.
func loadBias(entry uint64) (uintptr, error) {
	const atEntry = 9 // AT_ENTRY of the auxiliary vector: where the program's entry is in memory
	vector, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return 0, err
	}
	for ; len(vector) >= 16; vector = vector[16:] {
		if binary.NativeEndian.Uint64(vector) == atEntry {
			return uintptr(binary.NativeEndian.Uint64(vector[8:]) - entry), nil
		}
	}
	return 0, errors.New("/proc/self/auxv does not say where it is loaded")
}

// bytesOf returns the memory of a value.
func bytesOf[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}
