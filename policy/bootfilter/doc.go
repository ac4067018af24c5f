// SPDX-License-Identifier: Apache-2.0

// Package bootfilter is what a member's nf_tables let pass while no policy is in force: before the daemon is up, after an operator unloaded the
// policy, and while none can be had. It owns the text of one table, which is nobody's generation and always the same for the same Filter.
//
// The package is pure and imports nothing of this module.
package bootfilter
