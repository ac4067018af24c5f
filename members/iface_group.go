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

// interfaceProblem names the failed interfaces and the groups with too few that are well.
func (m *Machine) interfaceProblem() string {
	all, last := "", ""
	add := func(text string) {
		switch {
		case text == "" || text == last: // isolation is the same for all
		case all == "":
			all, last = text, text
		default:
			all, last = all+"; "+text, text
		}
	}
	for i := range m.ifaces {
		if f := &m.ifaces[i]; m.groupOf(f.Slot) == nil {
			add(f.problem)
		}
	}
	for k := range m.groups {
		add(m.groupProblem(&m.groups[k]))
	}
	return all
}

// failedInterfaces counts what has failed on this member's side: interfaces, and groups as one each.
func (m *Machine) failedInterfaces() int {
	n := 0
	for i := range m.ifaces {
		if f := &m.ifaces[i]; f.problem != "" && m.groupOf(f.Slot) == nil {
			n++
		}
	}
	for k := range m.groups {
		if m.groupProblem(&m.groups[k]) != "" {
			n++
		}
	}
	return n
}

// failedAt counts the same for a peer, by what it tells.
func (m *Machine) failedAt(p *peer) int {
	n := 0
	for i := range p.hello.Interfaces {
		if v := &p.hello.Interfaces[i]; v.Problem && m.groupOf(v.Slot) == nil {
			n++
		}
	}
	for k := range m.groups {
		if m.groupShort(p, &m.groups[k]) {
			n++
		}
	}
	return n
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
