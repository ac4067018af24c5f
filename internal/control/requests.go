// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"
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

// DevicesRequest carries out several requests, all of them or none.
type DevicesRequest struct {
	Requests []DeviceRequest `json:"requests"`
}

// FreezeRequest stops voluntary moves in the whole cluster, or allows them again. A member that is silent, yields or has crashed is
// taken over from all the same.
type FreezeRequest struct {
	Frozen bool     `json:"frozen"`
	For    Duration `json:"for,omitzero"` // 1s to 10m; 0: 30s
}

// Result is the answer to a request that changes something.
type Result struct {
	Done    string   `json:"done"`              // one line: what was done
	Details []string `json:"details,omitempty"` // more lines
}

// ReloadResult is the answer to a reload.
type ReloadResult struct {
	Applied  []Change `json:"applied"`
	Refused  []Change `json:"refused"`            // if any, nothing was applied
	Warnings []string `json:"warnings,omitempty"` // what of the applied could not be brought about on this host; the next reload tries again
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

// Bounds of critical devices: HELLOs carry the names and reasons of those in problem.
const (
	maxDeviceName = 32
	maxReason     = 200
	minTimeout    = 100 * time.Millisecond
	maxTimeout    = 24 * time.Hour

	// MaxDevices is how many devices that are not built in a member has at most, and how many requests a DevicesRequest.
	MaxDevices = 512
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
	if len(r.Reason) > maxReason || strings.ContainsFunc(r.Reason, unicode.IsControl) {
		return Invalid("a reason of "+strconv.Itoa(len(r.Reason))+" bytes", "keep it to one line of "+strconv.Itoa(maxReason)+" bytes")
	}
	if t := time.Duration(r.Timeout); t != 0 && (t < minTimeout || t > maxTimeout) {
		return Invalid("timeout "+t.String(), "choose 100ms to 24h, or 0, which never expires")
	}
	return nil
}

// Validate refuses a request that no member could carry out, and says which one in it is wrong.
func (r DevicesRequest) Validate() error {
	if n := len(r.Requests); n == 0 || n > MaxDevices {
		return Invalid(strconv.Itoa(n)+" requests", "send 1 to "+strconv.Itoa(MaxDevices)+" at once")
	}
	for i, q := range r.Requests {
		if err := q.Validate(); err != nil {
			var e *Error
			if errors.As(err, &e) {
				return &Error{Code: e.Code, What: "requests[" + strconv.Itoa(i) + "]: " + e.What, WayOut: e.WayOut + "; nothing was changed"}
			}
			return err
		}
	}
	return nil
}

// Validate refuses a request that no member could carry out.
func (r FreezeRequest) Validate() error {
	d := time.Duration(r.For)
	switch {
	case d == 0:
		return nil
	case !r.Frozen:
		return Invalid("a time for the end of a freeze", "leave it out: it ends at once")
	case d < time.Second || d > 10*time.Minute:
		return Invalid("a freeze of "+d.String(), "choose 1s to 10m")
	}
	return nil
}
