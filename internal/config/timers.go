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
	Settle      time.Duration   // derived: probe/5, 2 ms at most; age the last probe must have before silence is death
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
	Stranger    time.Duration   // fixed: 1 s; most that a stranger's answer for a VIP delays a claim
	Recheck     time.Duration   // fixed: 1 s; a taker that loses the same interface within it does not send the gateway back
	Announce    []time.Duration // fixed: gaps of the announcements that follow the first burst
	Refresh     time.Duration   // announcements while nothing changes
	VMACRefresh time.Duration   // fixed: 1 s; the frame that keeps the VMAC in switches' tables
}

// TimerRow is one line of the table of timers.
type TimerRow struct {
	Name    string        // as in the file: "boot-wait"
	Value   time.Duration // in force
	Default time.Duration // of the profile
	Formula string        // how the default comes about: "dead - probe"
	Set     bool          // may be set in the file
	Meaning string
}
