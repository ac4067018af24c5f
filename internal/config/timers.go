// SPDX-License-Identifier: Apache-2.0

package config

import "time"

// Profile names a set of timer defaults. The zero value is invalid.
type Profile string

const (
	// Appliance is for physical machines and is the default: probe 10 ms, dead 30 ms.
	Appliance Profile = "appliance"
	// Fast is for physical machines with real-time room to spare: probe 3 ms, dead 9 ms.
	Fast Profile = "fast"
	// Virtual is for machines that a hypervisor pauses: probe 50 ms, dead 150 ms.
	Virtual Profile = "virtual"
)

// Timers holds every timer of a member. Those marked "derived" or "fixed" cannot be set in the file. Table describes them all.
type Timers struct {
	Probe       time.Duration   // between two probes to a peer, per interface
	Dead        time.Duration   // silence after which a peer is dead
	Soft        time.Duration   // derived: dead - probe; the lease's soft expiry
	Hard        time.Duration   // fixed: 1 s; the lease's hard expiry while watched
	Watch       time.Duration   // derived: dead - probe/2; how recent "I hear you" must be to count as watched
	Settle      time.Duration   // derived: min(2 ms, probe/5); age the last probe must have before silence is death
	Linger      time.Duration   // forward stays open after a graceful hand-over
	Courtesy    time.Duration   // lease age at which a peer asks the gate to yield
	CourtesyMax time.Duration   // fixed: 500 ms; the courtesy threshold's bound while it doubles
	OnTime      time.Duration   // fixed: 1 s; how long own renewals must have been on time to ask for a courtesy
	Word        time.Duration   // fixed: 500 ms; age of the daemon's word at which the pulse stops renewing
	Restarting  time.Duration   // how long a restarting daemon is not yielded away
	Hello       time.Duration   // between two sealed HELLOs
	BootWait    time.Duration   // INIT at least this long when no peer is heard
	BootListen  time.Duration   // fixed: 40 s; INIT at most this long while an interface has carrier but has received nothing
	HoldDown    time.Duration   // health before highest-priority moves the gateway back
	Recovery    time.Duration   `json:",omitzero"` // default 0: off; READY this long after a start or the end of the last problem
	Stranger    time.Duration   // fixed: 1 s; most that a stranger's answer for a VIP delays a claim
	Announce    []time.Duration // fixed: gaps of the announcements that follow the first burst
	Refresh     time.Duration   // announcements while nothing changes
	VMACRefresh time.Duration   // fixed: 1 s; the frame that keeps the VMAC in switches' tables
}

// DefaultTimers returns the timers of a profile.
func DefaultTimers(p Profile) Timers {
	t := Timers{Probe: 10 * time.Millisecond, Dead: 30 * time.Millisecond}
	switch p {
	case Fast:
		t.Probe, t.Dead = 3*time.Millisecond, 9*time.Millisecond
	case Virtual:
		t.Probe, t.Dead = 50*time.Millisecond, 150*time.Millisecond
	}
	t.Linger = 200 * time.Millisecond
	t.Restarting = 3 * time.Second
	t.Hello = 100 * time.Millisecond
	t.BootWait = 3 * time.Second
	t.HoldDown = 10 * time.Second
	t.Refresh = time.Minute
	t.Courtesy = t.defaultCourtesy()
	t.derive()
	return t
}

// defaultCourtesy is 100 ms, but never less than the silence that this cluster tolerates: a machine that may be paused for 150 ms
// must not be relieved for a lease that is 100 ms old.
func (t *Timers) defaultCourtesy() time.Duration { return max(100*time.Millisecond, t.Dead) }

// derive fills in what follows from probe and dead, and what is fixed.
func (t *Timers) derive() {
	t.Soft = t.Dead - t.Probe
	t.Watch = t.Dead - t.Probe/2
	t.Settle = min(2*time.Millisecond, t.Probe/5)
	t.Hard = time.Second
	t.CourtesyMax = 500 * time.Millisecond
	t.OnTime = time.Second
	t.Word = 500 * time.Millisecond
	t.BootListen = 40 * time.Second
	t.Stranger = time.Second
	t.VMACRefresh = time.Second
	t.Announce = []time.Duration{100 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second}
}

// timers reads profile and timers, and checks their relations.
func (b *builder) timers() {
	r, ms := b.raw.Timers, time.Millisecond
	t := DefaultTimers(b.c.Profile)
	t.Probe = b.duration(r.Probe, ms, 200*ms, t.Probe)
	if r.Probe.set && !r.Dead.set {
		t.Dead = 3 * t.Probe
	}
	t.Dead = b.duration(r.Dead, 2*ms, 500*ms, t.Dead)
	dead := r.Dead
	if !dead.set {
		dead = scalar{text: short(t.Dead), line: b.timerLine(r.Probe), path: "timers.dead"}
	}
	switch {
	case t.Dead < 2*t.Probe:
		b.add(dead, "choose at least "+short(2*t.Probe)+", better "+short(3*t.Probe)+", or a shorter timers.probe",
			"below two probes of %s: one lost frame would be a death", short(t.Probe))
	case t.Dead > 500*ms:
		b.add(dead, "choose at most 500ms, or a shorter timers.probe", "longer than half the hard lease of 1s")
	}
	t.Linger = b.duration(r.Linger, 0, time.Second, t.Linger)
	t.Courtesy = b.duration(r.Courtesy, ms, 500*ms, t.defaultCourtesy())
	if r.Courtesy.set && t.Courtesy < t.Dead {
		b.add(r.Courtesy, "choose at least "+short(t.Dead), "below timers.dead: a member would be relieved before it is late")
	}
	t.Hello = b.duration(r.Hello, 20*ms, time.Second, t.Hello)
	t.BootWait = b.duration(r.BootWait, 500*ms, 5*time.Minute, t.BootWait)
	if t.BootWait < 3*t.Hello {
		b.add(r.BootWait, "choose at least "+short(3*t.Hello), "shorter than three state messages of %s: peers would go unheard", short(t.Hello))
	}
	t.HoldDown = b.duration(r.HoldDown, 0, time.Hour, t.HoldDown)
	t.Recovery = b.duration(r.RecoveryDelay, 0, time.Hour, t.Recovery)
	t.Restarting = b.duration(r.Restarting, 500*ms, 3*time.Second, t.Restarting)
	t.Refresh = b.duration(r.Refresh, 5*time.Second, 4*time.Minute, t.Refresh)
	t.derive()
	b.c.Timers = t
}

func (b *builder) timerLine(s scalar) int {
	if s.set {
		return s.line
	}
	return b.raw.Timers.Line
}
