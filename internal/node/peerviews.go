// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/control"
)

// peerSays is what a peer told last of its own end of an interface, nil if it told nothing.
func (n *node) peerSays(peer, slot uint8) *control.PeerInterface {
	told := n.wire.told[peer]
	if told == nil {
		return nil
	}
	for _, i := range told.Interfaces {
		if i.Slot == slot {
			return &control.PeerInterface{Carrier: i.Carrier, Problem: i.Problem, Proven: i.Proven, Undecided: i.Undecided,
				HearsUs: i.Heard&(1<<n.local.Self.ID) != 0, CarrierAgeMs: ageOrNil(i.CarrierAgeMs), InAgeMs: ageOrNil(i.InAgeMs),
				OutAgeMs: ageOrNil(i.OutAgeMs), NeighbourAgeMs: ageOrNil(i.NeighbourAgeMs)}
		}
	}
	return nil
}

func ageOrNil(ms uint32) *float64 {
	if ms == ccp.AgeNever {
		return nil
	}
	v := float64(ms)
	return &v
}
