// SPDX-License-Identifier: Apache-2.0

package node

import (
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/pulse"
)

// TestInterfaceAges: an interface whose cable is pulled is down since the last probe that anybody answered there, although the last word of
// who heard this member on it may come from a peer that died long before, or is gone since that peer has started again.
func TestInterfaceAges(t *testing.T) {
	const now, second = int64(1000e9), int64(1e9)
	for _, k := range []struct {
		name            string
		old             bool // a peer that died 80 s ago said that it hears this member
		silent          bool
		answered, inAt  int64
		in, out         bool
		inAgeMs, outAge float64
	}{
		{"well", false, false, now - 10e6, now - 50e6, true, true, 10, 10},
		{"cut, and the HELLO of a dead peer is the last", true, true, now - 3*second, now - 3*second, false, false, 3000, 3000},
		{"cut, and nobody's HELLO is left", false, true, now - 3*second, 0, false, false, 3000, 3000},
		{"one way: HELLOs still come in", false, true, now - 3*second, now - 50e6, true, false, 50, 3000},
		{"never heard", false, true, 0, 0, false, false, -1, -1},
	} {
		n := sharingNode(t, "gw-a", "unicast")
		n.wire.inAt = map[[2]uint8]int64{{1, 0}: k.inAt}
		n.heard, n.silent = map[[2]uint8]pulse.Heard{}, map[[2]uint8]bool{{1, 0}: k.silent}
		if k.answered != 0 {
			n.heard[[2]uint8{1, 0}] = pulse.Heard{Peer: 1, At: k.answered}
		}
		if k.old {
			n.wire.told[1] = &ccp.Hello{Interfaces: []ccp.InterfaceView{{Slot: 0, Heard: 1 << n.local.Self.ID}}}
			n.wire.newest[1].at = now - 80*second
		}
		s := n.interfaceState(now, &port{Interface: n.cfg.Interfaces[0]})
		if s.In != k.in || s.Out != k.out || s.InAgeMs != k.inAgeMs || s.OutAgeMs != k.outAge {
			t.Errorf("%s: in %v %v ms, out %v %v ms", k.name, s.In, s.InAgeMs, s.Out, s.OutAgeMs)
		}
	}
}
