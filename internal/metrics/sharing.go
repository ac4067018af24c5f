// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Sharing is what a member shows of load sharing.
type Sharing struct {
	Term, Moving, Unassigned int  // of the table of slots that it goes by
	Settled                  bool // see control.LoadTable
	Blocking                 bool // it drops packets of new connections
	Members                  map[string]SharingMember
	// Packets are this member's own counters by what became of them, as the control API calls that; Bytes those that it took.
	Packets map[string]uint64
	Bytes   uint64
}

// SharingMember is one member's share.
type SharingMember struct {
	Leader, Open       bool
	Weight, Configured uint16
	Share              float64 // of all slots, 0 to 1
	Measured           float64 // of all packets, 0 to 1; negative: not known
}

// sharingSeries are the series of load sharing. There are none of them in mode ha.
type sharingSeries struct {
	leader, open, weight, configured, share, measured *prometheus.GaugeVec
	term, moving, unassigned, settled, blocking       *prometheus.GaugeVec
	packets, bytes                                    *totals
}

func (m *Metrics) loadSharing(gauge newGauge, reg prometheus.Registerer) {
	s := &m.sharing
	s.leader = gauge(NameLoadLeader, "Whether a member leads: it makes the tables of slots and answers for the virtual addresses; in unicast it is the pivot.", "member")
	s.open = gauge(NameLoadOpen, "Whether a member's gate takes its share of the traffic.", "member")
	s.weight = gauge(NameLoadWeight, "Weight of a member that is in force.", "member")
	s.configured = gauge(NameLoadConfigured, "Weight of a member by configuration, or its default.", "member")
	s.share = gauge(NameLoadShare, "Part of all slots that a member takes.", "member")
	s.measured = gauge(NameLoadMeasured, "Part of all packets that a member took lately.", "member")
	s.term = gauge(NameLoadTerm, "Term of the table of slots that this member goes by; 0 is none.")
	s.moving = gauge(NameLoadMoving, "Slots on their way from one member to another.")
	s.unassigned = gauge(NameLoadUnassigned, "Slots that no member takes: their packets are dropped.")
	s.settled = gauge(NameLoadSettled, "Whether every slot has a taker, none moves, and all who take some have confirmed the table.")
	s.blocking = gauge(NameLoadBlocking, "Whether this member drops packets of new connections because state synchronisation is at risk.")
	s.packets = newTotals(NameLoadPackets, "Packets of shared load on this member by what became of them "+
		"(taken, passed, corrected, passed-in, duplicate, unknown, foreign).", "what")
	s.bytes = newTotals(NameLoadBytes, "Bytes of the packets that this member took.")
	reg.MustRegister(s.packets, s.bytes)
}

// SetSharing shows how the load is shared.
func (m *Metrics) SetSharing(v Sharing) {
	if m == nil {
		return
	}
	s := &m.sharing
	for name, i := range v.Members {
		s.leader.WithLabelValues(name).Set(oneIf(i.Leader))
		s.open.WithLabelValues(name).Set(oneIf(i.Open))
		s.weight.WithLabelValues(name).Set(float64(i.Weight))
		s.configured.WithLabelValues(name).Set(float64(i.Configured))
		s.share.WithLabelValues(name).Set(i.Share)
		if i.Measured >= 0 {
			s.measured.WithLabelValues(name).Set(i.Measured)
		} else {
			s.measured.DeleteLabelValues(name)
		}
	}
	s.term.WithLabelValues().Set(float64(v.Term))
	s.moving.WithLabelValues().Set(float64(v.Moving))
	s.unassigned.WithLabelValues().Set(float64(v.Unassigned))
	s.settled.WithLabelValues().Set(oneIf(v.Settled))
	s.blocking.WithLabelValues().Set(oneIf(v.Blocking))
	for what, n := range v.Packets {
		s.packets.set(n, what)
	}
	s.bytes.set(v.Bytes)
}

// withoutPivot is a state as the label has it: that a member is the pivot is told by another series.
func withoutPivot(state string) string {
	return strings.NewReplacer("(P)", "", "(!P)", "(!)").Replace(state)
}
