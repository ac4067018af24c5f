// SPDX-License-Identifier: Apache-2.0

// Package ruleset reads the nftables ruleset of a policy as far as Holdfast must understand it: which tables, chains and sets it has, what
// each statement's words are, which variables it uses. nft alone knows the whole language, and has the last word (policy/nft's Check);
// this package knows enough to name tables by generation, to tell two rulesets apart by object, and to warn of what is right on one
// machine and wrong in a cluster.
//
// # What a ruleset may contain
//
// At the top level: define, redefine and undefine, and tables with their content in braces. No commands (add, delete, flush, ...) and no
// include: a policy is the whole truth about its own tables and nothing about others, so there is nothing to add to and nothing to flush,
// and what is signed is what is loaded. Tables have no flags and no comment of their own: both are Holdfast's.
//
// # What the kernel gets
//
// Render writes the text for one member: its definitions (Cluster.Definitions), then the ruleset, line for line, with each table's name
// followed by ".g" and the generation, the flag dormant, and a comment, the mark, by which Holdfast knows its own tables again. So two
// generations lie side by side, one awake, and nobody's table of the same name is in the way.
//
// The package is pure and imports nothing of this module.
package ruleset
