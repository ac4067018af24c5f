// SPDX-License-Identifier: Apache-2.0

package device

import "time"

// Status is the state of a critical device. The zero value is invalid.
type Status uint8

const (
	_ Status = iota
	// OK: well.
	OK
	// Init: not known yet; counts as a problem until the first report.
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
	// Daemon is in problem while the member's pulse or a task of its daemon is not well.
	Daemon = "daemon"
	// AdminDown is in problem while the operator has taken the member down.
	AdminDown = "admin-down"
	// Config is in problem when a peer runs with another cluster-wide configuration or mode.
	Config = "config"
	// Version is in problem when a peer speaks a protocol version that this build cannot work with.
	Version = "version"
)

// Device is one critical device.
type Device struct {
	Name string
	// Meaning says in one sentence what `problem` means; empty for user-defined devices.
	Meaning string
	Status  Status
	Reason  string
	// Timeout after which a silent reporter is a problem; 0 is never.
	Timeout time.Duration
	// Reported is when the last report came; Changed when the status changed last; Registered when the device
	// was added.
	Reported, Changed, Registered int64
	// Builtin devices cannot be registered or removed by users.
	Builtin bool
	// TimedOut is set while the problem is the reporter's silence.
	TimedOut bool
}
