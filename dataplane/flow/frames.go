// SPDX-License-Identifier: Apache-2.0

package flow

// Lane tells the two streams between a pair of members apart.
type Lane uint8

// The lanes. Zero is none of them.
const (
	LaneDelta Lane = 1
	LaneBulk  Lane = 2
)

const (
	// MaxRanges is how many ranges one Ack and one Gap hold at most.
	MaxRanges = 32
	// MaxSequence is the highest sequence of a batch. At a million batches a second it takes 146,000 years.
	MaxSequence = 1<<62 - 1
)

// Batch is what one frame carries of a lane.
type Batch struct {
	Lane Lane
	// Log is the sender's incarnation on the delta lane, the number of the session on the bulk lane. Never zero.
	Log uint64
	// Sequence counts the batches of the log from 1. Zero: the batch carries no payload, only Floor, and asks for an Ack.
	Sequence uint64
	// Floor is the lowest sequence that the sender still owes the receiver, at least 1 and, in a batch that has a Sequence, at most that.
	Floor uint64
	// Payload is the data of the batch's items, one after the other.
	Payload []byte
}

// Range is an unbroken run of sequences, both ends included.
type Range struct{ First, Last uint64 }

// Ack says what a receiver has, for good.
type Ack struct {
	Lane Lane
	// Log as in the batches that are acknowledged.
	Log uint64
	// Next is the sequence that the receiver hands out next: it has everything below.
	Next uint64
	// Ranges are what it holds above Next, ascending and not touching; at most MaxRanges of them (the lowest).
	Ranges []Range
}

// Gap asks for what is missing.
type Gap struct {
	Lane Lane
	Log  uint64
	// Missing are ascending and not touching; at most MaxRanges of them (the lowest).
	Missing []Range
}

// Credit allows a sender on the bulk lane to go on.
type Credit struct {
	// Log is the session.
	Log uint64
	// Limit is how many bytes of payload, counted from the beginning of the session, may be sent. It never falls.
	Limit uint64
}

// Verdict says what became of something received: everything but Taken is counted and changes nothing.
type Verdict uint8

// The verdicts.
const (
	// Taken: it was new and right (a batch: handed out or held).
	Taken Verdict = iota
	// Duplicate: known already.
	Duplicate
	// Stale: of another log or incarnation, one that was left or is not known.
	Stale
	// Beyond: further ahead of what is missing than the receiver holds. It comes again.
	Beyond
	// Malformed: contradicts itself, or speaks of what was never sent.
	Malformed
)

// String returns the verdict as metrics name it.
func (v Verdict) String() string {
	switch v {
	case Taken:
		return "taken"
	case Duplicate:
		return "duplicate"
	case Stale:
		return "stale"
	case Beyond:
		return "beyond"
	}
	return "malformed"
}
