// SPDX-License-Identifier: Apache-2.0

package bpf

import "errors"

// Errors that callers may want to tell apart; they come wrapped.
var (
	// ErrLayout means that pinned maps are laid out differently from what this build needs. They cannot be adopted: Remove them
	// and open anew, which interrupts service.
	ErrLayout = errors.New("pinned gate has another layout")
	// ErrIdentity means that the pinned gate belongs to another member or cluster.
	ErrIdentity = errors.New("pinned gate belongs to another member")
	// ErrNotBPFFS means that the pin directory is not on a BPF file system.
	ErrNotBPFFS = errors.New("not on a BPF file system")
	// ErrClock means that the gate and this process disagree about the boot time.
	ErrClock = errors.New("boot time differs between kernel and process")
)
