// SPDX-License-Identifier: Apache-2.0

package gate

// Kind says why a YIELD is sent, and so what the gate checks before it grants.
type Kind uint8

// The kinds of YIELD; others are dropped as malformed.
const (
	Courtesy  Kind = 1 + iota // granted only if the lease has aged and the daemon is not restarting; Forward lingers
	Claim                     // unconditional
	Graceful                  // unconditional; Forward lingers, so that nothing in flight is lost
	Surrender                 // unconditional; the share is closed too, and nothing lingers (load sharing)
)

// Yield is an authentic request for a term, addressed to this gate.
type Yield struct {
	Source          uint8  // the member that asks
	Incarnation     uint64 // of its gate
	Sequence        int64  // its boot time when it asked
	EchoIncarnation uint64 // must be this gate's
	Nonce           uint64
	Term            uint32 // asked for, 1 to MaxTerm
	Group           uint8
	Kind            Kind
	MinAgeMs        uint32 // courtesy: the lease age from which on it is granted
}

// Valid reports whether the gate looks at the YIELD at all; it drops others as malformed.
func (y Yield) Valid() bool {
	return y.Source < Members && y.Group < Groups && y.Term != 0 && y.Term <= MaxTerm && y.Kind >= Courtesy && y.Kind <= Surrender
}

// Yield takes a valid, authentic YIELD in at the boot time now and returns the reply. A granted term closes the gate unless the
// member asking is this one.
func (w *Words) Yield(now int64, y Yield) Reply {
	return w.reply(now, y.Group, y.Nonce, y.Incarnation, y.Sequence, w.yield(now, y))
}

func (w *Words) yield(now int64, y Yield) Result {
	if y.EchoIncarnation != w.Incarnation {
		return WrongIncarnation
	}
	group := &w.Group[y.Group]
	// The same asker gets the same answer again, whatever has changed since: its first reply may have been lost.
	if group.Fence == (Fence{Term: y.Term, Grantee: y.Source}) {
		return Granted
	}
	if y.Kind == Courtesy && !w.aged(now, group, y.MinAgeMs) {
		return TooYoung
	}
	open, shares := w.open(group, now), y.Group == 0 && w.ShareOpen(now)
	fence, granted := group.Fence.Grant(y.Term, y.Source)
	if !granted {
		return Refused
	}
	group.Fence = fence
	if open && (y.Kind == Courtesy || y.Kind == Graceful) {
		group.Linger = now + int64(w.Linger)
	}
	if y.Group == 0 && y.Kind == Surrender {
		w.ShareLinger = 0
	} else if shares {
		w.ShareLinger = now + int64(w.Linger)
	}
	return Granted
}

// aged reports whether a courtesy may be granted: there is a lease to yield, nobody renews it, and not because of a restart.
func (w *Words) aged(now int64, group *Group, minAgeMs uint32) bool {
	return group.Fence.Permits(group.Lease.Term(), w.Self) &&
		group.Lease.Age(now) >= int64(minAgeMs)*1e6 && now >= w.Restarting
}
