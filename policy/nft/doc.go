// SPDX-License-Identifier: Apache-2.0

// Package nft puts policies into force: it loads a generation's tables asleep (prepare), changes generations in one transaction (commit),
// and knows its own tables by the mark in their comment, so that it keeps nothing on disk and a restarted process, or another one, goes on
// where this one was. It touches no table without its cluster's mark.
//
// # What the kernel does at a change
//
// A dormant table has all its rules, sets and references, and no hook. The transaction of a commit says of each table whether it is
// dormant: the new ones awake first, then the old ones asleep. The kernel registers the new hooks while it prepares the transaction and
// takes the old ones off after it, each table whole: for some microseconds a packet passes both, at no moment none, and never half of
// one. (A transaction that deletes the old table instead empties its chains before it takes their hooks off, and takes as long as a load: see
// decision 015.) The old generation stays, asleep, as the last good one: a rollback is the same transaction the other way round.
//
// # Two ways to the kernel
//
// Text is nft(8)'s to read and to write: nobody else knows the whole language. What has no text, or is too slow as text, goes over netlink:
// whether a table sleeps, elements that are carried over (as the kernel's own attributes, so that nothing of them is lost), and events.
//
// The package may import policy, policy/ruleset, policy/bootfilter, and adapters' libraries. Its functions are not safe for concurrent use on one namespace,
// but for Watch; the node calls them from one task.
package nft
