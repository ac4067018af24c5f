// SPDX-License-Identifier: Apache-2.0

package members

import "fmt"

// group is a Group and what was last said of it.
type group struct {
	Group
	well  int
	first string // the first problem in it
	words string
}

// formGroups takes the configured groups over.
func (m *Machine) formGroups() {
	m.groups = m.groups[:0]
	for _, g := range m.cfg.Groups {
		m.groups = append(m.groups, group{Group: g, well: -1})
	}
}

// groupOf returns the group that the interface is in, nil if it counts by itself.
func (m *Machine) groupOf(slot uint8) *group {
	for k := range m.groups {
		for _, s := range m.groups[k].Slots {
			if s == slot {
				return &m.groups[k]
			}
		}
	}
	return nil
}

func (m *Machine) groupName(slot uint8) string {
	if g := m.groupOf(slot); g != nil {
		return g.Name
	}
	return ""
}

// interfaceProblem names the first failed interface, or the first group with too few that are well.
func (m *Machine) interfaceProblem() string {
	for i := range m.ifaces {
		if f := &m.ifaces[i]; f.problem != "" && m.groupOf(f.Slot) == nil {
			return f.problem
		}
	}
	for k := range m.groups {
		if text := m.groupProblem(&m.groups[k]); text != "" {
			return text
		}
	}
	return ""
}

// groupProblem says in words that fewer interfaces of the group are well than it needs.
func (m *Machine) groupProblem(g *group) string {
	well, first := 0, ""
	for _, slot := range g.Slots {
		switch i := m.ifaceIndex(slot); {
		case i < 0:
		case m.ifaces[i].problem == "":
			well++
		case first == "":
			first = m.ifaces[i].problem
		}
	}
	if well == g.well && first == g.first {
		return g.words
	}
	g.well, g.first, g.words = well, first, ""
	if well < g.MinUp {
		g.words = fmt.Sprintf("group %s: %d of %d interfaces well, needs %d: %s", g.Name, well, len(g.Slots), g.MinUp, first)
	}
	return g.words
}

// wellHere reports whether an interface of this member is well.
func (m *Machine) wellHere(slot uint8) bool {
	i := m.ifaceIndex(slot)
	return i >= 0 && m.ifaces[i].problem == ""
}

func (m *Machine) groupViews() []GroupView {
	var all []GroupView
	for k := range m.groups {
		g := &m.groups[k]
		problem := m.groupProblem(g)
		all = append(all, GroupView{Name: g.Name, MinUp: g.MinUp, Well: g.well, Problem: problem})
	}
	return all
}
