// SPDX-License-Identifier: Apache-2.0

package traffic_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/tap"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
	"github.com/holdfast-project/holdfast/lab/traffic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// routed builds a client and a server with a plain router between them.
func routed(t *testing.T) (l *topology.Lab, a, b traffic.Endpoint) {
	t.Helper()
	l = topologytest.Routed(t, "traffic")
	a, b = endpoint(t, l, "client1"), endpoint(t, l, "server1")
	warm(t, a, b)
	return l, a, b
}

// warm waits until packets pass in all flows: the first ones wait for carriers, neighbours and their retransmissions.
func warm(t *testing.T, a, b traffic.Endpoint) {
	t.Helper()
	run, err := traffic.Start(context.Background(), traffic.Config{A: a, B: b})
	if err != nil {
		t.Fatal(err)
	}
	silent := func(p traffic.Progress) bool { return p.Received == 0 }
	for deadline := time.Now().Add(30 * time.Second); slices.ContainsFunc(run.Progress(), silent); pause(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing passes: %+v", run.Progress())
		}
	}
	if _, err := run.Stop(0); err != nil {
		t.Fatal(err)
	}
}

func endpoint(t *testing.T, l *topology.Lab, name string) traffic.Endpoint {
	t.Helper()
	n := topologytest.Node(t, l, name)
	return traffic.Endpoint{Name: name, In: n.NS.Do, Addr4: n.Ports[0].V4.Addr(), Addr6: n.Ports[0].V6.Addr()}
}

// setPort takes a port of the switch up or down.
func setPort(t *testing.T, l *topology.Lab, name string, up bool) {
	t.Helper()
	topologytest.Change(t, l.Switch, name, func(h *netlink.Handle, port netlink.Link) error {
		if up {
			return h.LinkSetUp(port)
		}
		return h.LinkSetDown(port)
	})
}

// pause lets traffic run for d: the measured quantity itself, not a way to wait for something.
func pause(d time.Duration) { <-time.After(d) }

func TestTrafficCountsExactly(t *testing.T) {
	_, a, b := routed(t)
	run, err := traffic.Start(context.Background(), traffic.Config{A: a, B: b})
	if err != nil {
		t.Fatal(err)
	}
	pause(time.Second)
	rep, err := run.Stop(0)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Flows) != 4 {
		t.Fatalf("%d flows, want 4", len(rep.Flows))
	}
	for _, f := range rep.Flows {
		t.Logf("%s: sent %d, late at most %v, skipped %d, longest gap %v, corrected %v",
			f.Flow, f.Sent, f.SenderLate, f.Skipped, f.LongestArrival.Arrival, f.Longest.Corrected)
		if f.Sent == 0 || f.Sent+f.Skipped < 500 {
			t.Errorf("%s: %d sent and %d skipped in a second of 1000/s", f.Flow, f.Sent, f.Skipped)
		}
		if f.Lost != 0 || f.Received != f.Sent || f.Duplicated != 0 || f.Reordered != 0 || f.Corrupt != 0 || f.Unjudged != 0 {
			t.Errorf("%s on a path that loses nothing: %+v", f.Flow, f)
		}
	}
}

func TestTrafficMeasuresAnOutage(t *testing.T) {
	l, a, b := routed(t)
	run, err := traffic.Start(context.Background(), traffic.Config{A: a, B: b})
	if err != nil {
		t.Fatal(err)
	}
	pause(200 * time.Millisecond)
	begin := time.Now()
	setPort(t, l, "fw1-int", false)
	pause(50 * time.Millisecond)
	setPort(t, l, "fw1-int", true)
	end := time.Now()
	// The router's kernel may take up to a second to believe in the carrier again.
	again := func() bool {
		return !slices.ContainsFunc(run.Progress(), func(p traffic.Progress) bool { return !p.LastArrival.After(end) })
	}
	for deadline := end.Add(20 * time.Second); !again() && time.Now().Before(deadline); {
		pause(10 * time.Millisecond)
	}
	pause(400 * time.Millisecond) // what is under way comes, or is lost
	live := run.Window(begin, end, 0)
	if _, err := run.Stop(0); err != nil {
		t.Fatal(err)
	}
	rep := run.Window(begin, end, 0)
	for i, f := range rep.Flows {
		if f.Lost == 0 {
			t.Errorf("%s: lost nothing in an outage of %v", f.Flow, end.Sub(begin))
		}
		if got := f.LongestArrival; got.Arrival < 45*time.Millisecond || got.Open || got.Corrected > got.Arrival {
			t.Errorf("%s: gap %+v in an outage of %v", f.Flow, got, end.Sub(begin))
		}
		if live.Flows[i].Longest.Corrected != f.Longest.Corrected {
			t.Errorf("%s: gap %v while running, %v afterwards", f.Flow, live.Flows[i].Longest.Corrected, f.Longest.Corrected)
		}
	}
	if before := run.Window(run.Start(), begin, 0); before.Flows[0].Lost > 1 {
		t.Errorf("lost %d before the outage", before.Flows[0].Lost)
	}
}

func TestTrafficSeesCopies(t *testing.T) {
	l, a, b := routed(t)
	a.Addr6, b.Addr6 = netip.Addr{}, netip.Addr{}
	run, err := traffic.Start(context.Background(), traffic.Config{A: a, B: b, OneWay: true})
	if err != nil {
		t.Fatal(err)
	}
	copies := repeat(t, l, "server1-int", 10)
	rep, err := run.Stop(0)
	if err != nil {
		t.Fatal(err)
	}
	if f := rep.Flows[0]; f.Duplicated != copies || f.Lost != 0 {
		t.Errorf("duplicated %d lost %d, want %d copies and no loss", f.Duplicated, f.Lost, copies)
	}
}

// repeat sends n frames that leave through a port of the switch once more.
func repeat(t *testing.T, l *topology.Lab, port string, n int) int {
	t.Helper()
	in, err := tap.Open(l.Switch.NS.Do, port, tap.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := tap.Inject(l.Switch.NS.Do, port)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	buf := make([]byte, 2048)
	deadline := time.Now().Add(30 * time.Second)
	for copies := 0; copies < n; {
		if time.Now().After(deadline) {
			t.Fatalf("only %d of %d frames to copy", copies, n)
		}
		f, ok, err := in.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		const udpPayload = 14 + 20 + 8
		if !ok || !f.Outgoing || len(f.Data) < udpPayload {
			continue
		}
		if _, intact, _ := traffic.ParsePacket(f.Data[udpPayload:]); !intact {
			continue
		}
		f.Data[udpPayload-2], f.Data[udpPayload-1] = 0, 0 // the veth left the checksum to hardware that is not there: send none
		if err := out.Send(f.Data); err != nil {
			t.Fatal(err)
		}
		copies++
		drop(t, in, buf) // the copy passes the tap too
	}
	return n
}

func drop(t *testing.T, in *tap.Tap, buf []byte) {
	t.Helper()
	for {
		_, ok, err := in.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return
		}
	}
}

func TestStreamSurvivesAnOutage(t *testing.T) {
	l, a, b := routed(t)
	s, err := traffic.StartStream(context.Background(), traffic.StreamConfig{A: a, B: b, Every: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	pause(200 * time.Millisecond)
	setPort(t, l, "fw1-int", false)
	pause(100 * time.Millisecond)
	setPort(t, l, "fw1-int", true)
	pause(500 * time.Millisecond)
	rep, err := s.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if rep.Sent == 0 || rep.Received != rep.Sent || rep.Corrupt != 0 || rep.Resets != 0 || rep.Connections != 1 {
		t.Errorf("stream: %+v", rep)
	}
	if rep.LongestStall < 80*time.Millisecond {
		t.Errorf("longest stall %v in an outage of 100 ms", rep.LongestStall)
	}
}

func TestStreamOverIPv6AsFastAsItGoes(t *testing.T) {
	_, a, b := routed(t)
	s, err := traffic.StartStream(context.Background(), traffic.StreamConfig{A: a, B: b, Family: 6})
	if err != nil {
		t.Fatal(err)
	}
	pause(200 * time.Millisecond)
	rep, err := s.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if rep.Received < 10 || rep.Received != rep.Sent || rep.Corrupt != 0 || rep.Resets != 0 {
		t.Errorf("stream: %+v", rep)
	}
}

func TestWaitRouterFindsOnlyRoutesFromAdvertisements(t *testing.T) {
	l, _, _ := routed(t)
	n := topologytest.Node(t, l, "client1")
	device := n.Ports[0].Device
	if err := traffic.AcceptRouter(n.NS.Do, device); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if r, err := traffic.WaitRouter(soon, n.NS.Do, device); err == nil {
		t.Fatalf("router %v, though only a static route is there", r)
	}
	gateway, err := netlink.ParseAddr("fe80::1/128")
	if err != nil {
		t.Fatal(err)
	}
	topologytest.Change(t, n, device, func(h *netlink.Handle, link netlink.Link) error {
		return h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.IP, Protocol: unix.RTPROT_RA, Priority: 1})
	})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if r, err := traffic.WaitRouter(ctx, n.NS.Do, device); err != nil || r.String() != "fe80::1" {
		t.Errorf("router %v, error %v, want fe80::1", r, err)
	}
}
