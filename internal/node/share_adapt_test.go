// SPDX-License-Identifier: Apache-2.0

package node

import (
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/internal/config"
)

// TestMeasuredLoad: weights follow the load of those who carry traffic and are heard, and of nobody else.
func TestMeasuredLoad(t *testing.T) {
	n := sharingNode(t, "gw-a", config.MethodMulticast)
	n.share.table = &steer.Table{Version: steer.Version{Term: 1, Phase: steer.PhaseCommit}}
	n.cpu.permille = 900
	n.wire.told[1] = &ccp.Hello{Load: ccp.Load{CPUPermille: 100}}
	known := func() (self, peer bool) { l := n.measuredLoad(); return l[0].Known, l[1].Known }
	if self, peer := known(); !self || peer {
		t.Errorf("all slots are this member's: known %v, %v", self, peer)
	}
	for i := range n.share.table.Entry[:512] {
		n.share.table.Entry[i] = steer.Taken(1)
	}
	if _, peer := known(); peer {
		t.Error("a peer that is not heard counts")
	}
	n.share.peers[1].Heard = true
	if l := n.measuredLoad(); !l[1].Known || l[1].CPU != 100 || l[0].CPU != 900 || l[2].Known {
		t.Errorf("%+v", l)
	}

	if got := n.adapted(40, 1); got != 40 {
		t.Errorf("without adaptive weights: %d", got)
	}
	n.share.adaptive = steer.NewAdaptive(steer.DefaultAdaptive())
	for second := range int64(12) {
		n.share.adaptive.Sample(second*1e9+1, n.measuredLoad())
	}
	if a, b := n.adapted(40, 0), n.adapted(40, 1); a >= 40 || b <= 40 || n.adapted(0, 0) != 0 || n.adapted(1, 0) != 1 {
		t.Errorf("weights in force %d and %d, of 0: %d, of 1: %d", a, b, n.adapted(0, 0), n.adapted(1, 0))
	}
}
