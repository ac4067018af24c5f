// SPDX-License-Identifier: Apache-2.0

package conntrack

import "golang.org/x/sys/unix"

// Result is what became of a record. It is a label of metrics: ONLY APPEND.
type Result uint8

// The results. The zero value is invalid.
const (
	_ Result = iota
	// Created: the entry was not there and is now.
	Created
	// Updated: the entry was there, with the same translation, and says now what the record says.
	Updated
	// Replaced: an entry with the same tuple but another translation, or with more than the record says, was deleted, and this one
	// created.
	Replaced
	// Deleted: the entry was there and is gone.
	Deleted
	// Absent: what was to be deleted was not there.
	Absent
	// Superseded: the kernel refused the record at first, and a later one of the same entry in the same Apply says what counts.
	Superseded
	// Refused by the kernel; Outcome.Errno says why.
	Refused

	// Results is how many there are, the invalid one included: the length of an array of counters.
	Results = int(iota)
)

// String returns the result as metrics name it.
func (r Result) String() string {
	switch r {
	case Created:
		return "created"
	case Updated:
		return "updated"
	case Replaced:
		return "replaced"
	case Deleted:
		return "deleted"
	case Absent:
		return "absent"
	case Superseded:
		return "superseded"
	case Refused:
		return "refused"
	}
	return "invalid"
}

// Parts of a record that the kernel may have had to do without.
type Parts uint8

// The parts; see docs/decisions/009-what-conntrack-takes.md.
const (
	// PartMaster: the connection that this one belongs to is not in the table.
	PartMaster Parts = 1 << iota
	// PartHelper: this kernel does not have the helper.
	PartHelper
	// PartLabels: no rule of this network namespace uses labels, so the kernel keeps none.
	PartLabels
)

// Outcome is what became of one record.
type Outcome struct {
	Result Result
	// Errno is why the kernel refused the record; 0 unless it did.
	Errno unix.Errno
	// Without are the parts that were left out, because the kernel does not take the record with them.
	Without Parts
}
