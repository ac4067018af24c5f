// SPDX-License-Identifier: Apache-2.0

package node

import (
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/history"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
)

// trace is the past of this member: what is shown of it, and what follows from it.
type trace struct {
	*history.Log
	*wallClock
	last  *control.Event // last change of this member's own state
	cause *control.Event // the last event that made or ended serving here
}

// openTrace reads what earlier daemons have kept.
func openTrace(dir string, wall *wallClock, self string, log *slog.Logger) *trace {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		log.Warn("which boot is this? The failover counter starts again", "error", err)
	}
	t := &trace{wallClock: wall, Log: history.Open(history.Options{Dir: dir, BootID: strings.TrimSpace(string(boot)), Booted: wall.at(0), Log: log})}
	for _, e := range t.Changes() {
		if e.Member == self {
			t.last = &e
		}
	}
	return t
}

// Counter is that of the history. A boot is when the wall clock now says that it was: at the boot itself it may not have been set yet.
func (t *trace) Counter() history.Counter {
	c := t.Log.Counter()
	if c.Why == history.WhyBoot {
		c.Since = t.at(0)
	}
	return c
}

// record tells operators what happened: log, event stream, receivers of notifications, history, metrics.
func (n *node) record(now int64, r members.Record) { n.recordBut(now, r, "") }

// recordBut is record, but the receiver of notifications called except is not told.
func (n *node) recordBut(now int64, r members.Record, except string) {
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
	switch {
	case n.journaled():
		level = n.log.Debug
	case r.Code.Severity() > members.SeverityInfo:
		level = n.log.Warn
	}
	level(ev.Code, logged(ev)...)
	ev = n.events.Publish(ev)
	n.notify.Notify(ev, except)
	if r.Code == members.CodeConflict {
		n.metrics.Conflict()
	}
	if r.From != r.To {
		n.trace.Change(ev)
	}
	if r.Code < 200 && r.From != r.To {
		n.trace.last = &ev
		n.metrics.StateChanged(ev.To)
		n.runOnChange(r)
	}
	if r.Code == members.CodeActive || r.Code == members.CodeYielded {
		n.trace.cause = &ev
	}
	// The machine remembers its last move only: look before the next one, whoever made it.
	if r.From != r.To && (serves(r.From) || serves(r.To)) {
		n.moved(n.machine.View(now))
	}
}

// logged are the keys and values of an event in the log: those that it has.
func logged(ev control.Event) []any {
	all := []any{"member", ev.Member}
	add := func(key string, value any, has bool) {
		if has {
			all = append(all, key, value)
		}
	}
	add("from", ev.From, ev.From != "")
	add("to", ev.To, ev.To != "")
	add("term", ev.Term, ev.Term != 0)
	add("interface", ev.Interface, ev.Interface != "")
	add("device", ev.Device, ev.Device != "")
	add("gap_ms", ev.GapMs, ev.GapMs != 0)
	return append(all, "reason", ev.Reason)
}

func serves(s members.State) bool {
	return s == members.StateActive || s == members.StateActiveAttention
}

// say tells operators of something that is not the machine's.
func (n *node) say(code members.Code, reason string) { n.sayBut(code, reason, "") }

// sayBut is say, but the receiver of notifications called except is not told.
func (n *node) sayBut(code members.Code, reason, except string) {
	state := members.StateInit // which one does not matter: nothing changes
	n.recordBut(bpf.Boottime(), members.Record{Code: code, From: state, To: state, Reason: reason, Peer: members.Nobody}, except)
}

// historyReport tells that the disk refuses the history, or takes it again.
func (n *node) historyReport(r history.Report) {
	code := members.CodeHistoryWell
	if r.Failed {
		code = members.CodeHistoryFailed
	}
	n.metrics.HistoryWritable(!r.Failed)
	n.say(code, r.Reason)
}

// kindUnseen is a hand-over that happened while this daemon was not there to see it.
const kindUnseen = "unseen"

// moved notices that serving has moved, by the machine's own count.
func (n *node) moved(v members.View) {
	if v.LastFailover.At == 0 || v.LastFailover.At == n.due.lastMove {
		return
	}
	if v.LastFailover.To == v.Self && n.serve.openedBy != 0 {
		return // the gate is about to open, and then says how long that took
	}
	n.due.lastMove = v.LastFailover.At
	m := v.LastFailover
	f := control.Failover{Time: n.trace.at(m.At), From: n.name(m.From), To: n.name(m.To), Kind: kind(v, m), Reason: m.Reason, GapMs: ms(m.Gap)}
	if m.From == members.Nobody && m.Cause == 0 { // what a daemon sees that has just started
		switch was := n.trace.Counter().Server; was {
		case "":
		case f.To:
			return
		default:
			f.From, f.Kind, f.Reason = was, kindUnseen, f.To+" serves: it took over while this daemon was not running"
		}
	}
	if m.To != members.Nobody {
		f.Term = v.Members[m.To].Term
	}
	if m.To == v.Self {
		f.Term, f.TakeoverMs = v.Term, ms(n.serve.took)
	}
	n.blame(&f, v, m)
	n.trace.Failover(f)
	if m.To == v.Self {
		n.metrics.Failover(f.Kind)
		n.metrics.Gap(m.Gap)
	}
}

// blame fills in what caused a hand-over: a peer, and of the member that served before, the device and the interface.
func (n *node) blame(f *control.Failover, v members.View, m members.Move) {
	if c := n.trace.cause; c != nil && (m.To == v.Self || m.From == v.Self) && time.Duration(m.At-c.BootNs).Abs() < time.Second {
		f.Peer, f.Device, f.Interface = c.Peer, c.Device, c.Interface
	}
	if f.Kind != members.CauseDevice.String() || f.Device != "" || m.From == members.Nobody {
		return
	}
	if m.From != v.Self {
		f.Device, f.Interface = blamePeer(v, m.From, n.wire.told[m.From])
		return
	}
	for _, d := range v.Devices {
		if d.Status == device.Problem && d.Name != device.ProblemNotification {
			f.Device = d.Name
			break
		}
	}
	for _, i := range v.Interfaces {
		if f.Device == device.InterfaceActiveCheck && i.Problem != "" {
			f.Interface = i.Name
			break
		}
	}
}

// blamePeer returns the device and the interface that a peer told to be in problem first. Older members tell of problem-notification
// as well, which only sums up.
func blamePeer(v members.View, from uint8, told *ccp.Hello) (dev, iface string) {
	for _, d := range v.Members[from].Problems {
		if d.Status == device.Problem && d.Name != device.ProblemNotification {
			dev = d.Name
			break
		}
	}
	if dev != device.InterfaceActiveCheck || told == nil {
		return dev, ""
	}
	for _, t := range told.Interfaces {
		for _, i := range v.Interfaces {
			if t.Problem && i.Slot == t.Slot {
				return dev, i.Name
			}
		}
	}
	return dev, ""
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
