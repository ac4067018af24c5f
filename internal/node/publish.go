// SPDX-License-Identifier: Apache-2.0

package node

import (
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/pulse"
	"github.com/holdfast-project/holdfast/members/gate"
)

// publish brings history and metrics up to the machine's view, once a second.
func (n *node) publish(now int64) {
	v := n.machine.View(now)
	n.moved(v)
	for _, m := range v.Members {
		n.metrics.SetState(m.Name, n.shownState(&v, m.ID))
		n.metrics.SetTerm(m.Name, m.Term)
	}
	bits := n.words.Serving(gateway, now)
	n.metrics.SetServing(bits&gate.Answer != 0, bits&gate.Forward != 0)
	n.metrics.SetFence(gateway, n.words.Fence(gateway).Term)
	for _, d := range v.Devices {
		n.metrics.SetDevice(d.Name, d.Status.String())
	}
	for _, i := range v.Interfaces {
		n.metrics.SetInterface(i.Name, i.Carrier && i.Problem == "")
	}
	for key, h := range n.heard {
		n.metrics.SetSilence(n.name(key[0]), n.ports[key[1]].Name, time.Duration(now-h.At))
	}
	n.publishMonitors()
	n.publishSync(now)
	n.publishShare(now, &v)
	n.publishPolicy(&v)
	n.publishCounters()
	n.judgeMargins(now, &v)
}

// publishCounters reads counters that live in the kernel and in other tasks.
func (n *node) publishCounters() {
	if counters, err := n.gate.Counters(); err != nil {
		n.log.Debug("read the gate's counters", "error", err)
	} else {
		byName := make(map[string]uint64, len(counters))
		for c, v := range counters {
			byName[c.String()] = v
		}
		n.metrics.SetGateCounters(byName)
		now := bpf.Boottime()
		n.shareSample(now, counters)
		for counter, drop := range map[bpf.Counter]ccp.DropReason{bpf.FrameKey: ccp.DropKey, bpf.FrameTag: ccp.DropTag, bpf.FrameVersion: ccp.DropVersion} {
			n.wire.strange.dropped(now, drop, counters[counter])
		}
		n.metrics.SetFrames("probe", "in", counters[bpf.ProbeAnswered])
		n.metrics.SetFrames("reply", "in", counters[bpf.ReplyPassed])
		n.metrics.SetFrames("yield", "in", counters[bpf.YieldGranted]+counters[bpf.YieldRefused])
		n.metrics.SetYields("granted", counters[bpf.YieldGranted])
		n.metrics.SetYields("refused", counters[bpf.YieldRefused])
	}
	a := n.announcer.Counters()
	for kind, v := range map[string]uint64{"vmac": a.Beacons, "garp": a.ARPRequests + a.ARPReplies, "na": a.NeighbourAdverts, "ra": a.RouterAdverts} {
		n.metrics.SetAnnouncements(kind, v)
	}
	n.wire.publish(n.metrics)
	n.metrics.SetEventsDropped(n.events.Missed())
	n.publishNotify()
	n.cpu.sample()
}

// pulseStats takes the pulse's report of the last second.
func (n *node) pulseStats(s pulse.Stats) {
	renewals := s.Renewals - min(n.stats.Renewals, s.Renewals)
	n.metrics.AddRenewals(renewals, max(0, s.WorstRenewal-n.cfg.Timers.Probe))
	n.metrics.PulseLateness(s.WorstLate)
	n.metrics.SoftirqDelay(s.Softirq)
	for _, l := range s.Links {
		key := [2]uint8{l.Peer, l.Slot}
		old := n.paths[key]
		if old.Sent > l.Sent { // another pulse, which counts from zero
			old = pulse.LinkStats{}
		}
		member, iface := n.name(l.Peer), n.ports[l.Slot].Name
		n.metrics.AddProbes(member, iface, l.Sent-old.Sent, l.Answered-old.Answered)
		counts := make([]uint64, len(l.RTT.Buckets))
		for i := range counts {
			counts[i] = l.RTT.Buckets[i] - old.RTT.Buckets[i]
		}
		n.metrics.AddRTT(member, iface, pulse.RTTBounds[:], counts, l.RTT.Sum-old.RTT.Sum)
		n.paths[key] = l
	}
	probes := uint64(0)
	for _, l := range s.Links {
		probes += l.Sent
	}
	n.metrics.SetFrames("probe", "out", probes)
	for d := range s.Dropped {
		n.metrics.SetDrops("pulse-"+pulse.Drop(d).String(), s.Dropped[d])
	}
	n.stats = s
}
