// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
)

// checkClock makes sure that the programs and this process read the same boot time. They do not in a time namespace: every lease
// would be from the past or the future.
func checkClock(spec *ebpf.CollectionSpec) error {
	clock := &ebpf.CollectionSpec{
		Programs:  map[string]*ebpf.ProgramSpec{kernelProgHoldfastClock: spec.Programs[kernelProgHoldfastClock]},
		ByteOrder: spec.ByteOrder,
	}
	coll, err := ebpf.NewCollection(clock)
	if err != nil {
		return fmt.Errorf("compare clocks: %w", err)
	}
	defer coll.Close()
	now := make([]byte, 8)
	before := Boottime()
	if _, err := coll.Programs[kernelProgHoldfastClock].Run(&ebpf.RunOptions{Context: now, ContextOut: now}); err != nil {
		return fmt.Errorf("compare clocks: %w", err)
	}
	after := Boottime()
	if seen := int64(binary.NativeEndian.Uint64(now)); seen < before || seen > after {
		return fmt.Errorf("%w: the process reads %d to %d ns, the kernel %d ns; run outside of any time namespace", ErrClock, before, after, seen)
	}
	return nil
}
