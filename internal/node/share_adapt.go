// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"strings"

	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/members"
)

// adapt lets weights follow the measured load of the members' processors, if that is configured. It is called once a second, at every
// member, on the figures that all have from HELLOs: a new leader goes on about where the former one was.
func (n *node) adapt(now int64) {
	s := &n.share
	if !n.cfg.LoadSharing.Adaptive {
		if s.adaptive != nil {
			s.adaptive = nil
			n.shareStep(now, steer.Adapted{})
		}
		return
	}
	if every := n.cfg.LoadSharing.AdaptiveInterval; s.adaptive == nil || s.adaptEvery != every {
		config := steer.DefaultAdaptive()
		if every != 0 {
			config = config.Every(every)
		}
		s.adaptive, s.adaptEvery = steer.NewAdaptive(config), every
	}
	if !s.adaptive.Sample(now, n.measuredLoad()) {
		return
	}
	n.shareStep(now, steer.Adapted{Factor: s.adaptive.Factors()})
	if s.told.Leads != 0 {
		n.say(members.CodeWeightsChanged, "by the measured load weights are "+n.adaptedText(s.agreement.Weights()))
	}
}

// measuredLoad is what is known of those who take a part of the traffic.
func (n *node) measuredLoad() (load [steer.Members]steer.Load) {
	s := &n.share
	takes, _ := s.table.Takes()
	for _, m := range n.cfg.Members {
		switch told := n.wire.told[m.ID]; {
		case takes[m.ID] == 0:
		case m.ID == n.local.Self.ID:
			load[m.ID] = steer.Load{Known: true, CPU: n.cpu.permille}
		case told != nil && s.peers[m.ID].Heard:
			load[m.ID] = steer.Load{Known: true, CPU: told.Load.CPUPermille}
		}
	}
	return load
}

// adapted is a member's weight as measured load has changed it.
func (n *node) adapted(weight uint16, id uint8) uint16 {
	a := n.share.adaptive
	if a == nil || weight == 0 {
		return weight
	}
	return uint16(max(1, (uint32(weight)*uint32(a.Factors()[id])+500)/1000)) //nolint:gosec // at most twice the weight
}

func (n *node) adaptedText(w [steer.Members]uint16) string {
	var all []string
	for _, m := range n.cfg.Members {
		all = append(all, fmt.Sprintf("%s %d", m.Name, n.adapted(w[m.ID], m.ID)))
	}
	return strings.Join(all, ", ")
}
