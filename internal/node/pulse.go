// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/internal/pulse"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/gate"
)

// pulseBatch is how many of the pulse's events one Step takes at most.
const pulseBatch = 64

// pulseEvents gives the machine ev and all that lies behind it: after a stall of this process the news that a peer is silent may lie
// before the news that it is heard again. If the pulse has ended (ok is false, or an event says so), another one is started; the error is
// that there can be none.
func (n *node) pulseEvents(ev pulse.Event, ok bool) error {
	var batch []members.Event
	more := n.pulse.Events()
	for taken := 1; ; taken++ {
		if died, is := ev.(pulse.Died); !ok || is {
			n.step(batch...)
			return n.pulseDied(died)
		}
		batch = n.pulseEvent(batch, ev)
		if taken == pulseBatch || len(more) == 0 {
			break
		}
		ev, ok = <-more
	}
	if len(batch) == 0 {
		n.shareFollow(bpf.Boottime())
		return nil
	}
	n.step(batch...)
	return nil
}

// pulseEvent translates what the pulse has learned and appends it to batch.
func (n *node) pulseEvent(batch []members.Event, ev pulse.Event) []members.Event {
	switch ev := ev.(type) {
	case pulse.Heard:
		key := [2]uint8{ev.Peer, ev.Slot}
		n.heard[key] = ev
		delete(n.silent, key)
		n.wire.gates[ev.Peer] = echo{ev.Incarnation, ev.Stamp, ev.At}
		n.shareReplied(ev.Peer, ev.At, &ev.Reply)
		return append(n.stuck(batch, n.ports[ev.Slot], false), heard(ev))
	case pulse.Silent:
		n.silent[[2]uint8{ev.Peer, ev.Slot}] = true
		// Where the kernel takes no frame of ours, the silence is our own fault: the interface is down, whatever its carrier says.
		batch = n.stuck(batch, n.ports[ev.Slot], ev.Unsent)
		return append(batch, members.Silent{Peer: ev.Peer, Iface: ev.Slot, Since: ev.Since})
	case pulse.Missed:
		n.lookAtLink(n.ports[ev.Slot])
		return append(batch, members.Missed{Peer: ev.Peer, Iface: ev.Slot, Since: ev.Since})
	case pulse.YieldReply:
		// Both the machine and the agreement about slots claim; each knows its own terms.
		if ev.Kind == ccp.YieldShare || ev.Kind == ccp.YieldClaim {
			n.shareReplied(ev.Peer, ev.At, &ev.Reply)
			n.shareStep(ev.At, steer.YieldResult{To: ev.Peer, Term: ev.Term, Granted: ev.Reply.Result == ccp.ResultGranted, Fence: ev.Reply.FenceTerm})
		}
		if ev.Kind == ccp.YieldShare { // the machine asks for nothing of that kind
			return batch
		}
		return append(batch, members.YieldResult{Peer: ev.Peer, Group: ev.Group, Term: ev.Term, Result: members.Result(ev.Reply.Result),
			FenceTerm: ev.Reply.FenceTerm, Grantee: ev.Reply.Grantee})
	case pulse.GateChanged:
		return append(batch, n.gateChanged(ev))
	case pulse.Health:
		if bpf.Boottime() >= n.due.early {
			n.due.state = n.due.early // what follows is the loop's tick
		}
		n.onTime = ev.OnTimeSince
		return append(batch, members.PulseHealth{OnTimeSince: ev.OnTimeSince})
	case pulse.Stats:
		n.pulseStats(ev)
	case pulse.Notice:
		n.log.Warn("pulse", "notice", ev.Code.String(), "slot", ev.Slot, "reason", ev.Text)
	}
	return batch
}

func heard(ev pulse.Heard) members.Heard {
	r := ev.Reply
	age := time.Duration(r.LeaseAgeMs) * time.Millisecond
	if r.LeaseAgeMs == ccp.NoLease {
		age = 0
	}
	return members.Heard{
		Peer: ev.Peer, Iface: ev.Slot, Group: r.Group, At: ev.At, RTT: ev.RTT, Incarnation: ev.Incarnation,
		Term: r.Term, LeaseAge: age,
		Serving: r.Bits&ccp.BitAnswer != 0, Forward: r.Bits&ccp.BitForward != 0, Alone: r.Bits&ccp.BitAlone != 0,
		HearsUs: r.Bits&ccp.BitHearsYou != 0, Restarting: r.Bits&ccp.BitRestarting != 0, Watched: r.Bits&ccp.BitWatched != 0,
		FenceTerm: r.FenceTerm, Grantee: r.Grantee, Heard: r.Heard, Closed: r.Closed,
	}
}

// gateChanged follows the own gate, and returns its state for the machine. Announcements wait for nothing.
func (n *node) gateChanged(ev pulse.GateChanged) members.GateState {
	now := bpf.Boottime()
	n.log.Debug("gate", "group", ev.Group, "bits", uint8(ev.Bits), "lease", ev.Lease, "fence", ev.FenceTerm, "grantee", ev.Grantee, "leased", ev.Leased, "lost", uint8(ev.Lost))
	if ev.Lost != pulse.LostNot && ev.At > n.serve.leasedAt { // not the loss of an earlier one
		n.serve.lease = members.Lease{}
	}
	open := n.words.Serving(ev.Group, now)&gate.Answer != 0
	switch {
	case open && (!n.serve.open || n.serve.announce):
		n.gateOpened(ev.Group)
	case !open && n.serve.open:
		n.gateClosed(ev.Group)
	}
	return n.gateState(ev.Group)
}

// gateState reads the own gate's words, and then the clock: a renewal in between must not look like one from the future.
func (n *node) gateState(group uint8) members.GateState {
	s := n.words.Snapshot()
	now := bpf.Boottime()
	g := s.Group[group]
	bits := s.Serving(int(group), now)
	st := members.GateState{
		Group: group, LeaseTerm: g.Lease.Term(), FenceTerm: g.Fence.Term, Grantee: g.Fence.Grantee,
		Serving: bits&gate.Answer != 0, Forward: bits&gate.Forward != 0, Closed: uint32(g.ClosedRx),
	}
	if st.LeaseTerm != 0 {
		st.LeaseAge = time.Duration(g.Lease.Age(now))
	}
	return st
}

// reconfigurePulse tells the pulse what has changed; what it cannot take now it is told again.
func (n *node) reconfigurePulse() {
	err := n.pulse.Reconfigure(n.pulseConfig())
	n.pulseOwed = err != nil
	if err != nil {
		n.log.Warn("reconfigure the pulse, trying again", "error", err)
	}
}

// pulseDied starts another pulse: the gate serves on meanwhile while peers watch it.
func (n *node) pulseDied(died pulse.Died) error {
	n.log.Error("pulse ended, starting another", "error", died.Err)
	n.metrics.PulseRestarted()
	_ = n.pulse.Close()
	// The next one is there in a moment: nobody shall ask this gate to yield for it.
	n.words.SetRestarting(bpf.Boottime() + int64(n.cfg.Timers.Restarting))
	p, err := n.startPulse()
	if err != nil {
		return err
	}
	n.pulse = p
	clear(n.paths) // it counts from zero
	n.stats = pulse.Stats{}
	p.Word()
	n.words.SetRestarting(0)
	var errs []error
	if l := n.serve.lease; l.Term != 0 && n.sync.opening == nil {
		errs = append(errs, p.Lease(l.Group, l.Term, l.Alone))
	}
	if s := &n.share; s.share != 0 {
		errs = append(errs, p.Share(s.share, s.table.Number))
	}
	return errors.Join(errs...)
}
