// SPDX-License-Identifier: Apache-2.0

package members

import "github.com/holdfast-project/holdfast/members/device"

// faultyIface names the interface behind a problem of dev, "" if dev is not about interfaces or none is at fault.
func (m *Machine) faultyIface(dev string) string {
	if dev != device.InterfaceActiveCheck {
		return ""
	}
	for i := range m.ifaces {
		if m.ifaces[i].problem != "" {
			return m.ifaces[i].Name
		}
	}
	return ""
}
