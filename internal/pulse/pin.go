// SPDX-License-Identifier: Apache-2.0

package pulse

import _ "unsafe" // for go:linkname

// Why pinning: the runtime's monitor asks any goroutine that has run for 10 ms to step aside, also one that is locked to
// its thread and alone in the process; it then hands its scheduler slot to another thread, which is not raised, and waits
// to get it back. That hand-over is what makes a "real-time" goroutine late by hundreds of milliseconds on a busy machine.
// A pinned goroutine is never asked.

// procPin keeps the calling goroutine on its scheduler slot. While it is pinned, the goroutine must not wait for another
// goroutine: no channel, no contended lock, no system call through the runtime.
//
//go:linkname procPin runtime.procPin
func procPin() int

// procUnpin undoes one procPin.
//
//go:linkname procUnpin runtime.procUnpin
func procUnpin()
