// SPDX-License-Identifier: Apache-2.0

// Package machine owns what makes a node of a topology a computer: booting it (a process namespace with an init, a
// control group, mounts of its own: /proc, /sys of its network namespace, an empty bpffs), starting processes on it, listing, stopping and
// killing them, and taking its power away.
//
// A machine's processes are in a process namespace whose init dies with the laboratory, and they die with their init:
// nothing that runs on a machine, stopped or not, outlives the laboratory. Its mounts, and what is pinned in its bpffs,
// go with its last process.
//
// One exception: with threaded NAPI members share the host's process numbers, because a daemon that is to raise its NAPI
// threads must be able to name them. What the laboratory started there still dies with it; a stopped child of that could
// stay until the next laboratory sweeps it away (Marker).
//
// It must not import what runs on machines (lab/members, lab/keepalived) nor the faults and scenarios that use it.
package machine
