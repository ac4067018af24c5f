// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

// TestWhichBegunHere: of a connection in a slot that is moving to the decider, the decider takes what has begun there, and which-member says so.
func TestWhichBegunHere(t *testing.T) {
	first := record.Tuple{Src: netip.MustParseAddr("198.51.100.7"), Dst: netip.MustParseAddr("203.0.113.9"), Proto: steer.ProtoUDP, SrcPort: 1, DstPort: 2}
	back := first
	back.Src, back.Dst, back.SrcPort, back.DstPort = first.Dst, first.Src, first.DstPort, first.SrcPort
	for _, c := range []struct {
		name  string
		pivot uint8
		here  bool
		taker uint8
	}{
		{"begun here", 0, true, 0},
		{"a copy", 0, false, 1},
		{"begun here, and another decides", 2, true, 1},
	} {
		n := sharingNode(t, "gw-a", config.MethodUnicast)
		if self := n.local.Self.ID; self != 0 {
			t.Fatalf("gw-a is member %d", self)
		}
		n.share.table.Leader = c.pivot
		for i := range n.share.table.Entry {
			n.share.table.Entry[i] = steer.Moves(1, c.pivot)
		}
		for _, packet := range []record.Tuple{first, back} {
			w := n.which(packet, 0, &knownConnection{original: first, reply: back, packet: packet, here: c.here})
			if w.Decider != n.name(c.pivot) || w.Taker != n.name(c.taker) {
				t.Errorf("%s: %s decides, %s takes it, want %s and %s: %q", c.name, w.Decider, w.Taker, n.name(c.pivot), n.name(c.taker), w.Why)
			}
		}
	}
}

// TestWhichOwnAddress: what is sent to a member's own address is not shared, unless it has to pass the gateway.
func TestWhichOwnAddress(t *testing.T) {
	n := sharingNode(t, "gw-a", config.MethodUnicast)
	for i := range n.share.table.Entry {
		n.share.table.Entry[i] = steer.Taken(0)
	}
	src := netip.MustParseAddr("198.51.100.7")
	for _, m := range n.cfg.Members {
		for _, i := range m.Interfaces {
			for _, p := range i.Addresses {
				w := n.which(record.Tuple{Src: src, Dst: p.Addr(), Proto: steer.ProtoTCP}, 0, nil)
				if w.Steered || w.Slot != -1 || len(w.Why) != 2 || !strings.Contains(w.Why[0], "an address of "+m.Name+" itself") || !strings.Contains(w.Why[1], "by way of gw-a") {
					t.Errorf("to %s: %+v", p.Addr(), w)
				}
			}
		}
	}
	if w := n.which(record.Tuple{Src: src, Dst: netip.MustParseAddr("203.0.113.200"), Proto: steer.ProtoTCP}, 0, nil); !w.Steered {
		t.Errorf("to a host: %+v", w)
	}
}

// TestLookUpBegunHere: the kernel's table tells what has begun here from copies, which are liberal or last long.
func TestLookUpBegunHere(t *testing.T) {
	labtest.Require(t, "conntrack")
	ns := linktest.New(t)
	for i, c := range []struct {
		proto   uint8
		seconds int
		here    bool
	}{{steer.ProtoUDP, 120, true}, {steer.ProtoUDP, record.CopyTimeout, false}, {steer.ProtoTCP, 300, false}} {
		first := record.Tuple{Src: netip.MustParseAddr("198.51.100.7"), Dst: netip.MustParseAddr("203.0.113.9"), Proto: c.proto, SrcPort: uint16(1000 + i), DstPort: 2}
		args := []string{"-I", "-p", map[uint8]string{steer.ProtoUDP: "udp", steer.ProtoTCP: "tcp"}[c.proto], "-s", first.Src.String(), "-d", first.Dst.String(),
			"--sport", fmt.Sprint(first.SrcPort), "--dport", "2", "-t", fmt.Sprint(c.seconds)}
		if c.proto == steer.ProtoTCP {
			args = append(args, "--state", "ESTABLISHED", "-u", "ASSURED,SEEN_REPLY") // conntrack(8) makes it liberal
		}
		ns.Run("conntrack", args...)
		var known *knownConnection
		ns.Do(func() (err error) {
			known, err = lookUp(first)
			return err
		})
		if known == nil || known.original != first || known.here != c.here {
			t.Errorf("protocol %d for %d s: %+v, want begun here %v", c.proto, c.seconds, known, c.here)
		}
	}
}
