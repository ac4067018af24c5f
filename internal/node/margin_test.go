// SPDX-License-Identifier: Apache-2.0

package node

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/pulse"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/margin"
)

// TestLostMembersMargins: what was thin at a member that is lost is told no longer, nor that its answers were slow; what is thin here, and on
// paths that are heard, is.
func TestLostMembersMargins(t *testing.T) {
	fw1, fw2, fw3 := config.Member{ID: 0, Name: "fw1"}, config.Member{ID: 1, Name: "fw2"}, config.Member{ID: 2, Name: "fw3"}
	const slot = 0
	for name, c := range map[string]struct {
		lost bool // fw2 is
		slow map[uint8]uint64
		want []string
	}{
		"all are heard":                {false, map[uint8]uint64{1: 80, 2: 60}, []string{"fw1: a probe was sent", "fw1: 80 of 1000 answers of fw2", "fw2: a probe was sent", "fw3: a probe was sent"}},
		"fw2 is lost":                  {true, map[uint8]uint64{1: 80}, []string{"fw1: a probe was sent", "fw3: a probe was sent"}},
		"fw2 is lost, and fw3 is slow": {true, map[uint8]uint64{1: 80, 2: 60}, []string{"fw1: a probe was sent", "fw1: 60 of 1000 answers of fw3", "fw3: a probe was sent"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := &node{cfg: &config.Cluster{Members: []config.Member{fw1, fw2, fw3}, Timers: config.Timers{Probe: 10 * time.Millisecond, Dead: 30 * time.Millisecond,
				Soft: 20 * time.Millisecond}}, paths: map[[2]uint8]pulse.LinkStats{}, silent: map[[2]uint8]bool{},
				ports: []*port{{Interface: config.Interface{Name: "ext"}}}}
			n.local.Self, n.local.Peers = fw1, []config.Member{fw2, fw3}
			n.stats.WorstLate = 9 * time.Millisecond
			for peer, slow := range c.slow {
				n.paths[[2]uint8{peer, slot}] = pulse.LinkStats{Peer: peer, AnswersLastSecond: 1000, SlowAnswers: slow}
			}
			judge := func() { n.judges[0].Take(n.marginTimers(), n.ownSample()) }
			judge()
			for _, peer := range []uint8{1, 2} {
				n.judges[peer].Take(n.marginTimers(), margin.Sample{Probe: 9 * time.Millisecond})
			}
			v := &members.View{Members: []members.PeerView{{State: members.StateActive}, {State: members.StateStandby}, {State: members.StateStandby}}}
			if c.lost {
				v.Members[1].State, n.silent[[2]uint8{1, slot}] = members.StateLost, true
				judge() // the pulse's report is still that of before
			}
			changed := n.forgetLost(v)
			if again := n.forgetLost(v); len(again) > 0 {
				t.Errorf("%v is told once more", again)
			}
			if alone := c.lost && len(c.slow) == 1; alone != (len(changed) == 1) {
				t.Errorf("changed: %v", changed)
			}
			got := n.thinMargins()
			if len(got) != len(c.want) {
				t.Fatalf("thin: %q, want %q", got, c.want)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("thin: %q, want %q", got[i], want)
				}
			}
		})
	}
}
