// SPDX-License-Identifier: Apache-2.0

// Package bpf answers the connections of package churn in the kernel, at the ingress of the end stations' devices: no socket,
// no process, and the hosts' own stacks never see them (so they send neither RST nor port unreachable).
//
// It owns the C program (src/end.c). It imports nothing of the laboratory but lab/hook and lab/netns.
package bpf
