// SPDX-License-Identifier: Apache-2.0

package node

import "time"

// ccpFresh is how old the last frame from a peer may be for the way to count as open: three HELLOs.
func (n *node) ccpFresh() time.Duration { return 3 * n.cfg.Timers.Hello }

// ccpAges says how long ago CCP of a peer came in on an interface, and how long ago it was proved that ours went out to it there;
// -1 for never. An answered probe proves both ways; a HELLO proves the way in, and says what the peer hears of us.
func (n *node) ccpAges(now int64, peer, slot uint8) (in, out time.Duration) {
	in, out = -1, -1
	key := [2]uint8{peer, slot}
	younger := func(age *time.Duration, at int64) {
		if a := time.Duration(now - at); at != 0 && (*age < 0 || a < *age) {
			*age = a
		}
	}
	if h, ok := n.heard[key]; ok {
		if at := h.At; !n.silent[key] {
			younger(&in, at)
			younger(&out, at)
		}
	}
	younger(&in, n.wire.inAt[key])
	if t := n.wire.told[peer]; t != nil {
		for _, i := range t.Interfaces {
			if i.Slot == slot && i.Heard&(1<<n.local.Self.ID) != 0 {
				younger(&out, n.wire.newest[peer].at)
			}
		}
	}
	return in, out
}
