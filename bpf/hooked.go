// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// Tracking tells whether the kernel tracks connections in the network namespace of the thread that asks: it does for as long as some rule
// needs it. It is no part of the gate. Not safe for use after Close.
type Tracking struct {
	program *ebpf.Program
	packet  []byte // that the program is run with; it does not look at it
}

// OpenTracking loads the program that looks. A kernel without a description of its own structures (BTF), or in lockdown, has none.
func OpenTracking() (*Tracking, error) {
	spec, err := loadHooked()
	if err != nil {
		return nil, fmt.Errorf("ask for the tracking of connections: %w", err)
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("ask for the tracking of connections: %w", err)
	}
	defer coll.Close()
	return &Tracking{program: coll.DetachProgram(hookedProgHoldfastHooked), packet: make([]byte, 64)}, nil
}

// Hooked reports whether connections are tracked now, those of IPv4 and those of IPv6.
func (t *Tracking) Hooked() (four, six bool, err error) {
	is, err := t.program.Run(&ebpf.RunOptions{Data: t.packet})
	if err != nil {
		return false, false, fmt.Errorf("ask for the tracking of connections: %w", err)
	}
	return is&1 != 0, is&2 != 0, nil
}

// Close unloads the program.
func (t *Tracking) Close() error { return t.program.Close() }
