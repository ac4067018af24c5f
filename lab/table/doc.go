// SPDX-License-Identifier: Apache-2.0

// Package table reads members' connection tables with the conntrack command and compares them: an eye that does not depend on
// what members say of themselves.
//
// It imports nothing of the laboratory but lab/netns.
package table
