// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"

	"github.com/holdfast-project/holdfast/ccp"
)

// rest is what the member said last, so that saying it again costs little. The gates' probes test every interface a hundred times a
// second; what daemons tell each other needs to arrive once.
type rest struct {
	said, says []byte // the last HELLO and the next, without what changes by itself
	slot       int    // on which it was sent last
}

// turn returns the interface on which alone the HELLO is to be sent, and false if it is to be sent on all of them: whenever it says
// something new, and while any peer is not heard on any interface.
func (w *wire) turn(h *ccp.Hello) (slot uint8, ok bool) {
	r := &w.rest
	r.says = appendLasting(r.says[:0], h)
	news := !bytes.Equal(r.says, r.said)
	r.said, r.says = r.says, r.said
	if news || !w.allHeard() {
		return 0, false
	}
	for range w.n.ports {
		r.slot = (r.slot + 1) % len(w.n.ports)
		if w.conns[uint8(r.slot)] != nil {
			return uint8(r.slot), true
		}
	}
	return 0, false
}

// allHeard reports whether every peer's gate answers and its daemon is understood, on every interface that HELLOs leave by.
func (w *wire) allHeard() bool {
	for _, m := range w.n.local.Peers {
		if w.told[m.ID] == nil {
			return false
		}
		for slot := range w.conns {
			key := [2]uint8{m.ID, slot}
			if _, heard := w.n.heard[key]; !heard || w.n.silent[key] || w.inAt[key] == 0 {
				return false
			}
		}
	}
	return true
}

// appendLasting appends what a HELLO says but for ages, load and what is left of times.
func appendLasting(b []byte, h *ccp.Hello) []byte {
	lasting := *h
	lasting.Load = ccp.Load{}
	for i := range lasting.View {
		lasting.View[i].AgeMs, lasting.View[i].HelloAgeMs = 0, 0
	}
	lasting.Interfaces = append([]ccp.InterfaceView(nil), h.Interfaces...)
	for i := range lasting.Interfaces {
		v := &lasting.Interfaces[i]
		v.CarrierAgeMs, v.InAgeMs, v.OutAgeMs, v.NeighbourAgeMs = 0, 0, 0, 0
	}
	lasting.FrozenMs = min(h.FrozenMs, 1)
	lasting.Forced.ForMs = min(h.Forced.ForMs, 1)
	lasting.Budget.DampedMs = min(h.Budget.DampedMs, 1)
	lasting.Traffic = ccp.TrafficView{}
	lasting.Sync = ccp.SyncView{Incarnation: h.Sync.Incarnation, Role: h.Sync.Role, Current: h.Sync.Current, AtRisk: h.Sync.AtRisk}
	return lasting.Append(b)
}
