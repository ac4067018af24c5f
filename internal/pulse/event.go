// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// Event is something that the pulse tells main: Heard, Silent, Missed, YieldReply, GateChanged, ShareChanged, Health, Stats, Notice or Died.
// Times are nanoseconds of CLOCK_BOOTTIME.
type Event interface{ event() }

// Heard says that a peer's gate has answered a probe on an interface. Of a gate that says nothing new it comes every 100 ms. It comes at once
//   - when what the gate says has changed,
//   - for an answer to a Query,
//   - for the first answer after Silent or Missed,
//   - while the gate's lease or share is more than 50 ms old.
type Heard struct {
	Peer, Slot  uint8
	Query       bool // answers a probe that Query sent
	At          int64
	RTT         time.Duration
	Incarnation uint64 // of the peer's gate
	Stamp       uint64 // of the peer's gate when it answered: what a frame has to echo to be fresh there
	Reply       ccp.Reply
}

// Silent says that a peer's gate is dead on an interface by the rule of members/liveness, or that for as long no probe to it could
// leave. It comes once, and once more when Unsent changes; Heard ends it. A peer that never answered falls silent too.
type Silent struct {
	Peer, Slot uint8
	Unsent     bool // this host's fault, no word about the peer: in the dead interval its kernel refused three probes and took none
	At         int64
	Since      int64 // when the last answered probe was sent; 0: none ever was
}

// Missed says that a probe has been out, or could not leave, for longer than half a probe interval: the earliest hint. It comes once
// per gap.
type Missed struct {
	Peer, Slot uint8
	At         int64
	Since      int64 // when the last answered probe was sent; 0: none ever was
}

// YieldReply is a gate's answer to a YIELD. A YIELD goes out on every interface, so several may come for one request.
type YieldReply struct {
	Peer, Slot  uint8
	Group       uint8
	Kind        ccp.YieldKind
	Term        uint32 // that was asked for
	At          int64
	RTT         time.Duration
	Incarnation uint64 // of the peer's gate; the next YIELD names it
	Reply       ccp.Reply
}

// GateChanged says what the own gate's words are, when they have changed, and after every Lease and Drop.
type GateChanged struct {
	Group     uint8
	Bits      ccp.Bits // what the gate lets through, and why; Watched and Restarting alone make no event
	Lease     uint32   // term of the lease word; 0: none
	FenceTerm uint32
	Grantee   uint8
	Leased    uint32 // term that the pulse renews; 0: none
	Lost      Lost   // why the pulse gave up the last term it was asked to renew, since then
	At        int64
}

// ShareChanged says what this member's share of the traffic is, when it has changed, and after every Share and DropShare.
type ShareChanged struct {
	Open      bool   // the gate takes the share
	Forward   bool   // it lets traffic through, be it on the share, on the lease or because it lingers
	Term      uint32 // of the word; 0: none
	FenceTerm uint32
	Leased    uint32 // term that the pulse renews; 0: none
	Number    uint32 // of the table by which main asked for it
	Lost      Lost   // why the pulse gave up the last share that it was asked to renew, since then
	At        int64
}

// Lost says why the pulse stopped renewing a lease on its own.
type Lost uint8

// Reasons to stop renewing.
const (
	LostNot       Lost = 0 // it did not
	LostOvertaken Lost = 1 // the fence has overtaken the term
	LostExpired   Lost = 2 // it was not renewed for the hard expiry: the gate was closed, and every opening is a claim, with a new term
)

// String returns the reason in words.
func (l Lost) String() string {
	switch l {
	case LostNot:
		return "not lost"
	case LostOvertaken:
		return "overtaken by the fence"
	case LostExpired:
		return "expired"
	}
	return "unknown"
}

// Health says since when the pulse has been on time: every deadline met to within one probe interval, and main's word
// fresh. It comes every 100 ms: its absence says that the pulse stands still. A member asks others for a courtesy only when it is well itself.
type Health struct {
	OnTimeSince int64         // 0: not on time now
	Late        time.Duration // how late the worst deadline was since the last Health
}

// Notice is a line for the log: what the pulse had to do without.
type Notice struct {
	Code NoticeCode
	Slot uint8  // of the interface concerned
	Text string // reason, in words
}

// NoticeCode says what a Notice is about.
type NoticeCode uint8

// Notice codes. Append only.
const (
	NoticeRealtime  NoticeCode = 1 // SCHED_FIFO refused: running at a raised nice value
	NoticeMemory    NoticeCode = 2 // memory not locked
	NoticeInterface NoticeCode = 3 // an interface cannot be used; tried again every second
	NoticeRestored  NoticeCode = 4 // it can again
	NoticeWord      NoticeCode = 5 // main's word is late: leases are not renewed
	NoticeSoftirq   NoticeCode = 6 // the delay of softirqs is not measured: 127.0.0.1 cannot be reached (lo is down, or filtered); said once
)

// String returns the code's name.
func (c NoticeCode) String() string {
	switch c {
	case NoticeRealtime:
		return "realtime"
	case NoticeMemory:
		return "memory"
	case NoticeInterface:
		return "interface"
	case NoticeRestored:
		return "restored"
	case NoticeWord:
		return "word"
	case NoticeSoftirq:
		return "softirq"
	}
	return "unknown"
}

// Died is the last event before the channel closes: the child has ended on its own. Main starts another with Start.
type Died struct{ Err error }

func (Heard) event()        {}
func (Silent) event()       {}
func (Missed) event()       {}
func (YieldReply) event()   {}
func (GateChanged) event()  {}
func (ShareChanged) event() {}
func (Health) event()       {}
func (Stats) event()        {}
func (Notice) event()       {}
func (Died) event()         {}
