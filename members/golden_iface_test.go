// SPDX-License-Identifier: Apache-2.0

package members_test

import (
	"slices"
	"strings"

	"github.com/holdfast-project/holdfast/members"
)

// interfaces takes from a cluster command what is special about its interfaces.
func (s *script) interfaces(w []string, c *members.Config) {
	c.Interfaces = slices.Clone(c.Interfaces) // all members' at first
	if private := option(w, "private"); private != "" {
		f := &c.Interfaces[s.iface(private)]
		f.Private, f.Cluster = true, false
	}
	if targets := option(w, "targets"); targets != "" {
		for name := range strings.SplitSeq(targets, ",") {
			c.Interfaces[s.iface(name)].Targets = true
		}
	}
	if groups := option(w, "groups"); groups != "" {
		parts := strings.Split(groups, ":")
		g := members.Group{Name: parts[0], MinUp: s.number(parts[2])}
		for name := range strings.SplitSeq(parts[1], "+") {
			g.Slots = append(g.Slots, s.iface(name))
		}
		c.Groups = []members.Group{g}
	}
}
