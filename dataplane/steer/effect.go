// SPDX-License-Identifier: Apache-2.0

package steer

// Effect is something that the agreement wants done. The set is closed. Effects must be carried out in the order in which a Step returns
// them: what closes comes before the table, the table before what opens, and what opens before what tells others.
type Effect interface{ effect() }

// DropShare closes the own gate's share: at once, or if this member has left in order, and takes nothing any more by the table in force, with the
// linger time: what is on its way to it or through it belongs to nobody else.
type DropShare struct{ InOrder bool }

// Apply puts a table into the gate, and tells the sync plane who takes what. The table must not be changed. If that takes time, all later effects
// but DropShare and WakeAt wait; Own tells when it is in force.
type Apply struct{ Table *Table }

// Drain sets or clears the gate's flag that what is moving is passed on whole.
type Drain struct{ On bool }

// Share opens the own gate's share under a term, or moves it there, and has it renewed.
type Share struct{ Term uint32 }

// Flush has the sync plane tell the others everything of the slots that this member gives away. FlushDone is due.
type Flush struct{ Version Version }

// SendTable sends a table to a member on all interfaces for that. It is repeated until the member confirms.
type SendTable struct {
	To    uint8
	Table *Table
}

// YieldShare asks a member's gate to give up its share (YIELD of kind share) and to grant Term to this member. YieldResult is due if it
// answers. It is repeated each probe interval.
type YieldShare struct {
	To   uint8
	Term uint32
	// Keeps reports that the member is to have its share again under Term: YIELD of kind claim, so that its gate lingers until it has.
	Keeps bool
}

// Restarted ends a restart: what this member found in its gate is in order, and the others have heard so. The gate need not ask for patience
// any more.
type Restarted struct{}

// Tell sends a HELLO at once: Status has changed.
type Tell struct{}

// RecordKind is what is worth to be kept in the history.
type RecordKind uint8

// What is recorded. Only the leader records what all see.
const (
	_               RecordKind = iota
	RecordTable                // a leader's table is in force: Moved slots have another taker than before
	RecordAborted              // a planned change was given up because of Member
	RecordExcluded             // Member lost its share, for Reason
	RecordAdmitted             // Member has a share
	RecordDropped              // this member gave its share up, for Reason
	RecordUnflushed            // a slot moved before Member had told everything
	RecordExhausted            // the leader has no number left for planned changes: another term is needed
)

// Record is an entry for the history.
type Record struct {
	Kind    RecordKind
	Version Version
	Member  uint8 // Nobody if it is about none
	Moved   int
	Reason  string
}

// WakeAt asks for a Tick at a time; it replaces the one before. It is the last effect.
type WakeAt struct{ At int64 }

func (DropShare) effect()  {}
func (Apply) effect()      {}
func (Drain) effect()      {}
func (Share) effect()      {}
func (Flush) effect()      {}
func (SendTable) effect()  {}
func (YieldShare) effect() {}
func (Restarted) effect()  {}
func (Tell) effect()       {}
func (Record) effect()     {}
func (WakeAt) effect()     {}
