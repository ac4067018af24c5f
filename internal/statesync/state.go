// SPDX-License-Identifier: Apache-2.0

package statesync

import "time"

// Status is the plane's verdict in one word. ONLY APPEND: it is a metric's value.
type Status uint8

// The statuses.
const (
	// StatusOff says that nothing is synchronised; the reason says why.
	StatusOff Status = iota
	// StatusOK says that every peer that can be has what this member has.
	StatusOK
	// StatusAtRisk says that a hand-over now might lose connections; the reason says which and why.
	StatusAtRisk
)

// String returns the status as the CLI shows it.
func (s Status) String() string {
	switch s {
	case StatusOK:
		return "OK"
	case StatusAtRisk:
		return "at risk"
	}
	return "off"
}

// State is what a plane knows of itself and its peers. It is a copy: the reader's own.
type State struct {
	Status Status
	// Reason in words, empty when the status is OK.
	Reason string
	Role   Role
	Term   uint32
	// Owner is the number of the member whose table counts, ccp.Nobody when none is known; in load sharing one of them, this one if it is.
	Owner uint8
	// Sharing says that there may be several owners. Buckets is then how many of the 1024 buckets this member owns, and Moving how many are
	// about to move, by the slot table of TableTerm and TableNumber.
	Sharing                bool
	Buckets, Moving        int
	TableTerm, TableNumber uint32
	// Current says that this member's table is fit to serve with: it is the owner's, or its first full sync since the daemon
	// started or was evicted is done, or there is nobody to have one from.
	Current bool
	// Incarnation of this plane, as HELLO carries it; 0 while it does not run (its role is off then), because it is switched off or
	// because the kernel gives it no sockets.
	Incarnation uint64
	// Entries and Digest are of the connections that are synchronised, on this member.
	Entries uint64
	Digest  uint64
	// Expectations and SetElements are counted apart.
	Expectations, SetElements uint64
	// Delta is the number of the newest batch of this member's delta lane.
	Delta uint64
	// LagRecords and Lag say how far this member is behind the owner: what is known to be sent and not applied, and since when.
	LagRecords uint64
	Lag        time.Duration
	// Noted is how many translated connections the gate has a note of, and Unnoted why the newest note was not taken, empty if it was.
	Noted   int
	Unnoted string
	// Held is how many new connections wait for their service's delay.
	Held       int
	Interfaces []InterfaceState
	Peers      []PeerState
	// FullSync is the full sync or repair that this member is receiving, or received last.
	FullSync Progress
}

// InterfaceState is a sync interface as the plane sees it.
type InterfaceState struct {
	Name string
	Up   bool
	MTU  int // of its device, 0 if it is not known
	// Error of the socket, or that no member is heard on the interface while one is on another; empty when it works.
	Error string
	// Heard lists the members from which authentic frames came in within the last 15 seconds.
	Heard []uint8
	// SentBytes, SentFrames, ReceivedBytes, ReceivedFrames count since the last reset.
	SentBytes, SentFrames, ReceivedBytes, ReceivedFrames uint64
}

// PeerState is another member as the plane sees it.
type PeerState struct {
	ID   uint8
	Role Role
	Term uint32
	// Bound says that frames go both ways and are known to be no recordings: the peer's HELLO tells of the plane that they are from, or
	// one has come within the last seconds.
	Bound bool
	// Current is the peer's own word.
	Current bool
	// Entries and Digest are the peer's own, as of its newest mark.
	Entries, Digest uint64
	// Buckets is how many buckets the peer owns in load sharing, by this member's slot table; Owned is how many entries it has in those, or,
	// in mode ha, in all if it is the owner, as of its newest mark.
	Buckets int
	Owned   uint64
	// Copying is the full sync or repair that this member is receiving from the peer, or received last.
	Copying Progress
	// Compared says that this member's table was compared with the peer's, which only a copy does, with its owner's; Equal that the last
	// comparison found the tables equal.
	Compared, Equal bool
	// Evicted says that the peer was too slow and is not waited for; it needs a repair when it returns.
	Evicted bool
	// Unacked is how many records were sent to the peer and not acknowledged yet; Lag is the age of the oldest.
	Unacked uint64
	Lag     time.Duration
	// Heard is how long ago the last authentic frame came in; negative for never.
	Heard time.Duration
	// Serving is the full sync or repair that this member is sending to the peer, or sent last.
	Serving Progress
}

// Progress of a full sync or repair.
type Progress struct {
	Running bool
	// Full says that it covers the whole table, the first of a joiner.
	Full bool
	// Peer is the other side, ccp.Nobody if there was none yet.
	Peer uint8
	// Stage in words: "own table", "asking", "receiving", "removing", "done", "waiting for a source".
	Stage string
	// Buckets that differed, of 1024; Done records so far, of about Total; Removed is how many stale entries went.
	Buckets              int
	Done, Total, Removed uint64
	// Tries counts how often it was begun anew.
	Tries int
	// Took is how long it has been running, or took.
	Took time.Duration
}
