// SPDX-License-Identifier: Apache-2.0

package members

import "github.com/holdfast-project/holdfast/members/device"

// Device returns the critical device of this name. Other than View it copies nothing else, so that it may be asked for each report of
// a program.
func (m *Machine) Device(name string) (device.Device, bool) { return m.devices.Get(name) }

// DeviceCount returns how many critical devices there are, the built-in ones included.
func (m *Machine) DeviceCount() int { return m.devices.Len() }

// OpenedFor returns why this member claimed when it opened its gate last, 0 if it has not.
func (m *Machine) OpenedFor() Cause { return m.openedFor }
