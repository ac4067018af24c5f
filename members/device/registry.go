// SPDX-License-Identifier: Apache-2.0

package device

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
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
	// Changes counts changes of any status or reason; whoever shows devices compares it.
	Changes int
	due     int64 // no reporter is due before that; 0 if it must be looked up
}

// builtin devices with the meaning of `problem`, in the order shown.
var meanings = [...]struct{ name, meaning string }{
	{ProblemNotification, "another critical device of this member is in problem"},
	{InitDevice, "the member has started and does not know enough to take part yet"},
	{InterfaceActiveCheck, "a required interface has failed on this member's side"},
	{FullSync, "this member does not hold the others' connections, or tracks none any more: they would break"},
	{Policy, "this member has no security policy and passes no traffic"},
	{Daemon, "the pulse or a task of this member's daemon is not well"},
	{Routing, "dynamic routing has not what this member needs to forward"},
	{RecoveryDelay, "this member has started or recovered a short time ago and must stay well for a while first"},
	{AdminDown, "the operator took this member out of service"},
	{Version, "a member speaks a protocol version that this build cannot work with"},
	{Config, "this member runs with another cluster-wide configuration or mode than the one it joins"},
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

// Register adds a user-defined device, or sets timeout, status and reason of one that exists. It is
// RegisterBy without a reporter's name.
func (r *Registry) Register(now int64, name string, timeout time.Duration, s Status, reason string) error {
	return r.RegisterBy(now, name, "", timeout, s, reason)
}

// RegisterBy lets a reporter feed a device: a user-defined one, which is added if it does not exist, or a
// built-in one that is Fed, for which the reporter needs a name. A reporter that is there already has its
// timeout, status and reason set.
func (r *Registry) RegisterBy(now int64, name, reporter string, timeout time.Duration, s Status, reason string) error {
	if name == "" {
		return fmt.Errorf("register critical device: %w: the name is empty", ErrUnknown)
	}
	d := r.find(name)
	if d == nil {
		r.devices = append(r.devices, Device{Name: name, Status: s, Changed: now, Registered: now})
		r.Changes++
		d = &r.devices[len(r.devices)-1]
	} else if d.Builtin && (reporter == "" || !Fed(name)) {
		return fmt.Errorf("register critical device %q: %w: choose another name", name, ErrBuiltin)
	}
	p := d.report(reporter)
	p.Timeout, p.TimedOut, p.Status = timeout, false, 0 // judged anew
	r.set(now, d, reporter, s, reason)
	return nil
}

// Report sets the status of a device, built in or user-defined.
func (r *Registry) Report(now int64, name string, s Status, reason string) error {
	return r.ReportBy(now, name, "", s, reason)
}

// ReportBy sets what one of several reporters says of a device, built in or user-defined. The worst status
// is the device's, and its reason joins those of all reporters that say so, in the order of their names.
func (r *Registry) ReportBy(now int64, name, reporter string, s Status, reason string) error {
	d := r.find(name)
	if d == nil {
		return fmt.Errorf("report critical device %q: %w: register it first", name, ErrUnknown)
	}
	r.set(now, d, reporter, s, reason)
	return nil
}

// Unregister removes a user-defined device, whoever reports it.
func (r *Registry) Unregister(name string) error {
	for i := range r.devices {
		if r.devices[i].Name != name {
			continue
		}
		if r.devices[i].Builtin {
			return fmt.Errorf("unregister critical device %q: %w", name, ErrBuiltin)
		}
		r.devices = slices.Delete(r.devices, i, i+1)
		r.Changes++
		r.due = 0
		return nil
	}
	return fmt.Errorf("unregister critical device %q: %w", name, ErrUnknown)
}

// UnregisterBy withdraws what one reporter says of a device. A user-defined device that nobody else reports
// is removed; a built-in one that nobody else reports is ok.
func (r *Registry) UnregisterBy(now int64, name, reporter string) error {
	d := r.find(name)
	if d == nil {
		return fmt.Errorf("unregister critical device %q: %w", name, ErrUnknown)
	}
	i, found := slices.BinarySearchFunc(d.Reports, reporter, byName)
	if !found {
		return fmt.Errorf("unregister critical device %q: %w: %q does not report it", name, ErrUnknown, reporter)
	}
	d.Reports = slices.Delete(d.Reports, i, i+1)
	if len(d.Reports) == 0 && !d.Builtin {
		return r.Unregister(name)
	}
	r.judge(now, d)
	return nil
}

// Expire puts devices of which a reporter was silent for longer than its timeout into problem, and returns
// when the next one is due, math.MaxInt64 if none is.
func (r *Registry) Expire(now int64) (next int64) {
	if r.due != 0 && now < r.due {
		return r.due
	}
	next = math.MaxInt64
	for i := range r.devices {
		d := &r.devices[i]
		late := false
		for k := range d.Reports {
			p := &d.Reports[k]
			if p.Timeout == 0 || p.TimedOut {
				continue
			}
			if due := p.Reported + int64(p.Timeout); now < due {
				next = min(next, due)
				continue
			}
			p.Status, p.Reason, p.TimedOut, late = Problem, fmt.Sprintf("no report for %v", p.Timeout), true, true
		}
		if late {
			r.judge(now, d)
		}
	}
	r.due = next
	return next
}

// set takes a report in.
func (r *Registry) set(now int64, d *Device, reporter string, s Status, reason string) {
	p := d.report(reporter)
	same := p.Status == s && p.Reason == reason && !p.TimedOut
	p.Status, p.Reason, p.Reported, p.TimedOut = s, reason, now, false
	d.Reported = now
	if !same {
		r.judge(now, d)
	}
}

// judge makes of all reports what the device is.
func (r *Registry) judge(now int64, d *Device) {
	s, timeout, late := OK, time.Duration(0), false
	for i := range d.Reports {
		p := &d.Reports[i]
		s, late = max(s, p.Status), late || p.TimedOut
		if p.Timeout != 0 && (timeout == 0 || p.Timeout < timeout) {
			timeout = p.Timeout
		}
	}
	reason := d.reason(s)
	d.Timeout, d.TimedOut, r.due = timeout, late, 0
	if d.Status == s && d.Reason == reason {
		return
	}
	if d.Status != s {
		d.Changed = now
	}
	d.Status, d.Reason = s, reason
	r.Changes++
}

// reason joins the reasons of the reporters that say s.
func (d *Device) reason(s Status) string {
	if len(d.Reports) == 1 && (d.Reports[0].Reporter == "" || d.Reports[0].Reporter == d.Name) {
		return d.Reports[0].Reason
	}
	var all []string
	for i := range d.Reports {
		p := &d.Reports[i]
		switch {
		case p.Status != s || p.Reason == "" && (s == OK || p.Reporter == ""):
		case p.Reporter == "" || p.Reporter == d.Name:
			all = append(all, p.Reason)
		case p.Reason == "":
			all = append(all, p.Reporter)
		default:
			all = append(all, p.Reporter+": "+p.Reason)
		}
	}
	return strings.Join(all, "; ")
}

// report returns the entry of a reporter, which it adds if there is none.
func (d *Device) report(reporter string) *Report {
	i, found := slices.BinarySearchFunc(d.Reports, reporter, byName)
	if !found {
		d.Reports = slices.Insert(d.Reports, i, Report{Reporter: reporter})
	}
	return &d.Reports[i]
}

func byName(p Report, name string) int { return strings.Compare(p.Reporter, name) }

// Get returns the device of this name; its Reports stay the registry's own.
func (r *Registry) Get(name string) (Device, bool) {
	if d := r.find(name); d != nil {
		return *d, true
	}
	return Device{}, false
}

// Says reports whether the device of this name is registered with this status and reason.
func (r *Registry) Says(name string, s Status, reason string) bool {
	d := r.find(name)
	return d != nil && d.Status == s && d.Reason == reason
}

// Problems returns how many devices other than problem-notification are in problem, and the first of them.
func (r *Registry) Problems() (n int, first *Device) {
	for i := range r.devices {
		d := &r.devices[i]
		if d.Status != Problem || d.Name == ProblemNotification {
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
func (r *Registry) List() []Device {
	all := slices.Clone(r.devices)
	for i := range all {
		all[i].Reports = slices.Clone(all[i].Reports)
	}
	return all
}

func (r *Registry) find(name string) *Device {
	if i := place(name); i >= 0 && i < len(r.devices) && r.devices[i].Name == name {
		return &r.devices[i]
	}
	for i := range r.devices {
		if r.devices[i].Name == name {
			return &r.devices[i]
		}
	}
	return nil
}

// place is where NewRegistry puts the devices that are looked up in every Step of a machine, -1 for others: the order of meanings.
func place(name string) int {
	switch name {
	case ProblemNotification:
		return 0
	case InterfaceActiveCheck:
		return 2
	case FullSync:
		return 3
	case Policy:
		return 4
	case RecoveryDelay:
		return 7
	case Version:
		return 9
	case Config:
		return 10
	}
	return -1
}
