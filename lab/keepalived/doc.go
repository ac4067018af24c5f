// SPDX-License-Identifier: Apache-2.0

// Package keepalived owns the rival: keepalived (VRRP) as a system of the laboratory, on the same topologies and machines as
// Holdfast, for benchmarks beside it.
//
// Each cluster segment has an instance for IPv4 and one for IPv6, all of a member's in one sync group, all members start as
// BACKUP and do not preempt: who serves goes on serving, as Holdfast does by default. States come from its notify FIFO.
//
// It must not import the faults, scenarios or other systems.
package keepalived
