// SPDX-License-Identifier: Apache-2.0

package node

import (
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/members"
)

// keepFailovers bounds the history that `holdfast failover history` shows.
const keepFailovers = 200

// history is what the operator can read of the past of this run.
type history struct {
	wall      time.Time // wall clock at boot time 0
	failovers []control.Failover
	number    uint64
	count     uint64
	since     time.Time
	why       string
	last      *control.Event // last change of this member's own state
}

func newHistory(wall time.Time) *history {
	return &history{wall: wall, since: time.Now(), why: "start of the daemon"}
}

// at is when something that happened at the boot time ns was by the clock on the wall.
func (h *history) at(ns int64) time.Time { return h.wall.Add(time.Duration(ns)) }

func (h *history) failover(f control.Failover) {
	h.number++
	h.count++
	f.Number = h.number
	h.failovers = append(h.failovers, f)
	if len(h.failovers) > keepFailovers {
		h.failovers = slices.Delete(h.failovers, 0, len(h.failovers)-keepFailovers)
	}
}

func (h *history) reset(counter, past bool) {
	if counter {
		h.count, h.since, h.why = 0, time.Now(), "reset"
	}
	if past {
		h.failovers = nil
	}
}

// record tells operators what happened: log, event stream, history, metrics.
func (n *node) record(now int64, r members.Record) {
	ev := control.Event{
		Time: n.trace.at(now), BootNs: now, Code: r.Code.String(), Number: uint16(r.Code), Severity: r.Code.Severity().String(),
		Device: r.Device, Interface: r.Iface, Term: r.Term, Reason: r.Reason, GapMs: ms(r.Gap), Member: n.local.Self.Name,
	}
	if r.Peer != members.Nobody {
		ev.Peer = n.name(r.Peer)
		if r.Code > members.CodePeerHeard-1 && r.Code < 400 { // the peers' own: their states, not this member's
			ev.Member = ev.Peer
		}
	}
	if r.From != r.To {
		ev.From, ev.To = r.From.String(), r.To.String()
	}
	level := n.log.Info
	if ev.Severity == "warning" || ev.Severity == "error" {
		level = n.log.Warn
	}
	level(ev.Code, "member", ev.Member, "from", ev.From, "to", ev.To, "term", ev.Term, "interface", ev.Interface, "device", ev.Device, "gap_ms", ev.GapMs, "reason", ev.Reason)
	ev = n.events.Publish(ev)
	if r.Code == members.CodeConflict {
		n.metrics.Conflict()
	}
	if r.Code == members.CodeActive || r.Code == members.CodeYielded {
		n.moved(n.machine.View(now))
	}
	if r.Code < 200 && r.From != r.To {
		n.trace.last = &ev
		n.metrics.StateChanged(ev.To)
	}
}

// moved notices that serving has moved, by the machine's own count.
func (n *node) moved(v members.View) {
	if v.LastFailover.At == 0 || v.LastFailover.At == n.due.lastMove {
		return
	}
	n.due.lastMove = v.LastFailover.At
	m := v.LastFailover
	f := control.Failover{Time: n.trace.at(m.At), Kind: kind(v, m), Reason: m.Reason, GapMs: ms(m.Gap)}
	if m.To != members.Nobody {
		f.Term = v.Members[m.To].Term
	}
	if m.To == v.Self {
		f.Term, f.TakeoverMs = v.Term, ms(n.serve.took)
	}
	if m.From != members.Nobody {
		f.From = n.name(m.From)
	}
	if m.To != members.Nobody {
		f.To = n.name(m.To)
	}
	n.trace.failover(f)
	if m.To == v.Self || m.From == v.Self {
		n.metrics.Failover(f.Kind)
	}
	if m.To == v.Self {
		n.metrics.Gap(m.Gap)
	}
}

// kind is why serving moved. Whoever took over knows it; others conclude it from the state of the member that served before.
func kind(v members.View, m members.Move) string {
	if m.Cause != 0 {
		return m.Cause.String()
	}
	if m.From == members.Nobody {
		return members.CauseBoot.String()
	}
	if v.ForcedTo == m.To {
		return members.CauseForced.String()
	}
	switch v.Members[m.From].State {
	case members.StateLost:
		return members.CauseSilence.String()
	case members.StateDown:
		return members.CauseDevice.String()
	}
	return members.CauseVacant.String()
}

func (n *node) name(member uint8) string {
	if int(member) < len(n.cfg.Members) {
		return n.cfg.Members[member].Name
	}
	return ""
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
