// SPDX-License-Identifier: Apache-2.0

// Package defines writes what rulesets of nftables must know of a cluster that shares the load: above all the source ports that this
// member may translate to, by which the answers of others find back to it. A ruleset includes the file and uses its names, so that one
// ruleset does for all members.
//
// It owns the names and the file. What the ruleset does with them is the operator's; it must not import the node or an adapter.
package defines
