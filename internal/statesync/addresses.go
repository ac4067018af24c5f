// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"net/netip"
	"slices"

	"github.com/holdfast-project/holdfast/ccp"
)

// Times in ns.
const (
	// addressesAgain is how often a peer is told the own host's addresses, changed or not: frames may be lost.
	addressesAgain = 10e9
	// addressesStay is for how long a peer's addresses are known when it tells them no more. It outlasts a hand-over, which is no time to
	// make a tally anew; and all who are left forget them, so that their rules stay the same.
	addressesStay = 60e9
)

// hostAddresses are the addresses of the members' hosts that the configuration does not list: those of one member, and those that several
// have or that are on a loopback device, which may move.
func (p *Plane) hostAddresses() (own, shared []netip.Addr) {
	of := map[netip.Addr]int{}
	lists := [][]ccp.SyncAddress{p.cfg.Local}
	for i := range p.peers {
		lists = append(lists, p.peers[i].addresses)
	}
	for _, list := range lists {
		for _, a := range list {
			of[a.Addr]++
			if a.Shared {
				of[a.Addr]++
			}
		}
	}
	for a, n := range of {
		if n > 1 {
			shared = append(shared, a)
		} else {
			own = append(own, a)
		}
	}
	return own, shared
}

// rule judges by rules that have changed from now on. The tally was made by others.
func (p *Plane) rule() {
	p.judge, p.checker.Zones = p.rules().Compile(), p.cfg.Zones
	p.held.Clear()
	p.doubtTally()
}

// takeAddresses takes the addresses of a peer's host.
func (p *Plane) takeAddresses(now int64, q *peer, list ccp.SyncAddresses) {
	q.addressesHeard = now
	if !slices.Equal(q.addresses, list) {
		q.addresses = list
		p.rule()
	}
}

// forgetAddresses forgets those of a peer that has not told them for long.
func (p *Plane) forgetAddresses(now int64, q *peer) {
	if len(q.addresses) > 0 && now-q.addressesHeard >= addressesStay {
		q.addresses = nil
		p.rule()
	}
}
