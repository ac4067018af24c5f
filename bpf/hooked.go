// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// Tracking tells whether the kernel tracks connections in the network namespace of the thread that asks, and whether it may translate what begins:
// it does for as long as some rule needs it. It is no part of the gate. Not safe for use after Close.
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

// Families tells IPv4 and IPv6 apart.
type Families struct{ Four, Six bool }

// Hooked reports the connections of which families are tracked now, and those of which may be translated as they begin: a chain of another type
// with the priority of source translation (100) at postrouting looks the same.
func (t *Tracking) Hooked() (tracked, translated Families, err error) {
	is, err := t.program.Run(&ebpf.RunOptions{Data: t.packet})
	if err != nil {
		return Families{}, Families{}, fmt.Errorf("ask for the tracking of connections: %w", err)
	}
	return Families{is&1 != 0, is&2 != 0}, Families{is&4 != 0, is&8 != 0}, nil
}

// Close unloads the program.
func (t *Tracking) Close() error { return t.program.Close() }
