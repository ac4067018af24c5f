// SPDX-License-Identifier: Apache-2.0

// Package node is the member: one loop that owns the state machine, and the only place where configuration, protocol, gate, data
// plane and operator's API meet. It translates between their types; none of them knows another.
//
// Ownership: the goroutine of (*node).loop owns the machine and every field of node that is not marked otherwise. Adapters run in
// tasks of a supervisor and talk to the loop over channels; the API's goroutines do the same by asking (see backend.go).
// It must not be imported by anything but cmd/holdfastd.
package node
