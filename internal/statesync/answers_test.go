// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

// gateNotes are the notes of a member's gate.
type gateNotes struct {
	m  *member
	mu sync.Mutex
	of map[record.Tuple]note
	// room is for how many there is some, 0 for any number.
	room int
	// late counts notes of copies that were in the kernel's table already, forgotten those that were taken away.
	late, forgotten int
}

type note struct {
	slot uint16
	here bool
}

func newGateNotes(m *member) *gateNotes { return &gateNotes{m: m, of: map[record.Tuple]note{}} }

func (g *gateNotes) Note(answer record.Tuple, slot uint16, here bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, there := g.of[answer]; !there {
		if g.room > 0 && len(g.of) >= g.room {
			return errors.New("no room")
		}
		if !here && g.m.knows(answer) {
			g.late++
		}
	}
	g.of[answer] = note{slot, here}
	return nil
}

func (g *gateNotes) Forget(answer record.Tuple) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, there := g.of[answer]; there {
		g.forgotten++
	}
	delete(g.of, answer)
	return nil
}

func (g *gateNotes) Noted() (all []record.Tuple, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for answer := range g.of {
		all = append(all, answer)
	}
	return all, nil
}

// are returns what is noted.
func (g *gateNotes) are() map[record.Tuple]note {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.of)
}

// knows says whether the kernel knows a connection with a tuple, in either direction.
func (m *member) knows(tuple record.Tuple) bool {
	family := uint8(unix.AF_INET6)
	if tuple.Src.Is4() {
		family = unix.AF_INET
	}
	_, err := m.table.Get(nil, family, record.AppendLookup(nil, tuple))
	return err == nil
}

// The addresses of translated connections: what is behind the cluster, whom it speaks to, and what it is translated to.
var (
	inside4, inside6   = netip.MustParsePrefix("10.7.0.0/24").Addr(), netip.MustParsePrefix("fd07::/64").Addr()
	outside4, outside6 = netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("2001:db8:5::10")
	mapped4, mapped6   = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
)

// translates gives a member a way out, by which everything is translated.
func (w *world) translates(m *member) {
	w.t.Helper()
	labtest.Require(m.t, "nft")
	outside, err := netlink.NewHandleAt(w.switches)
	must(m.t, err)
	defer outside.Close()
	far := fmt.Sprintf("far%d", m.id)
	must(m.t, outside.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: far}, PeerName: "out", PeerNamespace: netlink.NsFd(m.ns)}))
	end, err := outside.LinkByName(far)
	must(m.t, err)
	must(m.t, outside.LinkSetUp(end))
	h, err := netlink.NewHandleAt(m.ns)
	must(m.t, err)
	defer h.Close()
	out, err := h.LinkByName("out")
	must(m.t, err)
	must(m.t, h.LinkSetARPOff(out))
	must(m.t, h.LinkSetUp(out))
	for _, to := range []*net.IPNet{{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}} {
		must(m.t, h.RouteAdd(&netlink.Route{LinkIndex: out.Attrs().Index, Dst: to, Scope: netlink.SCOPE_LINK}))
	}
	nft := exec.Command("ip", "netns", "exec", m.name, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(fmt.Sprintf(`table inet n { chain c { type nat hook postrouting priority 100;
		oifname "out" meta nfproto ipv4 snat ip to %s
		oifname "out" meta nfproto ipv6 snat ip6 to %s
	}
}
`, mapped4, mapped6))
	if text, err := nft.CombinedOutput(); err != nil {
		m.t.Fatalf("nft: %v\n%s", err, text)
	}
}

// host is the nth address behind the cluster.
func host(n uint8, six bool) netip.Addr {
	b := inside4.AsSlice()
	if six {
		b = inside6.AsSlice()
	}
	b[len(b)-1] = n
	a, _ := netip.AddrFromSlice(b)
	return a
}

// sends has a packet of a protocol leave by way of a member, as if it came from a host behind the cluster.
func (m *member) sends(from, to netip.Addr, proto uint8, payload []byte) {
	m.t.Helper()
	must(m.t, inNS(m.ns, func() error {
		family := unix.AF_INET
		var packet []byte
		var at unix.Sockaddr
		if to.Is4() {
			packet = make([]byte, 20)
			packet[0], packet[8], packet[9] = 0x45, 64, proto
			binary.BigEndian.PutUint16(packet[2:], uint16(20+len(payload)))
			copy(packet[12:], from.AsSlice())
			copy(packet[16:], to.AsSlice())
			at = &unix.SockaddrInet4{Addr: to.As4()}
		} else {
			family, packet = unix.AF_INET6, make([]byte, 40)
			packet[0], packet[6], packet[7] = 0x60, proto, 64
			binary.BigEndian.PutUint16(packet[4:], uint16(len(payload)))
			copy(packet[8:], from.AsSlice())
			copy(packet[24:], to.AsSlice())
			at = &unix.SockaddrInet6{Addr: to.As16()}
		}
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, append(packet, payload...), 0, at)
	}))
}

// kind is a protocol that gates cannot look up, with the first packet of a connection and how its answers come in.
type kind struct {
	name    string
	proto   uint8
	payload []byte
	answer  record.Tuple // but for its addresses
}

func kinds(six bool) []kind {
	echo, reply := []byte{8, 0, 0, 0, 0, 77, 0, 1}, record.Tuple{Proto: unix.IPPROTO_ICMP, ICMPID: 77}
	if six {
		echo[0], reply = 128, record.Tuple{Proto: unix.IPPROTO_ICMPV6, ICMPType: 129, ICMPID: 77}
	}
	init := make([]byte, 12+20)
	binary.BigEndian.PutUint16(init, 2905)
	binary.BigEndian.PutUint16(init[2:], 36412)
	init[12], init[15] = 1, 20 // INIT
	init[19] = 1               // its tag
	return []kind{
		{"GRE", unix.IPPROTO_GRE, []byte{0, 0, 8, 0, 1, 2, 3, 4}, record.Tuple{Proto: unix.IPPROTO_GRE}},
		{"ESP", unix.IPPROTO_ESP, []byte{0, 0, 16, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8}, record.Tuple{Proto: unix.IPPROTO_ESP}},
		{"SCTP", unix.IPPROTO_SCTP, init, record.Tuple{Proto: unix.IPPROTO_SCTP, SrcPort: 36412, DstPort: 2905}},
		{"echo", reply.Proto, echo, reply},
	}
}

// TestAnswersAreNoted: how the answers of translated connections come in is noted at all members before their kernels have the copies, and forgotten
// when they end.
func TestAnswersAreNoted(t *testing.T) {
	t.Parallel()
	w := newShared(t, 3, 3, 2)
	for _, m := range w.members {
		w.translates(m)
	}
	w.ready()
	w.compared()
	want := []map[record.Tuple]note{{}, {}, {}}
	for _, six := range []bool{false, true} {
		outside, mapped := outside4, mapped4
		if six {
			outside, mapped = outside6, mapped6
		}
		for i, k := range kinds(six) {
			n := uint8(1 + i)
			slot := bySourcePort.Of(record.Tuple{Src: host(n, six), SrcPort: k.answer.DstPort})
			owner := w.table.Takes[slot]
			w.members[owner].sends(host(n, six), outside, k.proto, k.payload)
			answer := k.answer
			answer.Src, answer.Dst = outside, mapped
			for id := range want {
				want[id][answer] = note{slot, uint8(id) == owner}
			}
		}
	}
	// What is not translated, or can be looked up, is not noted.
	w.members[0].gets([]record.Record{udp(1, record.OpNew)})
	noted := func() bool {
		for id, m := range w.members {
			if !maps.Equal(m.notes.are(), want[id]) {
				return false
			}
		}
		return true
	}
	defer func() {
		if t.Failed() {
			for id, m := range w.members {
				t.Logf("member %d: %v, want %v\n%s", id, m.notes.are(), want[id], strings.Join(m.list(), "\n"))
			}
		}
	}()
	w.eventually("all are noted", 3*time.Second, noted)
	w.eventually("all are in the tables", 3*time.Second, w.equal(9))
	for _, m := range w.members {
		if m.notes.late > 0 {
			t.Errorf("member %d noted %d after its kernel had them", m.id, m.notes.late)
		}
		if s := m.plane.State(); s.Noted != 8 || s.Unnoted != "" {
			t.Errorf("member %d: %d noted, %q", m.id, s.Noted, s.Unnoted)
		}
	}
	// They go on anywhere.
	for _, m := range w.members {
		for _, six := range []bool{false, true} {
			for i, k := range kinds(six) {
				to := outside4
				if six {
					to = outside6
				}
				m.sends(host(uint8(1+i), six), to, k.proto, k.payload)
			}
		}
		if left := m.list(); len(left) != 9 {
			t.Errorf("member %d has %d connections once packets of theirs have come to it:\n%s", m.id, len(left), strings.Join(left, "\n"))
		}
	}
	forgotten := func(from netip.Addr, of ...uint8) {
		for id := range want {
			maps.DeleteFunc(want[id], func(a record.Tuple, _ note) bool {
				for _, proto := range of {
					if a.Src == from && a.Proto == proto {
						return true
					}
				}
				return false
			})
		}
	}
	for _, m := range w.members {
		m.notes.mu.Lock()
		m.notes.forgotten = 0
		m.notes.mu.Unlock()
	}
	owner := w.members[w.table.Takes[bySourcePort.Of(record.Tuple{Src: host(1, false)})]]
	owner.tool("-D", "-p", "gre", "-s", host(1, false).String())
	forgotten(outside4, unix.IPPROTO_GRE)
	w.eventually("what ended is forgotten", 3*time.Second, noted)
	for _, m := range w.members {
		m.notes.mu.Lock()
		if m.notes.forgotten != 1 {
			t.Errorf("member %d forgot %d", m.id, m.notes.forgotten)
		}
		m.notes.mu.Unlock()
	}
}

// TestAnswersAgain: a new plane takes over the notes of the one before it, and rids the gate of those whose connections have ended meanwhile; by other
// rules their slots are others.
func TestAnswersAgain(t *testing.T) {
	t.Parallel()
	w := newShared(t, 2, 2, 1)
	m := w.members[0]
	w.translates(m)
	w.ready()
	gre := record.Tuple{Src: outside4, Dst: mapped4, Proto: unix.IPPROTO_GRE}
	esp := record.Tuple{Src: outside4, Dst: mapped4, Proto: unix.IPPROTO_ESP}
	for i, k := range kinds(false)[:2] {
		m.sends(host(uint8(4*i), false), outside4, k.proto, k.payload) // slot 0
	}
	both := map[record.Tuple]note{gre: {0, true}, esp: {0, true}}
	w.eventually("both are noted", 3*time.Second, func() bool { return maps.Equal(m.notes.are(), both) })
	m.halt()
	m.tool("-D", "-p", "gre")
	m.notes.mu.Lock()
	m.notes.forgotten = 0
	m.notes.mu.Unlock()
	m.start()
	w.publish()
	w.eventually("the one that ended is forgotten", 5*time.Second, func() bool {
		w.hello()
		return maps.Equal(m.notes.are(), map[record.Tuple]note{esp: {0, false}})
	})
	if m.notes.forgotten != 1 {
		t.Errorf("%d were forgotten", m.notes.forgotten)
	}
	slots := bySourcePort
	slots.Rules++
	slots.Of = func(record.Tuple) uint16 { return 3 }
	m.plane.SetSlots(slots)
	if got := m.notes.are(); !maps.Equal(got, map[record.Tuple]note{esp: {3, false}}) {
		t.Errorf("by other rules: %v", got)
	}
}

// TestAnswersOfOthers: an answer that came to a member before that had heard of its connection has begun one there. It goes when the real one comes,
// and takes nobody else's place.
func TestAnswersOfOthers(t *testing.T) {
	t.Parallel()
	w := newShared(t, 3, 3, 1)
	w.translates(w.members[0])
	w.ready()
	w.compared()
	gre := kinds(false)[0]
	answer := record.Tuple{Src: outside4, Dst: mapped4, Proto: gre.proto}
	w.members[0].sends(host(4, false), outside4, gre.proto, gre.payload) // slot 0
	w.eventually("it is everywhere", 3*time.Second, w.equal(1))
	real := w.members[0].list()
	// Whoever takes the slot of the answer's source takes it for something new, if it knows no better.
	mistaken := w.members[w.table.Takes[bySourcePort.Of(answer)]]
	if mistaken.id != 1 {
		t.Fatalf("member %d takes it", mistaken.id)
	}
	mistaken.tool("-D", "-p", "gre")
	mistaken.tool("-I", "-p", "gre", "-s", answer.Src.String(), "-d", answer.Dst.String(), "--srckey", "0", "--dstkey", "0", "-t", "600")
	w.eventually("it is refused", 3*time.Second, func() bool {
		return w.members[0].plane.Stats().Mistaken > 0 && w.members[2].plane.Stats().Mistaken > 0
	})
	if got := w.members[0].list(); strings.Join(got, "\n") != strings.Join(real, "\n") {
		t.Errorf("the one that is real has become\n%v, was\n%v", got, real)
	}
}

// TestAnswersWithoutRoom: what is not noted is said, until there is room.
func TestAnswersWithoutRoom(t *testing.T) {
	t.Parallel()
	w := newShared(t, 2, 2, 1)
	m := w.members[0]
	m.notes.mu.Lock()
	m.notes.room = 1
	m.notes.mu.Unlock()
	w.translates(m)
	w.ready()
	for i, k := range kinds(false)[:2] {
		m.sends(host(uint8(4*i), false), outside4, k.proto, k.payload)
	}
	w.eventually("one has no room", 3*time.Second, func() bool {
		s := m.plane.State()
		return s.Noted == 1 && s.Unnoted == "no room" && m.plane.Stats().NotesRefused == 1
	})
	for proto := range m.notes.are() {
		m.tool("-D", "-p", fmt.Sprint(proto.Proto))
	}
	w.eventually("that one has ended", 3*time.Second, func() bool { return m.plane.State().Noted == 0 })
	gre := kinds(false)[0]
	m.sends(host(8, false), outside4, gre.proto, gre.payload)
	w.eventually("there is room again", 3*time.Second, func() bool { s := m.plane.State(); return s.Noted == 1 && s.Unnoted == "" })
}
