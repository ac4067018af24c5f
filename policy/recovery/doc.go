// SPDX-License-Identifier: Apache-2.0

// Package recovery decides which policy a member takes when it comes up, and from whom. Machine takes events and returns effects; it knows no
// clock, no network and no file, and holds heads' numbers and digests only: whoever performs Fetch verifies what comes.
//
// # The order
//
//  1. Peers. They are heard for PeerWait, or until all have been. If one that is ACTIVE, or failing that any, has a policy that is not older
//     than the local one, the newest of peers' and local is taken: from disk if it is there, else from the peers that have it, ACTIVE ones
//     first.
//  2. Management, if no peer has one, or can give it, or theirs are older than the local one. The newest of management's and local is taken. If
//     management does not answer for ManagementWait, the local one is.
//  3. With none at all the member has a problem, passes no traffic, and asks again.
//
// A source that fails is asked again after Retry; one that sent a forgery, no more until it offers something else. Two policies of the
// newest generation with different digests are a problem that only a newer generation ends. A generation that comes up with a peer later is
// fetched as well, and one that management tells of unasked: the member was left out of an install. A policy that this member went back from
// (policy/install) is nobody's offer, and not on the disk.
//
// The package is pure and imports policy only.
package recovery
