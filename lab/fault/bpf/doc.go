// SPDX-License-Identifier: Apache-2.0

// Package bpf does harm to frames at the ports of the laboratory's switches: it drops them, all or at random, and it
// duplicates them. One program sits at each side of a port: "in" is what the node sent, "out" what it is about to get.
//
// It owns the C program (src/port.c). It imports nothing of the laboratory but lab/hook and lab/netns.
package bpf
