// SPDX-License-Identifier: Apache-2.0

package members

import "time"

// Effect is something that the machine wants done. The set is closed. The effects of one Step come in the
// order of the declarations below, and must be carried out in that order: what closes comes before what
// asks, what asks before what opens, and what opens before what tells others.
type Effect interface{ effect() }

// Revoke drops the lease of the group: the gate closes at once.
type Revoke struct{ Group uint8 }

// YieldKind is the manner of a YIELD.
type YieldKind uint8

const (
	_ YieldKind = iota
	// YieldCourtesy is granted only if the target's lease is at least MinAge old and it is not restarting.
	YieldCourtesy
	// YieldClaim is granted whenever the term is higher than the target's fence.
	YieldClaim
	// YieldGraceful is as YieldClaim; a target that served keeps forwarding for the linger time.
	YieldGraceful
)

// SendYield asks the gate of Target, on all interfaces, to grant Term to this member. The answer is a
// YieldResult; the machine repeats the effect itself each probe interval.
type SendYield struct {
	Target uint8
	Group  uint8
	Term   uint32
	Kind   YieldKind
	// MinAge matters for YieldCourtesy only.
	MinAge time.Duration
}

// GrantOwn asks the member's own gate for Term, by the same compare-and-swap. The YieldResult is due as
// the next event.
type GrantOwn struct {
	Group uint8
	Term  uint32
}

// Lease tells the pulse to renew the lease with Term from now on: this opens the gate. Alone is set if
// no peer's gate answers and no third station shows that this member is connected.
type Lease struct {
	Group uint8
	Term  uint32
	Alone bool
}

// SetAlone marks or unmarks a serving gate as alone, when that has changed since it was opened.
type SetAlone struct {
	Group uint8
	Alone bool
}

// Announce starts the announcements of the group's VIPs from the beginning.
type Announce struct {
	Group  uint8
	Reason string
}

// AskVIP asks on every cluster interface with carrier who answers for a VIP, from the own address. Answers
// come as VIPAnswer; silence need not be reported. Asks must leave at once and must not wait for answers.
type AskVIP struct{}

// AskNeighbours asks configured or learned neighbours on one interface whether they are there, by ARP (or neighbour
// solicitation) and by echo request, from the own address; members are no neighbours. Each answer comes as NeighbourAnswer.
type AskNeighbours struct{ Iface uint8 }

// Query probes all peers on all interfaces at once, out of schedule; the first answer to each of these
// probes is reported as Heard whatever it says.
type Query struct{}

// Flush asks for all that this serving member knows of connections to be with the other members. Flushed with the same ID is due when
// they have it; it need not come.
type Flush struct{ ID uint32 }

// SendHello sends a HELLO (see Machine.Hello) to all peers now: on all interfaces if it says anything new.
type SendHello struct{}

// StoreTerm keeps Term across reboots. It may be written behind the other effects: a term that is lost
// is learned again from the peers' fences.
type StoreTerm struct{ Term uint32 }

// Record is an entry of the history and an event for operators.
type Record struct {
	Code Code
	// From and To are this member's states, or the peer's if the code is about a peer; equal if none changed.
	From, To State
	// Reason is one sentence in words.
	Reason string
	// Peer and Device caused it; Nobody and "" if none did.
	Peer   uint8
	Device string
	// Iface is the interface that caused it, by name; "" if none did.
	Iface string
	// Term of the claim or conflict, 0 if none.
	Term uint32
	// Gap is for how long nobody served, as far as this member can tell, when it has taken over; else 0.
	Gap time.Duration
}

// WakeAt asks for a Tick at this time, unless another event comes before. Each Step's WakeAt replaces the
// one before; a Step without one leaves it.
type WakeAt struct{ At int64 }

func (Revoke) effect()        {}
func (SendYield) effect()     {}
func (GrantOwn) effect()      {}
func (Lease) effect()         {}
func (SetAlone) effect()      {}
func (Announce) effect()      {}
func (AskVIP) effect()        {}
func (AskNeighbours) effect() {}
func (Query) effect()         {}
func (Flush) effect()         {}
func (SendHello) effect()     {}
func (StoreTerm) effect()     {}
func (Record) effect()        {}
func (WakeAt) effect()        {}
