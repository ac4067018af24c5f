// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
)

// Local is what cluster.yaml means on one member: itself, its peers, and its own paths with the placeholders filled in.
type Local struct {
	Self     Member
	Peers    []Member // all other members, in priority order
	Socket   string
	StateDir string
	PinDir   string
	Listen   string // metrics; "" for none
}

// For returns the member-local view for the member called name. It fails if the file has no such member.
func (c *Cluster) For(name string) (Local, error) {
	var l Local
	found := false
	names := make([]string, 0, len(c.Members))
	for _, m := range c.Members {
		names = append(names, m.Name)
		if m.Name == name {
			l.Self, found = m, true
			continue
		}
		l.Peers = append(l.Peers, m)
	}
	if !found {
		return Local{}, fmt.Errorf("member %q is not in %s: it has %s; start with -member NAME of one of them",
			name, c.Path, strings.Join(names, ", "))
	}
	expand := strings.NewReplacer("{cluster}", c.Name, "{member}", name).Replace
	l.Socket, l.StateDir, l.PinDir = expand(c.Control.Socket), expand(c.StateDir), expand(c.PinDir)
	l.Listen = c.Metrics.Listen
	if l.Self.Metrics != nil {
		l.Listen = l.Self.Metrics.Listen
	}
	return l, nil
}

// Interface returns the interface called name.
func (c *Cluster) Interface(name string) (Interface, bool) {
	for _, i := range c.Interfaces {
		if i.Name == name {
			return i, true
		}
	}
	return Interface{}, false
}
