// SPDX-License-Identifier: Apache-2.0

package node

import (
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/pulse"
)

// heardWire is the wire of a member of three with three interfaces, on which all is well; slot 3 is not monitored.
func heardWire() *wire {
	n := &node{local: config.Local{Peers: []config.Member{{ID: 1}, {ID: 2}}}, ports: make([]*port, 4),
		heard: map[[2]uint8]pulse.Heard{}, silent: map[[2]uint8]bool{}}
	w := &wire{n: n, conns: map[uint8]*socket{}, inAt: map[[2]uint8]int64{}}
	for slot := range uint8(3) {
		w.conns[slot] = &socket{}
		for _, m := range n.local.Peers {
			n.heard[[2]uint8{m.ID, slot}], w.inAt[[2]uint8{m.ID, slot}] = pulse.Heard{}, 1
		}
	}
	for _, m := range n.local.Peers {
		w.told[m.ID] = &ccp.Hello{}
	}
	return w
}

func TestHelloTakesTurnsAtRest(t *testing.T) {
	w := heardWire()
	h := ccp.Hello{State: ccp.StateStandby, Interfaces: []ccp.InterfaceView{{Slot: 0, Carrier: true, InAgeMs: 1}}}
	said := func(what string, want bool) (slot uint8) {
		t.Helper()
		slot, turn := w.turn(&h)
		if turn != want {
			t.Errorf("%s: on one interface %t, want %t", what, turn, want)
		}
		return slot
	}
	said("the first", false)
	seen := map[uint8]int{}
	for i := range uint32(6) {
		h.View[1].AgeMs, h.View[2].HelloAgeMs, h.Interfaces[0].InAgeMs, h.Interfaces[0].CarrierAgeMs = i, i, i, i
		h.Load.CPUPermille, h.FrozenMs, h.Forced.ForMs, h.Budget.DampedMs = uint16(i), 100-i, 100-i, 100-i
		seen[said("only ages and times differ", i != 0)]++ // at first: it is frozen, forced and damped now
	}
	if seen[0] < 1 || seen[1] < 1 || seen[2] < 1 || seen[3] != 0 {
		t.Errorf("sent on slots %v, want each of the three in turn", seen)
	}
	for what, change := range map[string]func(){
		"state":      func() { h.State = ccp.StateDown },
		"view":       func() { h.View[2].State = ccp.StateLost },
		"interface":  func() { h.Interfaces[0].Problem = true },
		"heard":      func() { h.Interfaces[0].Heard = 2 },
		"device":     func() { h.Devices = append(h.Devices, ccp.DeviceView{Name: "disk", Status: ccp.DeviceProblem}) },
		"no freeze":  func() { h.FrozenMs = 0 },
		"restarting": func() { h.Restarting = true },
	} {
		change()
		said(what+" is new", false)
		said(what+" was said", true)
	}
	w.n.silent[[2]uint8{2, 1}] = true
	said("a peer is silent on an interface", false)
	said("a peer is silent on an interface", false)
	delete(w.n.silent, [2]uint8{2, 1})
	said("it is heard again", true)
	w.told[1] = nil
	said("a daemon was not heard", false)
}
