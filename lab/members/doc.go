// SPDX-License-Identifier: Apache-2.0

// Package members owns Holdfast as a system of the laboratory: it writes the cluster's configuration and key for a topology,
// runs real holdfastd processes on its machines, and follows their states and events over their control sockets.
//
// Each member has a directory of its own in the laboratory's: its control socket, state directory and log. The state
// directory outlives a power cycle, as a disk does; the socket does not.
//
// It must not import the faults, scenarios or other systems.
package members
