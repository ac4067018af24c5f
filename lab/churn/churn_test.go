// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/lab/checksum"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
)

// build makes a topology whose first member routes, without cluster software.
func build(t *testing.T) (client, server *topology.Node) {
	t.Helper()
	lab := topologytest.Routed(t, "churn")
	return lab.OfKind(topology.Client)[0], lab.OfKind(topology.Server)[0]
}

// TestEveryConnectionIsAnswered opens connections of each kind through a router and counts both ends.
func TestEveryConnectionIsAnswered(t *testing.T) {
	client, server := build(t)
	const count = 1000
	for _, protocol := range []Protocol{UDP, TCP} {
		for _, family := range []int{4, 6} {
			t.Run(fmt.Sprintf("%s-v%d", protocol, family), func(t *testing.T) {
				cfg := Config{Client: client, Server: server, Protocol: protocol, Family: family, Rate: 20000, Count: count, Answer: true, Close: true, Payload: 33}
				r, err := Start(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				select {
				case <-r.Done():
				case <-time.After(20 * time.Second):
					t.Error("not done")
				}
				rep, err := r.Stop()
				if err != nil {
					t.Fatal(err)
				}
				// Neighbours are asked for at first, and a queue for them is short.
				if rep.Opened != count || rep.Answered < count*8/10 || rep.Reset != 0 {
					t.Errorf("%+v", rep)
				}
				if protocol == TCP && rep.Closed < count*8/10 {
					t.Errorf("closed %d", rep.Closed)
				}
				first, end := r.Opened(time.Time{}, time.Now())
				if first != 0 || end != count {
					t.Errorf("opened %d to %d", first, end)
				}
			})
		}
	}
}

func TestOneWayConnectionsAreNotAnswered(t *testing.T) {
	client, server := build(t)
	r, err := Start(t.Context(), Config{Client: client, Server: server, Count: 200})
	if err != nil {
		t.Fatal(err)
	}
	<-r.Done()
	rep, err := r.Stop()
	if err != nil || rep.Opened != 200 || rep.Arrived == 0 || rep.Answered != 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

func node(t *testing.T) *topology.Node {
	t.Helper()
	spec := topology.DefaultSpec("x", 2)
	i := 0
	n := spec.Net(i)
	return &topology.Node{Name: "n", Ports: []*topology.Port{{V4: n.V4, V6: n.V6}}}
}

func TestPacketsHaveRightChecksums(t *testing.T) {
	n := node(t)
	for _, protocol := range []Protocol{UDP, TCP} {
		for _, family := range []int{4, 6} {
			cfg, err := Config{Client: n, Server: n, Protocol: protocol, Family: family, Payload: 5}.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			m := newMaker(cfg)
			b := make([]byte, len(m.base))
			for _, k := range []int{0, 1, 63999, 64000, 12345678} {
				m.put(b, k)
				upper := b[m.l4:]
				addresses := b[m.l4-8 : m.l4]
				if family == 6 {
					addresses = b[m.l4-32 : m.l4]
				} else if got := checksum.Fold(checksum.Sum(b[:ipv4Len])); got != 0xffff {
					t.Errorf("%s v%d: IP header adds up to %#x", protocol, family, got)
				}
				number := uint32(protoUDP)
				if protocol == TCP {
					number = protoTCP
				}
				if got := checksum.Fold(checksum.Sum(addresses) + checksum.Sum(upper) + number + uint32(len(upper))); got != 0xffff {
					t.Errorf("%s v%d connection %d: adds up to %#x", protocol, family, k, got)
				}
				f := cfg.flow(k)
				if binary.BigEndian.Uint16(upper) != f.From.Port() || binary.BigEndian.Uint16(upper[2:]) != f.To.Port() {
					t.Errorf("ports of connection %d differ from %v", k, f)
				}
			}
		}
	}
}

// TestNumbers reads the number of a connection back from its packets.
func TestNumbers(t *testing.T) {
	n := node(t)
	for _, protocol := range []Protocol{UDP, TCP} {
		cfg, err := Config{Client: n, Server: n, Protocol: protocol, Payload: NumberLen + 1}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		m := newMaker(cfg)
		b := make([]byte, len(m.base))
		for _, k := range []int{0, 1, 63999, 64000, MaxConnections - 1} {
			m.put(b, k)
			if got := checksum.Fold(checksum.Sum(b[m.l4-8:]) + uint32(b[9]) + uint32(len(b)-m.l4)); got != 0xffff {
				t.Errorf("%s connection %d: adds up to %#x", protocol, k, got)
			}
			if got, run, ok := Number(b[9], b[m.l4:]); !ok || got != k || run != DefaultFirstPort {
				t.Errorf("%s connection %d is read as %d of %d, %v", protocol, k, got, run, ok)
			}
			if protocol == UDP {
				continue
			}
			answer := b[m.l4:]
			binary.BigEndian.PutUint32(answer[8:], binary.BigEndian.Uint32(answer[4:])+1)
			binary.BigEndian.PutUint32(answer[4:], 12345)
			copy(answer[0:], answer[2:4]) // the server's port
			answer[13] |= tcpACK
			if got, run, ok := Number(b[9], answer); !ok || got != k || run != DefaultFirstPort {
				t.Errorf("answer to connection %d is read as %d of %d, %v", k, got, run, ok)
			}
		}
	}
	if _, _, ok := Number(protoUDP, make([]byte, 8)); ok {
		t.Error("an empty datagram has a number")
	}
}

func TestConfigIsRefused(t *testing.T) {
	n := node(t)
	for name, c := range map[string]Config{
		"no server": {Client: n},
		"protocol":  {Client: n, Server: n, Protocol: "sctp"},
		"family":    {Client: n, Server: n, Family: 5},
		"rate":      {Client: n, Server: n, Rate: -1},
		"count":     {Client: n, Server: n, Count: MaxConnections + 1},
		"payload":   {Client: n, Server: n, Payload: 1401},
		"port":      {Client: n, Server: n, FirstPort: 65000},
		"address":   {Client: n, Server: n, Family: 4, To: n.Ports[0].V6.Addr()},
	} {
		if _, err := Start(t.Context(), c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
