// SPDX-License-Identifier: Apache-2.0

// Package still notes when the host stood still: when a processor did not run even its most urgent thread for a while, since a hypervisor gave it to
// somebody else. No member can keep a promise of milliseconds then, and none is to blame for what comes of it: a test judges what happened at
// other times.
//
// A busy host is no such time: the threads that look have a higher priority than anything of a member's.
//
// It imports no other package of the laboratory.
package still
