// SPDX-License-Identifier: Apache-2.0

// Package statesync is the sync plane: it keeps the connection tables of the members equal while one of them, the owner, serves; or, in load
// sharing, while each owns a part of the table.
//
// The owner's conntrack events become records, numbered and sealed, and leave on every sync interface; the others put them straight
// into their kernel's table, in order. Nothing is left to commit at a hand-over. What is lost on the way is found by digests, and
// repaired bucket by bucket; a joiner's full sync is that same repair of all buckets.
//
// The package owns the event, inject and dump sockets, its own raw Ethernet sockets on the interfaces that carry sync, its own
// sealing (an incarnation of its own), and the delta and bulk lanes of package flow. It runs in the daemon's process and never on the
// node's loop: every method but Serve, Verify and Flush returns at once. It does not know package internal/node, which tells it roles
// and peers and reads its states, nor the machine: what is to follow from a state is the node's to say.
package statesync
