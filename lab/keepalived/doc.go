// SPDX-License-Identifier: Apache-2.0

// Package keepalived owns the rival: keepalived (VRRP) as a system of the laboratory, on the same topologies and machines as
// Holdfast, for benchmarks beside it.
//
// Each cluster segment has an instance for IPv4 and one for IPv6, all of a member's in one sync group, all members start as
// BACKUP and do not preempt: who serves goes on serving, as Holdfast does by default. States come from its notify FIFO. For members that share load (Options.Shares) each member's share has a sync group
// of its own, of instances for IPv4.
//
// It must not import the faults, scenarios or other systems.
package keepalived
