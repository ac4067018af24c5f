// SPDX-License-Identifier: Apache-2.0

// Package hook puts BPF programs at both sides of an interface in a namespace: TCX, or a clsact filter where the kernel has no
// TCX (before 6.6).
//
// It imports nothing of the laboratory but lab/netns.
package hook
