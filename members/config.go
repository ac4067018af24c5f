// SPDX-License-Identifier: Apache-2.0

package members

import "time"

// Config is what a member knows before it starts. It is the same on all members but for Self.
type Config struct {
	// Self is this member's number.
	Self uint8
	// Names holds the names of all members; the index is the number and the priority, 0 first. 1 to 8.
	Names []string
	// Interfaces lists the monitored interfaces. Private unmonitored ones are left out.
	Interfaces []Interface
	// Groups lists monitored interfaces that count as one; an interface is in one group at most.
	Groups []Group
	// Recovery defaults to RecoveryMaintainCurrent.
	Recovery Recovery
	// Timers: zero fields take the values of DefaultTimers.
	Timers Timers
	// Digest is the digest of the cluster-wide configuration; a peer with another one is a problem of the
	// critical device `config`, on the member that does not serve.
	Digest [32]byte
	// Mode is the cluster mode ("ha"); a difference counts as one of Digest does.
	Mode string
	// Version is the protocol version of this build and Capabilities its feature bits. A member that is
	// newer, or offers more, than the active one stays READY until the others are gone or upgraded.
	Version      uint32
	Capabilities uint64
	// MinVersion is the oldest protocol version that this build works with; an older peer is a problem of the
	// device `version`.
	MinVersion uint32
	// FlapBudget is how many moves from a member that lives this member sees within
	// FlapWindow before it damps itself. Zero takes DefaultFlapBudget and DefaultFlapWindow.
	FlapBudget int
	FlapWindow time.Duration
	// Weights says how much a problem of the device of this name weighs when all members are broken and the one
	// with the smallest sum serves; 1 to MaxWeight, 1 for devices that are not named.
	Weights map[string]int
	// WaitPolicy and WaitSync hold a member in READY until PolicyReady or SyncReady say that it is ready. The connection table is waited for
	// only once a member has served without this one having its connections. With WaitPolicy a member without a policy never begins to
	// serve, and one with another policy than the member that serves is READY.
	WaitPolicy bool
	WaitSync   bool
}

// Defaults of the flap damping: five moves within ten minutes.
const (
	DefaultFlapBudget = 5
	DefaultFlapWindow = 10 * time.Minute
)

// MaxWeight is the largest weight of a device's problem.
const MaxWeight = 15

// Interface is one monitored interface of the member.
type Interface struct {
	// Slot is the interface's number in the configuration, the same on all members.
	Slot uint8
	// Name is the interface's configured name, used in reasons ("outside").
	Name string
	// Cluster is set if the interface carries virtual addresses. Others (sync, monitored private) are
	// watched as well, but questions about VIPs are asked on cluster interfaces only.
	Cluster bool
	// Private is set if the interface is the member's own: it may be on another segment than the others', so that
	// only its carrier and, with Targets, its neighbours count, and not who is heard there.
	Private bool
	// Targets is set if neighbours are configured. Without, those that the host has learned are asked, on cluster interfaces.
	Targets bool
}

// Group is a set of interfaces that count as one: the member has a problem only when fewer than MinUp of them are well.
type Group struct {
	// Name is used in reasons.
	Name string
	// MinUp is at least 1 and at most the number of Slots.
	MinUp int
	Slots []uint8
}

// Timers are the times that the machine goes by. All of them are shown by the CLI.
type Timers struct {
	// Probe is the interval of probes, lease renewals and repeated YIELDs. Default 10 ms.
	Probe time.Duration
	// Dead is how long a peer is silent before it counts as dead; at least 2 x Probe. Default 30 ms.
	Dead time.Duration
	// Hello is the interval of HELLOs, three times that of a member that serves and hears nobody. Default 100 ms.
	Hello time.Duration
	// HelloLost is how old the last HELLO of a peer whose gate answers may grow before its daemon counts as
	// silent: it is then no candidate for serving. Default 10 x Hello.
	HelloLost time.Duration
	// BootWait is how long INIT waits for a peer to be heard. Default 3 s.
	BootWait time.Duration
	// ReceiveWait is how long INIT waits at most for every cluster interface with carrier to receive some
	// frame (spanning tree). Default 40 s.
	ReceiveWait time.Duration
	// HoldDown is how long a member must have been fit before highest-priority recovery moves to it.
	// Default 10 s.
	HoldDown time.Duration
	// Settle is how long an interface must have carrier again before its problem ends, and how long an
	// interface fault that nobody can prove must differ between two members before it moves anything.
	// Default 1 s.
	Settle time.Duration
	// CourtesyAge is the lease age at which a peer is asked to yield; it doubles up to CourtesyMax when
	// moves for that reason come within a minute. Defaults 100 ms and 500 ms.
	CourtesyAge time.Duration
	CourtesyMax time.Duration
	// Restarting is how long a member that announced its restart is left alone. Default 3 s.
	Restarting time.Duration
	// Freeze is when a freeze of voluntary moves ends by itself, if the order names no time. Default 30 s.
	Freeze time.Duration
	// RecoveryDelay is how long a member that has started, or whose last problem has ended, is held back in
	// READY: it then takes over only if nobody fit is there. Default 0: not at all.
	RecoveryDelay time.Duration
	// Stranger is the longest delay of a claim when a MAC that belongs to no member answers for a VIP.
	// Default 1 s.
	Stranger time.Duration
	// Neighbours is the interval at which neighbours are asked while all is well, so that their silence
	// means something later. Default 2 s; known means answered within 3 of them.
	Neighbours time.Duration
}

// DefaultTimers returns the timers of the `appliance` profile.
func DefaultTimers() Timers {
	return Timers{
		Probe: 10 * time.Millisecond, Dead: 30 * time.Millisecond,
		Hello: 100 * time.Millisecond, HelloLost: time.Second,
		BootWait: 3 * time.Second, ReceiveWait: 40 * time.Second,
		HoldDown: 10 * time.Second, Settle: time.Second,
		CourtesyAge: 100 * time.Millisecond, CourtesyMax: 500 * time.Millisecond,
		Restarting: 3 * time.Second, Freeze: 30 * time.Second,
		Stranger: time.Second, Neighbours: 2 * time.Second,
	}
}

// withDefaults fills zero fields.
func (t Timers) withDefaults() Timers {
	d := DefaultTimers()
	for _, f := range []struct{ v, d *time.Duration }{
		{&t.Probe, &d.Probe}, {&t.Dead, &d.Dead}, {&t.Hello, &d.Hello},
		{&t.BootWait, &d.BootWait}, {&t.ReceiveWait, &d.ReceiveWait}, {&t.HoldDown, &d.HoldDown},
		{&t.Settle, &d.Settle}, {&t.CourtesyAge, &d.CourtesyAge}, {&t.CourtesyMax, &d.CourtesyMax},
		{&t.Restarting, &d.Restarting}, {&t.Freeze, &d.Freeze}, {&t.Stranger, &d.Stranger},
		{&t.Neighbours, &d.Neighbours},
	} {
		if *f.v == 0 {
			*f.v = *f.d
		}
	}
	if t.HelloLost == 0 {
		t.HelloLost = 10 * t.Hello
	}
	return t
}

// Boot is what a starting daemon found on its machine.
type Boot struct {
	// Now is the time of the start.
	Now int64
	// Incarnation is the daemon's own, random; it goes into HELLOs.
	Incarnation uint64
	// StoredTerm is the highest term that StoreTerm ever asked to keep on this machine, but for those that Gate's fence knows; 0 if none.
	StoredTerm uint32
	// Gate is the gate as found. If it serves, the machine adopts that: it is ACTIVE at once, without a
	// claim, and its first Step renews the lease.
	Gate GateState
	// AdminDown is set if the operator took the member down permanently.
	AdminDown bool
}
