// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"testing"
	"time"
)

// TestOneWayUnderLoss cuts the frames to the member that serves and loses 30 % of those from it, which carry nothing that others may
// go by but its HELLOs. Who misses three intervals of those takes over beside it, and must notice soon.
func TestOneWayUnderLoss(t *testing.T) {
	for _, members := range []int{2, 3} {
		t.Run(fmt.Sprintf("%d members", members), func(t *testing.T) {
			moves := 0
			for seed := range uint64(20) {
				w := NewWorld(seed, Options{Members: members, Interfaces: 1, Neighbours: true})
				for id := range members {
					w.PowerOn(uint8(id))
				}
				mustRun(t, w, 2*time.Second)
				server := w.Serving()[0]
				for id := range uint8(members) {
					if id != server {
						w.Cut(0, id, server, true)
					}
				}
				w.Loss(20000, 0)
				mustRun(t, w, 20*time.Second)
				moves += w.inv.moves - 1
			}
			t.Logf("others opened %d times in 400 s", moves)
		})
	}
}
