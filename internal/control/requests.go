// SPDX-License-Identifier: Apache-2.0

package control

import (
	"strconv"
	"strings"
)

// FailoverRequest moves the gateway.
type FailoverRequest struct {
	End bool     `json:"end,omitempty"` // end a forced hand-over instead; To and For are ignored
	To  string   `json:"to"`            // member name
	For Duration `json:"for,omitzero"`  // hold it there this long whatever the recovery mode says; 0: just move it
}

// ResetRequest clears the failover counter and/or history.
type ResetRequest struct {
	Counter bool `json:"counter"`
	History bool `json:"history"`
}

// AdminRequest takes this member out of service, or back.
type AdminRequest struct {
	Up        bool `json:"up"`
	Permanent bool `json:"permanent,omitempty"` // survives restart and reboot
}

// DeviceRequest registers, reports or unregisters a critical device.
type DeviceRequest struct {
	Action     string   `json:"action"` // register report unregister
	Name       string   `json:"name"`
	Status     string   `json:"status,omitempty"` // ok init problem
	Reason     string   `json:"reason,omitempty"`
	Timeout    Duration `json:"timeout,omitzero"` // 0: never expires
	Persistent bool     `json:"persistent,omitempty"`
}

// Result is the answer to a request that changes something.
type Result struct {
	Done    string   `json:"done"`              // one line: what was done
	Details []string `json:"details,omitempty"` // more lines
}

// ReloadResult is the answer to a reload.
type ReloadResult struct {
	Applied []Change `json:"applied"`
	Refused []Change `json:"refused"` // if any, nothing was applied
}

// Change is one difference of a reload.
type Change struct {
	Path   string `json:"path"`
	From   string `json:"from"`
	To     string `json:"to"`
	Reason string `json:"reason,omitempty"`
}

// Validate refuses a request that no member could carry out.
func (r FailoverRequest) Validate() error {
	if r.End {
		return nil
	}
	if r.To == "" {
		return Invalid("no member named", "say to which member: holdfast failover to NAME")
	}
	if r.For < 0 {
		return Invalid("a negative time", "leave it out, or give 10m")
	}
	return nil
}

// Validate refuses a request that no member could carry out.
func (r ResetRequest) Validate() error {
	if !r.Counter && !r.History {
		return Invalid("nothing to reset", "choose the counter, the history, or both")
	}
	return nil
}

// Bounds of what a critical device says: HELLOs carry the names of all, and the reasons of those in problem.
const (
	maxDeviceName = 32
	maxReason     = 200
)

// Validate refuses a request that no member could carry out.
func (r DeviceRequest) Validate() error {
	if r.Name == "" || len(r.Name) > maxDeviceName || strings.ContainsFunc(r.Name, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return Invalid("device name "+strconv.Quote(r.Name), "use 1 to 32 printable ASCII characters without spaces")
	}
	switch r.Action {
	case "unregister":
		return nil
	case "register", "report":
	default:
		return Invalid("action "+strconv.Quote(r.Action), "choose register, report, unregister")
	}
	switch r.Status {
	case "ok", "init", "problem":
	default:
		return Invalid("status "+strconv.Quote(r.Status), "choose ok, init, problem")
	}
	if len(r.Reason) > maxReason {
		return Invalid("a reason of "+strconv.Itoa(len(r.Reason))+" bytes", "keep it to "+strconv.Itoa(maxReason))
	}
	if r.Timeout < 0 {
		return Invalid("a negative timeout", "0 never expires")
	}
	return nil
}
