// SPDX-License-Identifier: Apache-2.0

package node

import (
	"math"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/build"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
)

// The machine's states, device statuses and recovery modes are numbered as those on the wire are; TestWireNumbers holds them together.

// wireModes are the modes by the names that the machine has for them: config.Cluster's ModeText.
var wireModes = map[string]ccp.Mode{
	"ha": ccp.ModeHA, "load-sharing/multicast": ccp.ModeLSMulticast, "load-sharing/unicast": ccp.ModeLSUnicast,
}

// toWire translates the machine's HELLO and adds what only the wire needs.
func (w *wire) toWire(m members.Hello) ccp.Hello {
	h := ccp.Hello{
		State: ccp.State(m.State), Term: m.Term, Priority: w.n.local.Self.ID, Restarting: m.Restarting,
		FrozenMs: millis(m.Frozen), ConfigDigest: m.Digest, Recovery: ccp.Recovery(m.Recovery),
		Version: m.Version, Capabilities: m.Capabilities, Build: build.Version,
		Forced: ccp.Forced{To: m.ForcedTo, ForMs: millis(m.ForcedFor), ID: m.ForcedID, Done: m.ForcedDone},
		Weight: uint32(m.Weight), Omitted: m.Omitted,
		Budget: ccp.Budget{Left: m.Budget.Left, Limit: m.Budget.Limit, DampedMs: millis(m.Budget.Damped)},
		BootID: w.bootID, Load: w.load(), Keys: w.ring.Statement(), Stopping: m.Stopping || w.n.due.stop != 0 && len(w.n.share.leave) == 0,
		Sync: w.n.syncView(), FlushAsk: m.FlushAsk, Flushed: m.Flushed,
	}
	h.Mode = wireModes[m.Mode]
	w.n.policyTell(&h)
	h.Share, h.Traffic = w.n.shareView(), w.n.share.traffic
	for i, v := range m.View {
		h.View[i] = ccp.MemberView{State: ccp.State(v.State), AgeMs: ageMs(v.Age), HelloAgeMs: ageMs(v.HelloAge)}
	}
	for _, d := range m.Devices {
		h.Devices = append(h.Devices, ccp.DeviceView{Name: d.Name, Status: ccp.DeviceStatus(d.Status), Reason: d.Reason})
		h.AdminDown = h.AdminDown || d.Name == device.AdminDown && d.Status == device.Problem
	}
	for _, i := range m.Interfaces {
		h.Interfaces = append(h.Interfaces, w.interfaceView(i))
	}
	return h
}

// interfaceView adds to the machine's view of an interface who is heard there and for how long.
func (w *wire) interfaceView(i members.InterfaceView) ccp.InterfaceView {
	v := ccp.InterfaceView{Slot: i.Slot, Carrier: i.Carrier, Problem: i.Problem, Proven: i.Proven, Undecided: i.Undecided, Heard: i.Heard,
		CarrierAgeMs: ageMs(i.CarrierAge), InAgeMs: ccp.AgeNever, OutAgeMs: ccp.AgeNever, NeighbourAgeMs: ageMs(i.NeighbourAge)}
	now := bpf.Boottime()
	for _, m := range w.n.local.Peers {
		in, out := w.n.ccpAges(now, m.ID, i.Slot)
		if in >= 0 {
			v.InAgeMs = min(v.InAgeMs, millis(in))
			if in < w.n.ccpFresh() {
				v.Heard |= 1 << m.ID
			}
		}
		if out >= 0 {
			v.OutAgeMs = min(v.OutAgeMs, millis(out))
		}
	}
	return v
}

// load is how busy this member was in the last second, as the pulse saw it.
func (w *wire) load() ccp.Load {
	s := w.n.stats
	return ccp.Load{CPUPermille: w.n.cpu.permille, ProbeJitterUs: micros(s.WorstLate),
		LeaseDelayUs: micros(w.n.leaseDelay()), SoftirqUs: micros(s.Softirq)}
}

// fromWire translates a peer's HELLO.
func fromWire(incarnation uint64, h *ccp.Hello) members.Hello {
	m := members.Hello{
		Incarnation: incarnation, State: members.State(h.State), Term: h.Term, Digest: h.ConfigDigest,
		Version: h.Version, Capabilities: h.Capabilities, Recovery: members.Recovery(h.Recovery),
		ForcedTo: h.Forced.To, ForcedFor: time.Duration(h.Forced.ForMs) * time.Millisecond, ForcedID: h.Forced.ID, ForcedDone: h.Forced.Done,
		Weight: int(h.Weight), Omitted: h.Omitted,
		Frozen: time.Duration(h.FrozenMs) * time.Millisecond, Restarting: h.Restarting, Stopping: h.Stopping,
		Policy:   members.Generation{Number: h.PolicyGeneration, Digest: h.Policy.Digest},
		FlushAsk: h.FlushAsk, Flushed: h.Flushed, Flushes: h.Sync.Role == ccp.SyncOwner,
		Budget: members.Budget{Left: h.Budget.Left, Limit: h.Budget.Limit, Damped: time.Duration(h.Budget.DampedMs) * time.Millisecond},
	}
	for name, mode := range wireModes {
		if mode == h.Mode {
			m.Mode = name
		}
	}
	for i, v := range h.View {
		m.View[i] = members.MemberView{State: members.State(v.State), Age: age(v.AgeMs), HelloAge: age(v.HelloAgeMs)}
	}
	for _, d := range h.Devices {
		m.Devices = append(m.Devices, members.DeviceView{Name: d.Name, Status: device.Status(d.Status), Reason: d.Reason})
	}
	for _, i := range h.Interfaces {
		m.Interfaces = append(m.Interfaces, members.InterfaceView{Slot: i.Slot, Carrier: i.Carrier, Problem: i.Problem,
			Proven: i.Proven, Undecided: i.Undecided, Heard: i.Heard, CarrierAge: age(i.CarrierAgeMs), NeighbourAge: age(i.NeighbourAgeMs)})
	}
	return m
}

// ageMs is an age of the machine's on the wire.
func ageMs(d time.Duration) uint32 {
	if d == math.MaxInt64 {
		return ccp.AgeNever
	}
	return millis(d)
}

// age is the reverse.
func age(ms uint32) time.Duration {
	if ms == ccp.AgeNever {
		return math.MaxInt64
	}
	return time.Duration(ms) * time.Millisecond
}

func millis(d time.Duration) uint32 {
	return uint32(min(max(0, d.Milliseconds()), math.MaxUint32-1))
}

func micros(d time.Duration) uint32 {
	return uint32(min(max(0, d.Microseconds()), math.MaxUint32))
}
