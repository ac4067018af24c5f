// SPDX-License-Identifier: Apache-2.0

package steer

import "cmp"

// Status is what a member tells all others of its share, in every HELLO (TLV 18), and at once on a change.
type Status struct {
	// Version is that of the table in force at the member: it is in its gate.
	Version Version
	// Leader is who made that table: two leaders that do not see each other may use the same term. Nobody if it was found in the gate.
	Leader uint8
	// Flushed reports that the member has told the others everything of what it gives away by that table (a prepare).
	Flushed bool
	// Open reports that its share is open, and Share is its term, 0 if it has none.
	Open  bool
	Share uint32
	// Dropped reports that it gave its share up by itself, because it cannot carry: its slots are free at once.
	Dropped bool
	// Follows is the member whose tables it takes: the one that leads, as far as it hears. Nobody if it hears none.
	Follows uint8
	// Weights are the newest that were set at run time.
	Weights Weights
}

// Weights is what an operator has set at run time, at whatever member: the newest (Serial, then By) counts everywhere, and lasts until a
// newer one. The zero value is older than any other.
type Weights struct {
	Serial uint32
	By     uint8 // who set it
	// Set is false if the configured weights count: a reload ends what was set.
	Set    bool
	Weight [Members]uint16
}

// newer reports whether w counts rather than o.
func (w Weights) newer(o Weights) bool {
	return cmp.Or(cmp.Compare(w.Serial, o.Serial), cmp.Compare(w.By, o.By)) > 0
}
