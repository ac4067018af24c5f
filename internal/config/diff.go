// SPDX-License-Identifier: Apache-2.0

package config

import "errors"

// Change is one difference between two configurations.
type Change struct {
	Path   string // as in the file: "timers.dead", "interfaces[outside].vips"
	From   string // shown to people
	To     string
	Reason string // of a refused change: why it cannot be made live, and the way out
}

// Diff lists what a reload from old to new would change: live what a running member can take over, refused what needs more, with
// the reason. A reload with anything refused changes nothing.
func Diff(old, new *Cluster) (live, refused []Change) { panic(errors.ErrUnsupported) }

// Digest is SHA-256 over the canonical cluster-wide part: what must be the same on all members. Member-local keys (metrics,
// control, state-dir, pin-dir, log-level, key-file) and comments do not enter it.
func (c *Cluster) Digest() [32]byte { panic(errors.ErrUnsupported) }
