// SPDX-License-Identifier: Apache-2.0

// Package policyplane is the policy plane: it keeps the policy of the cluster in force on this member. It performs what policy/recovery and
// policy/install decide, owns the policies on the disk, the member's nf_tables and the watch over them, fetches what is missing from peers or from
// management, and answers peers that fetch from here.
//
// It runs in the daemon's process on goroutines of its own and never on the node's loop: it is told what it must know, and read from by
// published snapshots. Every method but Run, Unload, Resume and Fetch returns at once. It does not know package internal/node, nor
// the machine: what is to follow from a state of its is the node's to say.
//
// Three goroutines share the work. The loop owns all that decides, and what must be on the disk before the next step. The hands change the
// kernel, one change after another. The watch compares the kernel with what it must have.
package policyplane
