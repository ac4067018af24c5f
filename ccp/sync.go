// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Bounds of a SYNC body. Part of the wire format.
const (
	// MaxEchoOneLen is the longest echo list of a frame to one member.
	MaxEchoOneLen = 1 + (1+candidates)*echoLen
	// MaxSyncLen is how many bytes of parts one SYNC frame holds behind its echo list.
	MaxSyncLen = MaxPlainLen - MaxEchoOneLen
	// SyncPartHead is the length of a part's head, SyncBatchHead that of a batch's head and its part's.
	SyncPartHead  = 1 + 1 + 2
	SyncBatchHead = SyncPartHead + batchLen
	// MaxSyncRecords is how many bytes of records one batch holds when nothing else is in its frame.
	MaxSyncRecords = MaxSyncLen - SyncBatchHead
	// MaxSyncRanges is how many ranges an acknowledgement or a gap request has at most: the lowest come first, the others another time.
	MaxSyncRanges = 32
	// SyncBuckets is how many buckets the digests of tables are taken by.
	SyncBuckets = 1024
	// SyncRecordHead is the length of a record's head, MaxSyncRecord that of the longest record, padding included.
	SyncRecordHead = 2 + 1 + 1 + 1 + 3
	MaxSyncRecord  = 1024
	// MaxSyncWords is how many buckets' words one record tells.
	MaxSyncWords = (MaxSyncRecord - SyncRecordHead - 2) / syncWordLen
)

// SyncKind says what a part of a SYNC body is. ONLY APPEND: the numbers are the protocol. Zero ends the list of parts.
type SyncKind uint8

// The kinds of parts.
const (
	// SyncStatusPart says what the sender's sync plane is: SyncStatus.
	SyncStatusPart SyncKind = 1
	// SyncBatchPart is a batch of records: SyncBatch.
	SyncBatchPart SyncKind = 2
	// SyncAckPart acknowledges batches: SyncAck.
	SyncAckPart SyncKind = 3
	// SyncGapPart asks for batches that did not come: SyncGap.
	SyncGapPart SyncKind = 4
	// SyncCreditPart lets the sender of a bulk lane send on: SyncCredit.
	SyncCreditPart SyncKind = 5
	// SyncRequestPart asks for words or for the records of buckets: SyncRequest.
	SyncRequestPart SyncKind = 6
	// SyncAnswerPart answers a request: SyncAnswer.
	SyncAnswerPart SyncKind = 7
	// SyncAddressesPart lists addresses of the sender's host: SyncAddresses.
	SyncAddressesPart SyncKind = 8
)

// String returns the kind's name; unknown kinds are "part-N".
func (k SyncKind) String() string {
	names := [...]string{
		SyncStatusPart: "status", SyncBatchPart: "batch", SyncAckPart: "ack", SyncGapPart: "gap",
		SyncCreditPart: "credit", SyncRequestPart: "request", SyncAnswerPart: "answer", SyncAddressesPart: "addresses",
	}
	if int(k) < len(names) && names[k] != "" {
		return names[k]
	}
	return fmt.Sprintf("part-%d", uint8(k))
}

// Lane is one of the ordered streams of batches from one member to another. ONLY APPEND; zero is no lane.
type Lane uint8

// The lanes.
const (
	// LaneDelta carries the running changes: the same log for all peers.
	LaneDelta Lane = 1
	// LaneBulk carries what one peer asked for: words and records.
	LaneBulk Lane = 2
)

// String returns the lane's name as metrics label it.
func (l Lane) String() string {
	switch l {
	case LaneDelta:
		return "delta"
	case LaneBulk:
		return "bulk"
	}
	return fmt.Sprintf("lane-%d", uint8(l))
}

// SyncRole is what a member is to the connection table of the cluster. ONLY APPEND; zero is unknown.
type SyncRole uint8

// The roles.
const (
	// SyncOwner: its events replicate.
	SyncOwner SyncRole = 1
	// SyncCopy: it keeps a copy of what owners have.
	SyncCopy SyncRole = 2
	// SyncOff: it does not synchronise.
	SyncOff SyncRole = 3
)

// String returns the role as operators read it.
func (r SyncRole) String() string {
	switch r {
	case 0:
		return "unknown"
	case SyncOwner:
		return "owner"
	case SyncCopy:
		return "copy"
	case SyncOff:
		return "off"
	}
	return fmt.Sprintf("role-%d", uint8(r))
}

// SyncPart is one part of a SYNC body.
type SyncPart struct {
	Kind SyncKind
	// Lane is the one that the part is about, zero for those that are about none.
	Lane Lane
	// Value points into the body.
	Value []byte
}

// NextSync takes the first part off a SYNC's body (Opened.Body) or off what the last call left of it. Kind zero is the end. A part of
// a kind that the caller does not know is to be skipped. The error wraps ErrMalformed. Nothing is allocated unless there is one.
func NextSync(body []byte) (p SyncPart, rest []byte, err error) {
	if len(body) == 0 || body[0] == 0 {
		return SyncPart{}, nil, nil
	}
	if len(body) < SyncPartHead {
		return SyncPart{}, nil, fmt.Errorf("%w: %d bytes after the last part", ErrMalformed, len(body))
	}
	n := int(binary.BigEndian.Uint16(body[2:]))
	p = SyncPart{Kind: SyncKind(body[0]), Lane: Lane(body[1])}
	if len(body) < SyncPartHead+n {
		return SyncPart{}, nil, fmt.Errorf("%w: %v of %d bytes, %d are left", ErrMalformed, p.Kind, n, len(body)-SyncPartHead)
	}
	p.Value = body[SyncPartHead : SyncPartHead+n]
	return p, body[SyncPartHead+n:], nil
}

// SyncStatus is what a member's sync plane says of itself, to every peer at least every 100 ms and at once on a change.
type SyncStatus struct {
	Role SyncRole
	// Current says that the sender's table is current, Stopping that it is leaving for good, Evicted that the receiver is not waited
	// for any more: it has lost changes and must repair its copy.
	Current, Stopping, Evicted bool
	// Unpacks says that the sender takes packed records: see SyncPacker.
	Unpacks bool
	// Losses counts, modulo 65536, how often the sender as an owner lost events of its own kernel and has read its table anew since:
	// what copies have of it may differ in what no digest shows. Senders that do not know it say 0.
	Losses uint16
	// Term is that of the sender's lease, 0 without one.
	Term uint32
	// Entries and Digest are the sum of the sender's tally, of which nobody knows to which moment it belongs: see the mark in the
	// delta lane for what can be compared.
	Entries uint32
	Digest  uint64
	// Table is the slot table that the sender goes by; zero, and not on the wire, in mode ha.
	Table SyncTable
}

// SyncTable says, in load sharing, by what a member owns the buckets that it owns: zero in mode ha, and from older senders.
type SyncTable struct {
	// Rules is a fingerprint of what sorts connections into buckets, never 0 in load sharing.
	Rules uint64
	// Term, Number and Commit are those of the slot table, zero before the first.
	Term, Number uint32
	Commit       bool
}

// SyncAddresses are addresses that the sender's host has besides those of the configuration, in the order of addresses: what begins or
// ends at one of them is nobody's but the sender's. They take the place of those that the sender told before. Members that know nothing
// of the part skip it.
type SyncAddresses []SyncAddress

// SyncAddress is one of them. Shared says that it is on the loopback device, where services have addresses that may move.
type SyncAddress struct {
	Addr   netip.Addr
	Shared bool
}

// MaxSyncAddresses is how many addresses a member tells, and takes from another.
const MaxSyncAddresses = 32

// SyncBatch is some whole records in their order.
type SyncBatch struct {
	Lane Lane
	// Log is the stream of batches: the incarnation of the sender's sync plane in the delta lane, the number of the request that is
	// answered in the bulk lane. Never 0.
	Log uint64
	// Sequence counts the batches of the log from 1. A batch 0 has no records: it tells Floor and wants an acknowledgement.
	Sequence uint64
	// Floor is the lowest sequence that the sender can still send to this receiver, 1 or more and no more than Sequence, unless that
	// is 0.
	Floor uint64
	// Records are laid out as package record does it, or packed: UnpackSync takes both. It points into the body that was parsed.
	Records []byte
}

// SyncRange is the sequences from First to Last, both included.
type SyncRange struct{ First, Last uint64 }

// SyncAck says which batches of a log of the frame's target its sender has.
type SyncAck struct {
	Lane Lane
	Log  uint64
	// Next is the sequence that is wanted next: all below were taken. Ranges are those held above it, ascending.
	Next   uint64
	Ranges []SyncRange
}

// SyncGap asks the target for the batches of Ranges, which ascend.
type SyncGap struct {
	Lane   Lane
	Log    uint64
	Ranges []SyncRange
}

// SyncCredit lets the target send the batches of a log of the bulk lane until their records have this many bytes in all.
type SyncCredit struct {
	Log   uint64
	Limit uint64
}

// SyncWant says what a request asks for. ONLY APPEND; zero is invalid.
type SyncWant uint8

// What can be asked for.
const (
	// SyncWantWords asks for the words of all buckets.
	SyncWantWords SyncWant = 1
	// SyncWantRepair asks for the records of some buckets.
	SyncWantRepair SyncWant = 2
	// SyncWantNothing gives up the request before.
	SyncWantNothing SyncWant = 3
	// SyncWantFresh asks any member for the words of all buckets, from a dump made for it; they belong to no position.
	SyncWantFresh SyncWant = 4
	// SyncWantRead asks any member for the records of some buckets, to be looked at and not applied.
	SyncWantRead SyncWant = 5
	// SyncWantSets asks any member for the elements of its nftables sets, to be looked at and not applied. Members that do not know it
	// answer SyncUnfit.
	SyncWantSets SyncWant = 6
)

// SyncBitmap has a bit for each bucket: bit i%8 of byte i/8.
type SyncBitmap [SyncBuckets / 8]byte

// Has reports whether bucket i is in.
func (m *SyncBitmap) Has(i int) bool { return m[i/8]&(1<<(i%8)) != 0 }

// Add puts bucket i in.
func (m *SyncBitmap) Add(i int) { m[i/8] |= 1 << (i % 8) }

// SyncRequest asks the target for something, which comes in a log of the bulk lane; repeated until it is answered.
type SyncRequest struct {
	// Log numbers the asker's requests, counting up for each of its incarnations and never 0; a higher one ends those before.
	Log  uint64
	Want SyncWant
	// Through is the sequence of the target's delta lane up to which the asker has applied.
	Through uint64
	// Limit is the first SyncCredit.
	Limit uint64
	// Buckets are those whose records are wanted, for SyncWantRepair.
	Buckets SyncBitmap
	// Table is the slot table by which the asker takes the target for their owner; zero, and not on the wire, in mode ha.
	Table SyncTable
}

// SyncResult is the answer to a request. ONLY APPEND; zero is invalid.
type SyncResult uint8

// The answers.
const (
	// SyncAccepted: it comes, or has begun to.
	SyncAccepted SyncResult = 1
	// SyncBusy: not now, ask again or ask another member.
	SyncBusy SyncResult = 2
	// SyncUnfit: this member's table is not one to copy.
	SyncUnfit SyncResult = 3
)

// String returns the answer as logs show it.
func (r SyncResult) String() string {
	switch r {
	case SyncAccepted:
		return "accepted"
	case SyncBusy:
		return "busy"
	case SyncUnfit:
		return "unfit"
	}
	return fmt.Sprintf("result-%d", uint8(r))
}

// SyncAnswer answers the request of that number.
type SyncAnswer struct {
	Log    uint64
	Result SyncResult
	// Records is about how many will come, for showing progress.
	Records uint32
}

// Records of the bulk lane that are no entries of a table: their Table is one of these. Tables below SyncTableWords are package
// record's.
const (
	// SyncTableWords is a record whose attributes are words: ParseSyncWords.
	SyncTableWords uint8 = 16
	// SyncTableEnd is the last record of a log: ParseSyncEnd.
	SyncTableEnd uint8 = 17
)

// SyncRecord is a record as far as this package looks at it.
type SyncRecord struct {
	Table uint8
	// Bytes is the whole record, Attrs what is behind its head, without padding. Both point into the batch.
	Bytes, Attrs []byte
}

// SyncWord is one bucket of a tally.
type SyncWord struct {
	// Xor is that of the Prints of the bucket's entries, Count their number.
	Xor   uint64
	Count uint32
}

// SyncEnd is what an answered request ends with.
type SyncEnd struct {
	// Position is the sequence of the sender's delta lane at the end of the dump: what was destroyed up to there is not in it.
	Position uint64
	// Records is how many entries were sent.
	Records uint32
	// Complete says that they are all: an entry of the buckets that was not sent did not exist.
	Complete bool
}

// SyncView is what a HELLO says of the sender's state synchronisation; zero if it has none.
type SyncView struct {
	// Incarnation is that of the sender's sync plane, in SYNC frames.
	Incarnation uint64
	Role        SyncRole
	// Current says that the sender's table is current. AtRisk says that its state synchronisation is on and not well.
	Current, AtRisk bool
	// Entries and Digest are the sum of the sender's tally.
	Entries uint32
	Digest  uint64
	// LagRecords and LagMs are how many records the peer that is furthest behind has not acknowledged, and for how long.
	LagRecords, LagMs uint32
	// Sequence is the newest of the sender's delta lane.
	Sequence uint64
}

// Lengths of the values of this version, which may grow at their end: a list's is that of the list without entries.
const (
	statusLen    = 1 + 1 + 2 + 4 + 4 + 8
	batchLen     = 8 + 8 + 8
	ackLen       = 8 + 8
	gapLen       = 8
	creditLen    = 8 + 8
	requestLen   = 8 + 1 + 8 + 8 + SyncBuckets/8
	syncTableLen = 8 + 4 + 4 + 1
	answerLen    = 8 + 1 + 4
	flagShared   = 1
	rangeLen     = 8 + 8
	syncWordLen  = 8 + 4
	syncEndLen   = 8 + 4 + 1
	syncLen      = 8 + 1 + 1 + 4 + 8 + 4 + 4 + 8

	flagStatusCurrent  = 1
	flagStatusStopping = 2
	flagStatusEvicted  = 4
	flagStatusUnpacks  = 8

	recordNew = 1 // the op of records that are about themselves

	flagEndComplete = 1

	flagTableCommit = 1

	flagSyncCurrent = 1
	flagSyncAtRisk  = 2
)
