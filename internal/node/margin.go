// SPDX-License-Identifier: Apache-2.0

package node

import (
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/metrics"
	"github.com/holdfast-project/holdfast/internal/pulse"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/margin"
)

// marginTimers are the timers that lateness eats into, the same on all members.
func (n *node) marginTimers() margin.Timers {
	t := n.cfg.Timers
	return margin.Timers{Probe: t.Probe, Dead: t.Dead, Soft: t.Soft}
}

// judgeMargins feeds the last second of this member and of the peers that are heard to their judges, and says what has changed of the
// own one. A peer says it itself.
func (n *node) judgeMargins(now int64, v *members.View) {
	t, self := n.marginTimers(), n.local.Self.ID
	for _, r := range append(n.judges[self].Take(t, n.ownSample()), n.forgetLost(v)...) {
		code := members.CodeMarginWell
		if r.Thin {
			code = members.CodeMarginThin
		}
		n.record(now, members.Record{Code: code, Reason: r.String(), Peer: members.Nobody})
	}
	n.metrics.SetLoad(n.local.Self.Name, metricLoad(n.wire.load()))
	for _, m := range n.local.Peers {
		told := n.wire.told[m.ID]
		if told == nil || v.Members[m.ID].State == members.StateLost || time.Duration(now-n.wire.newest[m.ID].at) > loadFresh {
			n.judges[m.ID] = margin.Judge{} // what it was is no word about what it is
			n.metrics.ForgetLoad(m.Name)
			continue
		}
		n.judges[m.ID].Take(t, peerSample(told.Load))
		n.metrics.SetLoad(m.Name, metricLoad(told.Load))
	}
	for id := range n.cfg.Members {
		for _, r := range n.judges[id].Readings() {
			if uint8(id) == self || r.Kind != margin.Answers { // which a peer does not tell
				n.metrics.SetMargin(n.name(uint8(id)), r.Kind.Timer(), r.Kind.Measure(), float64(r.Used)/100)
			}
		}
	}
}

// forgetLost drops the margins of members that are lost, and slow answers of paths that are silent: they are no word about what is left. It
// returns the own readings whose verdict changes by that.
func (n *node) forgetLost(v *members.View) []margin.Reading {
	for _, m := range n.local.Peers {
		if v.Members[m.ID].State == members.StateLost {
			n.judges[m.ID] = margin.Judge{}
		}
	}
	var changed []margin.Reading
	for key := range n.silent {
		changed = append(changed, n.judges[n.local.Self.ID].Ended(n.pathName(key))...)
	}
	return changed
}

// pathName is the way to a peer by an interface, for people.
func (n *node) pathName(key [2]uint8) string { return n.name(key[0]) + " on " + n.ports[key[1]].Name }

// loadFresh is how old a peer's HELLO may be for its load to count: it tells one of the last second.
const loadFresh = 2 * time.Second

func metricLoad(l ccp.Load) metrics.Load {
	s := peerSample(l)
	return metrics.Load{CPU: float64(l.CPUPermille) / 1000, ProbeJitter: s.Probe, LeaseDelay: s.Lease, SoftirqDelay: s.Softirq}
}

// ownSample is what the pulse has measured in the last second.
func (n *node) ownSample() margin.Sample {
	s := margin.Sample{Probe: n.stats.WorstLate, Lease: n.leaseDelay(), Softirq: n.stats.Softirq}
	for key, l := range n.paths {
		if slow := slowShare(l); slow > s.Slow && !n.silent[key] {
			s.Slow, s.Path = slow, n.pathName(key)
		}
	}
	return s
}

// leaseDelay is by how much the worst renewal of the last second was late.
func (n *node) leaseDelay() time.Duration { return max(0, n.stats.WorstRenewal-n.cfg.Timers.Probe) }

// slowShare is how many of 1000 answers of the last second took longer than a probe interval.
func slowShare(l pulse.LinkStats) int {
	if l.AnswersLastSecond == 0 {
		return 0
	}
	return int(l.SlowAnswers * 1000 / l.AnswersLastSecond)
}

func peerSample(l ccp.Load) margin.Sample {
	us := func(v uint32) time.Duration { return time.Duration(v) * time.Microsecond }
	return margin.Sample{Probe: us(l.ProbeJitterUs), Lease: us(l.LeaseDelayUs), Softirq: us(l.SoftirqUs)}
}

// thinMargins says, in words, which timers have little room, on this member and on the peers that tell.
func (n *node) thinMargins() []string {
	var thin []string
	for id := range n.cfg.Members {
		for _, r := range n.judges[id].Worst() {
			thin = append(thin, n.name(uint8(id))+": "+r.String())
		}
	}
	if n.stats.Ticks > 0 && !n.stats.Realtime {
		thin = append(thin, n.local.Self.Name+": the pulse has no real-time priority on this machine, which the timer dead relies on")
	}
	return thin
}

// marginViews are all margins, for people and programs.
func (n *node) marginViews() []control.Margin {
	var all []control.Margin
	for id := range n.cfg.Members {
		for _, r := range n.judges[id].Readings() {
			if uint8(id) != n.local.Self.ID && r.Kind == margin.Answers {
				continue
			}
			all = append(all, control.Margin{Member: n.name(uint8(id)), Timer: r.Kind.Timer(), Measure: r.Kind.Measure(),
				ValueMs: ms(r.Value), LimitMs: ms(r.Limit), UsedPercent: r.Used, Thin: r.Thin})
		}
	}
	return all
}
