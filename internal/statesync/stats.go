// SPDX-License-Identifier: Apache-2.0

package statesync

import "time"

// Stats are counters since the start or the last ResetStats. A published name keeps its meaning.
type Stats struct {
	Since time.Time

	// Of the kernel's events.
	Events        uint64            // read
	EventsSkipped map[string]uint64 // not synchronised, by reason
	EventsLost    uint64            // times that the kernel said it had lost some (ENOBUFS)
	EventBuffer   uint64            // bytes of the event socket's buffer
	EventQueue    uint64            // of them in use

	// Of the delta lane, as owner.
	Records       uint64 // put into the lane
	News          uint64 // of them: connections and expectations new
	Updates       uint64
	Deletes       uint64
	Coalesced     uint64 // updates that took the place of one not yet sent
	Annihilated   uint64 // new ones that ended before they were sent
	DroppedFresh  uint64 // refreshes dropped under overload
	Batches       uint64
	Retransmitted uint64 // batches
	Evictions     uint64
	Queue         uint64 // records not yet in a batch
	PeakQueue     uint64
	Log           uint64 // bytes kept for retransmission
	PeakLog       uint64
	LogSize       uint64 // bytes that the log may have

	// Of what came in.
	Received        uint64 // records
	ReceivedBatches uint64
	Duplicates      uint64 // batches
	Gaps            uint64 // times that a batch was missing
	Requested       uint64 // retransmissions asked for
	Lost            uint64 // batches given up
	Unwanted        uint64 // batches of members whose table does not count
	Overflowed      uint64 // batches not taken for want of room, which come again
	Refused         map[string]uint64
	Dropped         map[string]uint64 // frames, by reason of ccp

	// Of injection.
	Created, Updated, Deleted, Absent uint64
	Errors                            map[string]uint64 // refused by the kernel, by errno
	InjectQueue                       uint64            // bytes of records that wait for the kernel
	PeakInjectQueue                   uint64

	// Of notes of answers, for the gate: those that it did not take, and connections that another member began with what answers one it had not
	// heard of.
	NotesRefused, Mistaken uint64

	// Of reconciliation.
	Marks       uint64 // compared
	Differences uint64 // marks that differed
	Dumps       uint64
	DumpEntries uint64
	Repairs     uint64 // received, full ones included
	FullSyncs   uint64
	Upserts     uint64 // records of repairs that came in
	Removed     uint64 // stale entries that went
	Served      uint64 // records of repairs that went out
	Swept       uint64 // entries whose timeout was set after a change of role

	// Rates of the last second: records put into the lane, records injected.
	RecordRate, InjectRate float64
}
