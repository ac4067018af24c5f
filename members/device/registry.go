// SPDX-License-Identifier: Apache-2.0

package device

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Errors of the registry.
var (
	// ErrUnknown: no device of this name is registered.
	ErrUnknown = errors.New("unknown critical device")
	// ErrBuiltin: the operation is for user-defined devices only.
	ErrBuiltin = errors.New("built-in critical device")
)

// Registry holds the critical devices of one member in the order of their registration. The zero value
// is empty and ready to use. It is not safe for concurrent use.
type Registry struct {
	devices []Device
	// Changed counts changes of any status or reason; whoever shows devices compares it.
	Changes int
}

// builtin devices with the meaning of `problem`, in the order shown.
var meanings = [...]struct{ name, meaning string }{
	{ProblemNotification, "another critical device of this member is in problem"},
	{InitDevice, "the member has started and does not know enough to take part yet"},
	{InterfaceActiveCheck, "a required interface has failed on this member's side"},
	{Daemon, "the pulse or a task of this member's daemon is not well"},
	{AdminDown, "the operator took this member out of service"},
	{Config, "this member runs with another cluster-wide configuration or mode than the one it joins"},
	{Version, "a member speaks a protocol version that this build cannot work with"},
}

// NewRegistry returns a registry with the built-in devices: `init` in Init, the others ok.
func NewRegistry(now int64) *Registry {
	r := &Registry{devices: make([]Device, 0, len(meanings)+4)}
	for _, m := range meanings {
		d := Device{Name: m.name, Meaning: m.meaning, Status: OK, Builtin: true, Reported: now, Changed: now, Registered: now}
		if m.name == InitDevice {
			d.Status = Init
		}
		r.devices = append(r.devices, d)
	}
	return r
}

// Register adds a user-defined device, or sets timeout, status and reason of one that exists.
func (r *Registry) Register(now int64, name string, timeout time.Duration, s Status, reason string) error {
	if name == "" {
		return fmt.Errorf("register critical device: %w: the name is empty", ErrUnknown)
	}
	if d := r.find(name); d != nil {
		if d.Builtin {
			return fmt.Errorf("register critical device %q: %w: choose another name", name, ErrBuiltin)
		}
		d.Timeout = timeout
		r.set(now, d, s, reason)
		return nil
	}
	r.devices = append(r.devices, Device{Name: name, Status: s, Reason: reason, Timeout: timeout, Reported: now, Changed: now, Registered: now})
	r.Changes++
	return nil
}

// Report sets the status of a device, built in or user-defined.
func (r *Registry) Report(now int64, name string, s Status, reason string) error {
	d := r.find(name)
	if d == nil {
		return fmt.Errorf("report critical device %q: %w: register it first", name, ErrUnknown)
	}
	r.set(now, d, s, reason)
	return nil
}

// Unregister removes a user-defined device.
func (r *Registry) Unregister(name string) error {
	for i := range r.devices {
		if r.devices[i].Name != name {
			continue
		}
		if r.devices[i].Builtin {
			return fmt.Errorf("unregister critical device %q: %w", name, ErrBuiltin)
		}
		r.devices = append(r.devices[:i], r.devices[i+1:]...)
		r.Changes++
		return nil
	}
	return fmt.Errorf("unregister critical device %q: %w", name, ErrUnknown)
}

// Expire puts devices whose reporter was silent for longer than their timeout into problem, and returns
// when the next one is due, math.MaxInt64 if none is.
func (r *Registry) Expire(now int64) (next int64) {
	next = math.MaxInt64
	for i := range r.devices {
		d := &r.devices[i]
		if d.Timeout == 0 || d.TimedOut {
			continue
		}
		due := d.Reported + int64(d.Timeout)
		if now < due {
			next = min(next, due)
			continue
		}
		reported := d.Reported
		r.set(now, d, Problem, fmt.Sprintf("no report for %v", d.Timeout))
		d.TimedOut, d.Reported = true, reported
	}
	return next
}

// set changes a device.
func (r *Registry) set(now int64, d *Device, s Status, reason string) {
	d.Reported, d.TimedOut = now, false
	if d.Status == s && d.Reason == reason {
		return
	}
	if d.Status != s {
		d.Changed = now
	}
	d.Status, d.Reason = s, reason
	r.Changes++
}

// Get returns the device of this name.
func (r *Registry) Get(name string) (Device, bool) {
	if d := r.find(name); d != nil {
		return *d, true
	}
	return Device{}, false
}

// Problems returns how many devices other than problem-notification are not ok, and the first of them.
func (r *Registry) Problems() (n int, first *Device) {
	for i := range r.devices {
		d := &r.devices[i]
		if d.Status == OK || d.Name == ProblemNotification {
			continue
		}
		if n == 0 {
			first = d
		}
		n++
	}
	return n, first
}

// Len returns how many devices there are, At the i-th of them in order of registration.
func (r *Registry) Len() int { return len(r.devices) }

// At returns the i-th device; it stays the registry's own.
func (r *Registry) At(i int) *Device { return &r.devices[i] }

// List returns a copy of all devices in the order of their registration.
func (r *Registry) List() []Device { return append([]Device(nil), r.devices...) }

func (r *Registry) find(name string) *Device {
	for i := range r.devices {
		if r.devices[i].Name == name {
			return &r.devices[i]
		}
	}
	return nil
}
