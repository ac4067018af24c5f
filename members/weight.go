// SPDX-License-Identifier: Apache-2.0

package members

import (
	"strconv"
	"strings"

	"github.com/holdfast-project/holdfast/members/device"
)

// Weights of problems: a member with the smaller sum is the better one if all are broken. A problem weighs
// what the configuration says, 1 if it says nothing, and a failed interface each that much. Some problems
// outweigh any number of those: such a member goes only if no other is left.
const (
	weightProblem   = 1
	weightOrdinary  = 1<<12 - 1 // what all ordinary problems together weigh at most
	weightAdminDown = 1 << 12   // the operator may have opened the box
	weightNoTraffic = 1 << 13   // passes none: it has no policy, or no cluster interface works
	weightStopping  = 1 << 14
)

// weighing is what the sum of the own problems was reckoned from.
type weighing struct {
	changes, interfaces int
	stopping, cutOff    bool
}

// weight is the sum of this member's problems, 0 if it is well.
func (m *Machine) weight() int {
	now := weighing{changes: m.devices.Changes, interfaces: m.failedInterfaces(), stopping: m.stopping, cutOff: m.cutOff()}
	if now == m.weighed {
		return m.sum
	}
	m.weighed = now
	ordinary, special := 0, 0
	if m.stopping {
		special = weightStopping
	}
	if now.cutOff {
		special |= weightNoTraffic
	}
	for i := range m.devices.Len() {
		if d := m.devices.At(i); d.Status == device.Problem {
			o, s := m.deviceWeight(d.Name, now.interfaces)
			ordinary, special = ordinary+o, special|s
		}
	}
	m.sum = min(ordinary, weightOrdinary) + special
	return m.sum
}

// weigh reckons the sum of a peer's problems from what it tells of them, and puts them into words.
func (m *Machine) weigh(p *peer) {
	ordinary, special, interfaces := 0, 0, m.failedAt(p)
	for i := range p.hello.Devices {
		if d := &p.hello.Devices[i]; d.Status == device.Problem {
			o, s := m.deviceWeight(d.Name, interfaces)
			ordinary, special = ordinary+o, special|s
		}
	}
	if p.hello.Stopping {
		special |= weightStopping
	}
	if m.peerCutOff(p) {
		special |= weightNoTraffic
	}
	sum := min(ordinary, weightOrdinary) + special
	if p.hello.Weight != 0 { // the list may be cut short
		sum = p.hello.Weight | special&weightStopping
	}
	if p.hello.State == StateDown || p.hello.State == StateActiveAttention {
		sum = max(sum, weightProblem) // it says so, whatever it tells of
	}
	if sum != p.weight {
		p.weight, p.weightAt = sum, m.now
	}
	p.problems = problemsText(p.hello.Devices, int(p.hello.Omitted))
}

// deviceWeight is what a problem of a device weighs among ordinary ones, and beyond them.
func (m *Machine) deviceWeight(name string, interfaces int) (ordinary, special int) {
	switch name {
	case device.ProblemNotification, device.InitDevice:
		return 0, 0
	case device.AdminDown:
		return 0, weightAdminDown
	case device.Policy:
		return 0, weightNoTraffic
	}
	w := weightProblem
	if c, ok := m.cfg.Weights[name]; ok {
		w = min(max(c, weightProblem), MaxWeight)
	}
	if name == device.InterfaceActiveCheck {
		w *= max(interfaces, 1)
	}
	return w, 0
}

// manyProblems is how many problems a reason names one by one.
const manyProblems = 8

// reasons joins the texts of problems: all of them, within reason.
type reasons struct {
	list []string
	more int
}

func (r *reasons) add(name, reason string) {
	if len(r.list) == manyProblems {
		r.more++
		return
	}
	r.list = append(r.list, deviceText(name, reason))
}

func (r *reasons) String() string {
	s := strings.Join(r.list, "; ")
	if r.more > 0 {
		s += "; and " + strconv.Itoa(r.more) + " more"
	}
	return s
}

// problemText names the member's problems.
func (m *Machine) problemText() string {
	var r reasons
	if m.stopping {
		r.list = append(r.list, "its daemon stops")
	}
	for i := range m.devices.Len() {
		if d := m.devices.At(i); d.Status == device.Problem && d.Name != device.ProblemNotification {
			r.add(d.Name, d.Reason)
		}
	}
	return r.String()
}

// problemsText names the problems of a member that are told about in a HELLO.
func problemsText(d []DeviceView, omitted int) string {
	r := reasons{more: omitted}
	for i := range d {
		if d[i].Status == device.Problem && d[i].Name != device.ProblemNotification {
			r.add(d[i].Name, d[i].Reason)
		}
	}
	if len(r.list) == 0 {
		return "it says DOWN"
	}
	return r.String()
}

func deviceText(name, reason string) string {
	if reason == "" {
		return name
	}
	return name + ": " + reason
}

// problemDevice names the device of the member's first problem.
func (m *Machine) problemDevice() string {
	for i := range m.devices.Len() {
		if d := m.devices.At(i); d.Status == device.Problem && d.Name != device.ProblemNotification {
			return d.Name
		}
	}
	return ""
}
