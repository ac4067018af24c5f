// SPDX-License-Identifier: Apache-2.0

// Package bench compares how long systems leave a gateway without service. Every system gets the same topology, the same traffic,
// the same prober and the same faults (lab/trial), one after the other within a round, in another order in the next: a machine
// that others use too is noisy, so only figures of one run can be compared. Under stress they stand
// side by side and go through it together.
//
// Sync compares what it takes to keep connections across a hand-over: the processor time of a record, the time of a full
// synchronisation, the gap of a power-off with a large table.
//
// Load compares what forwarding costs, by one gateway and by several that share the load.
//
// docs/benchmarks/failover.md, sync.md and load.md say how to read the results.
package bench
