// SPDX-License-Identifier: Apache-2.0

package node

import (
	"slices"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/members"
)

// policyEvents are what the plane wants operators to hear, policyChanges says that it has published something; nil without a plane.
func (n *node) policyEvents() <-chan policyplane.Event {
	if n.policy.plane == nil {
		return nil
	}
	return n.policy.plane.Events()
}

func (n *node) policyChanges() <-chan struct{} {
	if n.policy.plane == nil {
		return nil
	}
	return n.policy.plane.Changed()
}

// send takes a frame of the plane's goroutine: what there is no room for is lost, and asked for again.
func (s *policies) send(to uint8, f ccp.Policy) {
	select {
	case s.out <- policyFrame{to, f.Append(make([]byte, 0, f.Len()))}:
	default:
	}
}

// policyBurst is how many frames of policies leave in one turn of the loop at most.
const policyBurst = 32

// policySend sends a frame of the plane's, and those that lie behind it.
func (n *node) policySend(now int64, f policyFrame) {
	for i := 0; ; i++ {
		if err := n.wire.sendPolicy(now, f); err != nil {
			n.log.Debug("frame about policies", "peer", n.name(f.to), "error", err)
		}
		if i == policyBurst {
			return
		}
		select {
		case f = <-n.policy.out:
		default:
			return
		}
	}
}

// sendPolicy sends a frame by one interface, the next one by another: one that loses frames one way only is no end to a transfer.
func (w *wire) sendPolicy(now int64, f policyFrame) error {
	slots := w.slotsOn()
	slices.Sort(slots)
	heard := slices.DeleteFunc(slices.Clone(slots), func(slot uint8) bool { return w.n.silent[[2]uint8{f.to, slot}] })
	if len(heard) > 0 {
		slots = heard
	}
	if len(slots) == 0 {
		return nil // there is no interface at all: silence is what the plane reckons with
	}
	w.n.policy.turn++
	w.plain = append(w.opener.AppendEcho(w.plain[:0], f.to), f.body...)
	return w.send(now, ccp.TypePolicy, f.to, slots[w.n.policy.turn%len(slots)])
}

// policyFrameIn gives the plane what a peer sends.
func (w *wire) policyFrameIn(from uint8, body []byte) {
	if w.n.policy.plane == nil {
		return
	}
	parts, err := ccp.ParsePolicy(body)
	if err != nil {
		w.dropped[ccp.DropMalformed]++
		return
	}
	w.n.policy.plane.Frame(from, parts)
}

// policyHeard gives the plane what a peer's HELLO says, if that is news.
func (n *node) policyHeard(from uint8, h *ccp.Hello) {
	s := &n.policy
	if s.plane == nil {
		return
	}
	p := policyplane.PeerState{Active: members.State(h.State).Serves(), Generation: h.PolicyGeneration, View: h.Policy}
	if s.heard[from] && s.peers[from] == p {
		return
	}
	s.heard[from], s.peers[from] = true, p
	s.plane.Peer(from, p)
}

// policyTell adds to a HELLO what it says of policies.
func (n *node) policyTell(h *ccp.Hello) {
	s := n.policy.state
	if s == nil {
		return
	}
	h.Policy = s.View
	if s.InForce != nil {
		h.PolicyGeneration = s.InForce.Generation
	}
}
