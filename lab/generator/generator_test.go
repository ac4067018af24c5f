// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/checksum"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// build makes a topology whose first member routes, without cluster software.
func build(t *testing.T) *topology.Lab {
	t.Helper()
	labtest.Require(t)
	spec := topology.DefaultSpec("gen", 2)
	spec.Router = "fw1"
	lab, err := topology.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

func flows(lab *topology.Lab, n int) []Flow {
	from, to := lab.OfKind(topology.Client)[0].Ports[0].V4.Addr(), lab.OfKind(topology.Server)[0].Ports[0].V4.Addr()
	var out []Flow
	for i := range n {
		out = append(out, Flow{From: netip.AddrPortFrom(from, uint16(2000+i)), To: netip.AddrPortFrom(to, 9)})
	}
	return out
}

func sink(t *testing.T, n *topology.Node) *Sink {
	t.Helper()
	s, err := AttachSink(n, n.Ports[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestEverythingThatIsSentArrives sends through a router, slowly and as fast as it goes.
func TestEverythingThatIsSentArrives(t *testing.T) {
	lab := build(t)
	client, server, router := lab.OfKind(topology.Client)[0], lab.OfKind(topology.Server)[0], lab.OfKind(topology.Member)[0]
	s := sink(t, server)
	cfg := Config{Node: client, NextHop: router.Ports[0].MAC, Flows: flows(lab, 100), Processors: []int{0}}
	// The router asks for the server first, and its queue for that holds all of a hundred frames.
	if err := Once(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	arrived := func() uint64 {
		n, err := s.Count()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for end := time.Now().Add(30 * time.Second); arrived() < 100 && time.Now().Before(end); {
		<-time.After(time.Millisecond)
	}
	if n := arrived(); n != 100 {
		t.Fatalf("%d of 100 frames arrived", n)
	}
	r, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, err := r.Burst(time.Millisecond, 5*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if b.Sent == 0 || b.All <= b.Sent || b.CPU <= 0 || b.Had <= 0 {
			t.Fatalf("%+v", b)
		}
		if sent, _ := r.Sent(); sent >= 20_000 {
			break
		}
	}
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	sent, refused := r.Sent()
	if got := arrived() - 100; refused != 0 || got > sent || got < sent*9/10 {
		t.Errorf("%d sent, %d refused, %d arrived", sent, refused, got)
	}
}

// TestSinkLetsOtherPacketsPass: a datagram of another length reaches the server's socket.
func TestSinkLetsOtherPacketsPass(t *testing.T) {
	lab := build(t)
	client, server := lab.OfKind(topology.Client)[0], lab.OfKind(topology.Server)[0]
	s := sink(t, server)
	var in, out net.PacketConn
	listen := func(n *topology.Node, c *net.PacketConn) {
		if err := n.NS.Do(func() (err error) { *c, err = net.ListenPacket("udp4", "0.0.0.0:7000"); return err }); err != nil {
			t.Fatal(err)
		}
	}
	listen(server, &in)
	defer in.Close()
	listen(client, &out)
	defer out.Close()
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(server.Ports[0].V4.Addr(), 7000))
	if err := in.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"eighteen bytes are", "nineteen bytes are "} { // the first makes a frame of 60 bytes
		if _, err := out.WriteTo([]byte(text), to); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 100)
	n, _, err := in.ReadFrom(b)
	if err != nil || n != 19 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if count, err := s.Count(); err != nil || count != 1 {
		t.Errorf("counted %d, %v", count, err)
	}
}

func TestFrame(t *testing.T) {
	f := Flow{From: netip.MustParseAddrPort("10.1.2.3:1000"), To: netip.MustParseAddrPort("10.2.1.1:9")}
	b := frame(net.HardwareAddr{1, 2, 3, 4, 5, 6}, net.HardwareAddr{7, 8, 9, 10, 11, 12}, f)
	if len(b) != FrameLen || checksum.Fold(checksum.Sum(b[etherLen:etherLen+ipLen])) != 0xffff || b[protocolAt] != protoUDP {
		t.Errorf("% x", b)
	}
	const want = "0102030405060708090a0b0c08004500002e000040004011"
	if got := fmt.Sprintf("%x", b[:24]); got != want {
		t.Errorf("begins with %s, want %s", got, want)
	}
	if got := fmt.Sprintf("%x", b[26:]); got[:32] != "0a0102030a02010103e80009001a0000" {
		t.Errorf("goes on with %s", got)
	}
	if f.Reverse().Reverse() != f || f.Reverse().From != f.To {
		t.Errorf("reversed %v", f.Reverse())
	}
}

func TestConfigIsRefused(t *testing.T) {
	n := &topology.Node{Name: "n", Ports: []*topology.Port{{}}}
	mac := net.HardwareAddr{1, 2, 3, 4, 5, 6}
	four := []Flow{{netip.MustParseAddrPort("10.1.2.3:1000"), netip.MustParseAddrPort("10.2.1.1:9")}}
	six := []Flow{{netip.MustParseAddrPort("[fd00::1]:1000"), netip.MustParseAddrPort("[fd00::2]:9")}}
	for name, c := range map[string]Config{
		"no node":           {NextHop: mac, Flows: four, Processors: []int{0}},
		"no next hop":       {Node: n, Flows: four, Processors: []int{0}},
		"no processor":      {Node: n, NextHop: mac, Flows: four},
		"no flow":           {Node: n, NextHop: mac, Processors: []int{0}},
		"no such processor": {Node: n, NextHop: mac, Flows: four, Processors: []int{100000}},
		"IPv6":              {Node: n, NextHop: mac, Flows: six, Processors: []int{0}},
	} {
		if _, err := Start(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
