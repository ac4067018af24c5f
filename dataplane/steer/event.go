// SPDX-License-Identifier: Apache-2.0

package steer

// Event is something that the agreement learns. The set is closed.
type Event interface{ event() }

// Tick says that time has passed: nothing else happened before the time of the last WakeAt. One that comes early, late or in addition
// does no harm.
type Tick struct{}

// Adopted is what a restarted member found in its gate. It is the first event, if there was anything.
type Adopted struct {
	// Term, Number and Entry are those of the gate's table; Term 0: it had none.
	Term, Number uint32
	Entry        [Slots]Entry
	// Share is the term of the share that is still open, 0 if it is not.
	Share uint32
}

// Own is the state of this member. It is due whenever something of it changes, and before any other event that could only be judged with
// it: above all the gate's words are read anew before each Step, so that a leader that was stopped and goes on learns first that it leads no more.
type Own struct {
	// Leads is the term of the own lease while the gate is open with it (this member answers for the VIPs), else 0.
	Leads uint32
	// Fit reports that this member may carry a share: its state is STANDBY or ACTIVE, its connection table current. A leader carries one
	// whether it is fit or not, if nobody else can.
	Fit bool
	// Lacks reports that its connection table lacks some that others own: it keeps what it takes, of which its own table counts, but as planned
	// it gains nothing, since all would take for ended what it does not know.
	Lacks bool
	// Leaving reports that this member is going to stop or was taken out by its operator while everything is well.
	Leaving bool
	// Broken reports that this member cannot carry traffic, and knows it: its interfaces do not work.
	Broken bool
	// Fence and Grantee are the own gate's fence of group 0; Grantee Nobody if nobody was granted it.
	Fence   uint32
	Grantee uint8
	// Open reports whether the share is open (not: lingers), and Share is its term, 0 if the gate has none.
	Open  bool
	Share uint32
	// Renewed reports that this daemon's pulse has renewed what the gate holds: the share, and the lease of a member that leads. One that
	// restarted has found them as its predecessor left them.
	Renewed bool
	// Version is that of the table that is in force at the gate: Apply may take its time.
	Version Version
}

// Peer is the present view of another member. It is due whenever something of it changes, and each probe interval while it has a share.
// A HELLO older than one that was told already must not be told.
type Peer struct {
	ID uint8
	// Heard reports that the member is not silent: its gate answers.
	Heard bool
	// Fit, Lacks and Leaving are as in Own, from the last HELLO; and Fit only with the same version, configuration and mode, and with a daemon that
	// shares load.
	Fit, Lacks, Leaving bool
	// Leads is the term with which its gate answers for the VIPs, 0 if it does not.
	Leads uint32
	// Incarnation is that of its daemon: what another one confirmed is void.
	Incarnation uint64
	// Restarting reports that its gate says so: its daemon is to be waited for.
	Restarting bool
	// HelloAt is when its last HELLO came, 0 if none did, and Status what it said.
	HelloAt int64
	Status  Status
	// RepliedAt is when its gate last answered, 0 if it never did. Of that answer: Open, whether it forwards; Share and ShareAge, the term
	// of its share (of its lease if it leads), 0 if it has none, and for how long it was not renewed in ns; its fence.
	RepliedAt int64
	Open      bool
	Share     uint32
	ShareAge  int64
	Fence     uint32
	Grantee   uint8
}

// TableReceived is a table that a member sent. The sender is authentic, and the table has been checked with Valid.
type TableReceived struct {
	From  uint8
	Table *Table
}

// FlushDone answers Flush: everybody has everything of the slots that are moving, or will not get it (Complete false).
type FlushDone struct {
	Version  Version
	Complete bool
}

// YieldResult answers YieldShare. What was not answered is asked again.
type YieldResult struct {
	To      uint8
	Term    uint32
	Granted bool
	// Fence is the term of the fence that the gate has now.
	Fence uint32
}

// Configured are the weights as configured, at start and after a reload. After a reload (Reset) what was set at run time ends.
type Configured struct {
	Weight [Members]uint16
	Reset  bool
}

// SetWeight sets a member's weight until the next reload: the operator's order, at any member.
type SetWeight struct {
	Member uint8
	Weight uint16
}

// Adapted are factors in thousandths, by which measured load changes the weights: see Adaptive. All 1000 (or 0) is none.
type Adapted struct{ Factor [Members]uint16 }

// Freeze stops (or allows again) planned changes: a policy is being installed. What has begun ends. Failures are acted on.
type Freeze struct{ On bool }

func (Tick) event()          {}
func (Adopted) event()       {}
func (Own) event()           {}
func (Peer) event()          {}
func (TableReceived) event() {}
func (FlushDone) event()     {}
func (YieldResult) event()   {}
func (Configured) event()    {}
func (SetWeight) event()     {}
func (Adapted) event()       {}
func (Freeze) event()        {}
