// SPDX-License-Identifier: Apache-2.0

package control

import "time"

// FailoverRequest moves the gateway.
type FailoverRequest struct {
	To  string   `json:"to"`            // member name
	For Duration `json:"for,omitempty"` // hold it there this long whatever the recovery mode says; 0: just move it
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
	Timeout    Duration `json:"timeout,omitempty"` // 0: never expires
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

// Duration is a time.Duration that is a string ("10m0s") in JSON.
type Duration time.Duration
