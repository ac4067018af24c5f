// SPDX-License-Identifier: Apache-2.0

package reset

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
)

func TestFirstSightingIsTheSender(t *testing.T) {
	start := time.Unix(1, 0)
	at := func(ms int, by, from, to string, seq, ack uint32) seen {
		return seen{Reset{
			At: start.Add(time.Duration(ms) * time.Millisecond), By: by,
			From: netip.MustParseAddrPort(from), To: netip.MustParseAddrPort(to),
		}, [2]uint32{seq, ack}}
	}
	for name, c := range map[string]struct {
		all  []seen
		want []string
	}{
		"forwarded": {[]seen{
			at(1, "fw1", "10.2.0.1:1", "10.1.0.1:2", 7, 0), at(0, "server1", "10.2.0.1:1", "10.1.0.1:2", 7, 0),
		}, []string{"server1"}},
		"translated": {[]seen{
			at(0, "server1", "10.2.0.1:1", "10.1.0.9:2", 7, 9), at(1, "fw1", "10.1.0.1:77", "10.1.0.9:2", 7, 9),
		}, []string{"server1"}},
		"renumbered": {[]seen{
			at(0, "server1", "10.2.0.1:1", "10.1.0.9:2", 7, 9), at(1, "fw1", "10.1.0.1:1", "10.1.0.9:2", 8, 9),
		}, []string{"server1"}},
		"the gateway's own": {[]seen{
			at(0, "server1", "10.2.0.1:1", "10.1.0.9:2", 7, 9), at(1, "fw1", "10.1.0.1:1", "10.1.0.9:2", 8, 10),
		}, []string{"server1", "fw1"}},
		"another connection's": {[]seen{
			at(0, "server1", "10.2.0.1:1", "10.1.0.9:2", 7, 0), at(1, "fw1", "10.1.0.1:5", "10.1.0.9:3", 8, 0),
		}, []string{"server1", "fw1"}},
		"much later": {[]seen{
			at(0, "server1", "10.2.0.1:1", "10.1.0.9:2", 7, 9), at(1500, "fw1", "10.1.0.1:1", "10.1.0.9:2", 7, 9),
		}, []string{"server1", "fw1"}},
	} {
		got := firsts(c.all)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want by %v", name, got, c.want)
			continue
		}
		for i, r := range got {
			if r.By != c.want[i] {
				t.Errorf("%s: %d by %s, want %s", name, i, r.By, c.want[i])
			}
		}
	}
}

// TestWhoSaidNo dials a port that nobody listens on: at a server, whose reset the gateway forwards, and at the gateway.
func TestWhoSaidNo(t *testing.T) {
	lab := topologytest.Routed(t, "reset")
	w, err := Start(t.Context(), lab)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	client := lab.OfKind(topology.Client)[0]
	for _, to := range []string{"10.2.1.1:9", "[fd00:0:0:2::1:1]:9", "10.1.0.11:9", "[fd00:0:0:1::11]:9"} {
		err := client.NS.Do(func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			c, err := new(net.Dialer).DialContext(ctx, "tcp", to)
			if err == nil {
				c.Close()
			}
			return err
		})
		if err == nil {
			t.Errorf("%s: somebody listens", to)
		}
	}
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
	resets, missed := w.Window(begin, time.Now())
	var by []string
	for _, r := range resets {
		by = append(by, r.By)
		if r.Gateway != (r.By == "fw1") {
			t.Errorf("%s: gateway %v", r, r.Gateway)
		}
	}
	if len(by) != 4 || by[0] != "server1" || by[1] != "server1" || by[2] != "fw1" || by[3] != "fw1" || missed > 0 {
		t.Errorf("by %v, %d not seen", by, missed)
	}
}
