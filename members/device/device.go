// SPDX-License-Identifier: Apache-2.0

package device

import "time"

// Status is the state of a critical device. The zero value is invalid.
type Status uint8

const (
	_ Status = iota
	// OK: well.
	OK
	// Init: not known yet. It holds a member that does not serve back in READY, and moves nothing.
	Init
	// Problem: the member should not serve if another can.
	Problem
)

// String returns the status as operators read it.
func (s Status) String() string {
	switch s {
	case OK:
		return "ok"
	case Init:
		return "init"
	case Problem:
		return "problem"
	}
	return "invalid"
}

// Names of the built-in devices.
const (
	// ProblemNotification is in problem when any other device is.
	ProblemNotification = "problem-notification"
	// InitDevice is in problem until the member has finished INIT.
	InitDevice = "init"
	// InterfaceActiveCheck is in problem when a required interface has failed on this member's side.
	InterfaceActiveCheck = "interface-active-check"
	// FullSync is in init until the connection table was received from the other members.
	FullSync = "full-sync"
	// Policy is in init until it is known whether the member has its policy, and in problem while it has none.
	Policy = "policy"
	// Daemon is in problem while the member's pulse or a task of its daemon is not well.
	Daemon = "daemon"
	// Routing is in problem while dynamic routing lacks what the member needs to serve, as monitors report it.
	Routing = "routing"
	// RecoveryDelay is in init for the recovery delay after the start and after the member's last problem ended.
	RecoveryDelay = "recovery-delay"
	// AdminDown is in problem while the operator has taken the member down.
	AdminDown = "admin-down"
	// Config is in problem when a peer runs with another cluster-wide configuration or mode.
	Config = "config"
	// Version is in problem when a peer speaks a protocol version that this build cannot work with.
	Version = "version"
)

// Fed reports whether something outside of the machine may report the built-in device of this name: the
// others are the machine's own.
func Fed(name string) bool {
	switch name {
	case Daemon, Routing, Policy, FullSync:
		return true
	}
	return false
}

// Device is one critical device.
type Device struct {
	Name string
	// Meaning says in one sentence what `problem` means; empty for user-defined devices.
	Meaning string
	// Status is the worst that any reporter says, Reason their reasons for it.
	Status Status
	Reason string
	// Timeout after which a silent reporter is a problem; 0 is never. Of several reporters, the shortest.
	Timeout time.Duration
	// Reported is when the last report came; Changed when the status changed last; Registered when the device
	// was added.
	Reported, Changed, Registered int64
	// Builtin devices cannot be registered or removed by users.
	Builtin bool
	// TimedOut is set while the silence of a reporter is a problem.
	TimedOut bool
	// Reports holds what each reporter says, by name. A device that nobody has reported yet has none.
	Reports []Report
}

// Report is what one reporter of a device says.
type Report struct {
	// Reporter is "" for the machine itself and for whoever gives no name.
	Reporter string
	Status   Status
	Reason   string
	// Timeout after which the reporter's silence is a problem; 0 is never.
	Timeout time.Duration
	// Reported is when it said so last.
	Reported int64
	// TimedOut is set while the problem is its silence.
	TimedOut bool
}
