// SPDX-License-Identifier: Apache-2.0

package prober_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/prober"
	"github.com/holdfast-project/holdfast/lab/tap"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
	"github.com/holdfast-project/holdfast/lab/traffic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const segment = "ext"

// build makes two members that answer ARP as any host does, with one MAC between them.
func build(t *testing.T) *topology.Lab {
	t.Helper()
	l := topologytest.Routed(t, "prober")
	for _, name := range []string{"fw1", "fw2"} {
		change(t, l, name, func(h *netlink.Handle, link netlink.Link) error {
			return h.LinkSetHardwareAddr(link, []byte{2, 0x48, 0, 1, 0, 0})
		})
	}
	return l
}

// change does something to a member's device in the segment.
func change(t *testing.T, l *topology.Lab, member string, fn func(*netlink.Handle, netlink.Link) error) {
	t.Helper()
	n := topologytest.Node(t, l, member)
	port, err := n.Port(segment)
	if err != nil {
		t.Fatal(err)
	}
	topologytest.Change(t, n, port.Device, fn)
}

// serve gives a member the addresses of the segment, or takes them.
func serve(t *testing.T, l *topology.Lab, member string, on bool) {
	t.Helper()
	for _, vip := range vips(t, l) {
		change(t, l, member, func(h *netlink.Handle, link netlink.Link) error {
			a := &netlink.Addr{IPNet: netlink.NewIPNet(vip.AsSlice()), Flags: unix.IFA_F_NODAD}
			if !on {
				return h.AddrDel(link, a)
			}
			return h.AddrAdd(link, a)
		})
	}
}

func vips(t *testing.T, l *topology.Lab) []netip.Addr {
	t.Helper()
	i, err := l.Segment(segment)
	if err != nil {
		t.Fatal(err)
	}
	return l.Spec.Net(i).VIPs
}

func ports(t *testing.T, l *topology.Lab) []prober.Port {
	t.Helper()
	var out []prober.Port
	for _, n := range l.OfKind(topology.Member) {
		p, err := n.Port(segment)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, prober.Port{Member: n.Name, Interface: p.SwitchPort})
	}
	return out
}

func start(t *testing.T, l *topology.Lab) *prober.Prober {
	t.Helper()
	host, err := l.Node("watch-" + segment)
	if err != nil {
		t.Fatal(err)
	}
	p, err := prober.Start(context.Background(), prober.Config{
		Segment: segment, VIPs: vips(t, l), Every: 5 * time.Millisecond,
		Host: host.NS.Do, Interface: host.Ports[0].Device, Addr4: host.Ports[0].V4.Addr(), Addr6: host.Ports[0].V6.Addr(),
		Switch: l.Switch.NS.Do, Ports: ports(t, l),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answered waits until every address was answered so many times by a member since from.
func answered(t *testing.T, p *prober.Prober, l *topology.Lab, member string, from time.Time, times int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; <-time.After(5 * time.Millisecond) {
		turns := map[netip.Addr]int{}
		for _, a := range p.Answers(from, time.Now()) {
			if a.Member == member {
				turns[a.VIP]++
			}
		}
		least := times
		for _, vip := range vips(t, l) {
			least = min(least, turns[vip])
		}
		if least >= times {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s answered %v", member, turns)
		}
	}
}

func TestProberTellsMembersWithOneMACApart(t *testing.T) {
	l := build(t)
	serve(t, l, "fw1", true)
	p := start(t, l)
	answered(t, p, l, "fw1", time.Time{}, 10)
	if m, _ := p.Server(); m != "fw1" {
		t.Errorf("server %q, want fw1", m)
	}
	serve(t, l, "fw1", false)
	moved := time.Now()
	serve(t, l, "fw2", true)
	answered(t, p, l, "fw2", moved, 10)
	rep, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if rep.Missed != 0 {
		t.Errorf("missed %d", rep.Missed)
	}
	if rep.Contested != 0 || rep.Dual != 0 {
		t.Errorf("a clean hand-over counts as contested: %+v", rep)
	}
	for _, vip := range vips(t, l) {
		turns := map[string]int{}
		for _, s := range rep.Services {
			if s.VIP == vip {
				turns[s.Member] += s.Answers
			}
		}
		if turns["fw1"] < 5 || turns["fw2"] < 5 { // of 10
			t.Errorf("%s: answers %v, want 5 or more of each", vip, turns)
		}
	}
	for _, a := range p.Answers(rep.From, rep.To) {
		if a.MAC != [6]byte{2, 0x48, 0, 1, 0, 0} || a.Claimed != a.MAC {
			t.Fatalf("%s answered with %x, claims %x", a.Member, a.MAC, a.Claimed)
		}
		if (a.Member == "fw2") != a.At.After(moved) && a.At.Sub(moved).Abs() > 2*time.Second {
			t.Errorf("%s answered %v from the hand-over", a.Member, a.At.Sub(moved))
		}
	}
}

func TestProberSeesTwoThatAnswer(t *testing.T) {
	l := build(t)
	serve(t, l, "fw1", true)
	p := start(t, l)
	answered(t, p, l, "fw1", time.Time{}, 5)
	from := time.Now()
	serve(t, l, "fw2", true)
	answered(t, p, l, "fw2", time.Now(), 10)
	serve(t, l, "fw1", false)
	to := time.Now()
	answered(t, p, l, "fw2", to, 5)
	rep, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Episodes) < len(vips(t, l)) {
		t.Errorf("%d episodes, want one for each address: %+v", len(rep.Episodes), rep.Episodes)
	}
	if took := to.Sub(from); rep.LongestDual > took+time.Second || rep.LongestDual <= 0 {
		t.Errorf("two answered for %v, measured %v", took, rep.LongestDual)
	}
	if rep.Contested < 4 {
		t.Errorf("%d probes got two answers", rep.Contested)
	}
	before := p.Window(rep.From, from)
	if before.Dual != 0 {
		t.Errorf("dual before the second one served: %+v", before)
	}
}

func TestWatchSeesWhoForwards(t *testing.T) {
	l := build(t)
	w, err := prober.StartWatch(context.Background(), prober.ForwardConfig{Switch: l.Switch.NS.Do, Ports: intPorts(l)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := traffic.Start(context.Background(), traffic.Config{A: endpoint(t, l, "client1"), B: endpoint(t, l, "server1"), OneWay: true})
	if err != nil {
		t.Fatal(err)
	}
	in, err := tap.Open(l.Switch.NS.Do, "fw1-int", tap.Options{Incoming: true})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	fw2, err := l.Node("fw2")
	if err != nil {
		t.Fatal(err)
	}
	out, err := tap.Inject(fw2.NS.Do, "int")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	copied := copyOne(t, in, out)
	sent, err := r.Stop(0)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := w.Stop()
	if err != nil {
		t.Fatal(err)
	}
	_, received, _, _, _ := sent.Totals()
	if rep.Forwarded["fw1"] != received || rep.TwiceCount != 1 || rep.Twice[0].Sequence != copied || rep.Twice[0].Second != "fw2" {
		t.Errorf("%d packets received, packet %d copied: %+v", received, copied, rep)
	}
}

func intPorts(l *topology.Lab) []prober.Port {
	var out []prober.Port
	for _, n := range l.OfKind(topology.Member) {
		out = append(out, prober.Port{Member: n.Name, Interface: n.Name + "-int"})
	}
	return out
}

func endpoint(t *testing.T, l *topology.Lab, name string) traffic.Endpoint {
	t.Helper()
	n := topologytest.Node(t, l, name)
	return traffic.Endpoint{Name: name, In: n.NS.Do, Addr4: n.Ports[0].V4.Addr(), Addr6: n.Ports[0].V6.Addr()}
}

// copyOne lets one numbered packet that comes in be sent once more, and returns its number.
func copyOne(t *testing.T, in *tap.Tap, out *tap.Injector) uint64 {
	t.Helper()
	buf := make([]byte, 2048)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		f, ok, err := in.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		const headers = 14 + 20 + 8
		if !ok || len(f.Data) < headers {
			continue
		}
		if p, _, ok := traffic.ParsePacket(f.Data[headers:]); ok {
			if err := out.Send(f.Data); err != nil {
				t.Fatal(err)
			}
			return p.Sequence
		}
	}
	t.Fatal("no numbered packet within 5 s")
	return 0
}
