// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// answerTo is how a note calls the packets of a direction.
func answerTo(p packet) Answer {
	a := Answer{Src: p.from, Dst: p.to, Proto: p.proto}
	switch p.proto {
	case protoSCTP, protoTCP, protoUDP:
		a.SrcPort, a.DstPort = p.sport, p.dport
	case protoICMP, protoICMPv6:
		a.SrcPort, a.DstPort = p.id, p.id
	case protoGRE:
		a.DstPort = p.call
	}
	return a
}

// note has the gate know whose answers those are.
func (g *Gate) note(t *testing.T, p packet, slot uint16, here bool) {
	t.Helper()
	if err := g.NoteAnswer(answerTo(p), slot, here); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.ForgetAnswer(answerTo(p)); err != nil {
			t.Error(err)
		}
	})
}

// TestNotedAnswers: what the kernel cannot be asked about goes to the taker of its connection's original direction, if it is noted how its
// answers come in; so do ICMP errors about what left.
func TestNotedAnswers(t *testing.T) {
	inside, inside6 := netip.MustParseAddr("192.168.7.7"), netip.MustParseAddr("2001:db8:7::7")
	router4, router6 := netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("2001:db8:ffff::1")
	type translation struct {
		name          string
		first, answer packet
		silent        bool // no error can be told to be about it
	}
	var all []translation
	for _, e := range []struct {
		name                   string
		from, to, vip, router  netip.Addr
		echo, request, replies uint8
	}{
		{"IPv4", inside, far4, vip4, router4, protoICMP, 8, 0},
		{"IPv6", inside6, far6, vip6, router6, protoICMPv6, 128, 129},
	} {
		for _, c := range []translation{
			{name: "GRE", first: packet{proto: protoGRE}, answer: packet{proto: protoGRE}},
			{name: "PPTP", first: packet{proto: protoGRE, call: 7}, answer: packet{proto: protoGRE, call: 9}, silent: true},
			{name: "ESP", first: packet{proto: protoESP, spi: 1000}, answer: packet{proto: protoESP, spi: 2000}},
			{name: "SCTP", first: packet{proto: protoSCTP, sport: 1000, dport: 36412}, answer: packet{proto: protoSCTP, sport: 36412, dport: 1000}},
			{name: "SCTP, in another's part of the range", first: packet{proto: protoSCTP, sport: 1000, dport: 36412}, answer: packet{proto: protoSCTP, sport: 36412, dport: 35000}},
			{name: "echo", first: packet{proto: e.echo, icmp: e.request, id: 77}, answer: packet{proto: e.echo, icmp: e.replies, id: 78}},
			{name: "echo, in another's part of the range", first: packet{proto: e.echo, icmp: e.request, id: 77}, answer: packet{proto: e.echo, icmp: e.replies, id: 35000}},
			{name: "what has a number only", first: packet{proto: 115}, answer: packet{proto: 115}},
		} {
			c.name = e.name + "/" + c.name
			c.first.from, c.first.to, c.answer.from, c.answer.to = e.from, e.to, e.to, e.vip
			all = append(all, c)
		}
	}
	routers := map[bool]netip.Addr{true: router4, false: router6}
	g := newTestGate(t, true)
	for _, mode := range []SteerMode{SteerMulticast, SteerUnicast} {
		s := testSteering
		s.Mode = mode
		for _, c := range all {
			t.Run(fmt.Sprint(mode, "/", c.name), func(t *testing.T) {
				g.clear()
				g.share(t, s)
				owner, _ := g.slot(t, c.first)
				g.note(t, c.answer, owner, false)
				packets := map[string]packet{"first": c.first, "answer": c.answer}
				if left := c.answer.answer(); !c.silent {
					about := packet{from: routers[left.from.Is4()], to: left.from, proto: protoICMP, icmp: 3, inner: left.bytes()}
					if left.from.Is6() {
						about.proto, about.icmp = protoICMPv6, 2
					}
					packets["error"] = about
				}
				g.owned(t, mode, owner, packets)
			})
		}
	}
}

// TestNotedBegun: in a slot that is moving here those connections are taken that have begun here, and no copies of the taker's.
func TestNotedBegun(t *testing.T) {
	first, comes := packet{from: client4, to: far4, proto: protoGRE}, packet{from: far4, to: vip4, proto: protoGRE}
	g := newTestGate(t, true)
	for _, mode := range []SteerMode{SteerMulticast, SteerUnicast} {
		for _, here := range []bool{false, true} {
			t.Run(fmt.Sprint(mode, "/", here), func(t *testing.T) {
				s := testSteering
				s.Mode = mode
				g.clear()
				g.share(t, s)
				mac, passedOn := manyMAC, SteerCorrected
				if mode == SteerUnicast {
					mac, passedOn = vmac, SteerPassed
					g.Words().Renew(0, 7, Boottime())
				}
				owner, _ := g.slot(t, first)
				g.note(t, comes, owner, here)
				frame := comes.frame(mac, client)
				for _, e := range entries {
					moves := steerCase{frame: frame, table: all(1).with(moving(2, 1), owner), want: pass, count: []Counter{SteerTaken, VmacAdmitted}}
					stays := steerCase{frame: frame, table: all(1).with(2, owner), want: answer, out: given(frame, 2), count: []Counter{passedOn}}
					if !here {
						moves.want, moves.out, moves.count = answer, given(frame, 2), []Counter{passedOn}
					}
					g.check(t, e, moves)
					g.check(t, e, stays)
				}
			})
		}
	}
}

// TestNotNoted: a note is about one kind of packets, and about none of TCP and UDP, of which the kernel knows better.
func TestNotNoted(t *testing.T) {
	g := newSharingGate(t, testSteering)
	for _, c := range []struct {
		name         string
		noted, comes packet
	}{
		{"another protocol", packet{from: far4, to: vip4, proto: protoGRE}, packet{from: far4, to: vip4, proto: protoESP}},
		{"another sender", packet{from: client4, to: vip4, proto: protoGRE}, packet{from: far4, to: vip4, proto: protoGRE}},
		{"another VIP", packet{from: far4, to: vip4, proto: protoGRE}, packet{from: far4, to: vip4Else, proto: protoGRE}},
		{"another call", packet{from: far4, to: vip4, proto: protoGRE, call: 7}, packet{from: far4, to: vip4, proto: protoGRE, call: 8}},
		{"no call", packet{from: far4, to: vip4, proto: protoGRE, call: 7}, packet{from: far4, to: vip4, proto: protoGRE}},
		{"another port", packet{from: far4, to: vip4, proto: protoSCTP, sport: 1, dport: 2}, packet{from: far4, to: vip4, proto: protoSCTP, sport: 1, dport: 3}},
		{"another identifier", packet{from: far4, to: vip4, proto: protoICMP, id: 7}, packet{from: far4, to: vip4, proto: protoICMP, id: 8}},
		{"an echo's request", packet{from: far4, to: vip4, proto: protoICMP, id: 7}, packet{from: far4, to: vip4, proto: protoICMP, icmp: 8, id: 7}},
		{"no echo at all", packet{from: far4, to: vip4, proto: protoICMP}, packet{from: far4, to: vip4, proto: protoICMP, icmp: 14}},
		{"the other family", packet{from: netip.AddrFrom4([4]byte{32, 1, 13, 184}), to: vip4, proto: protoGRE}, packet{from: netip.MustParseAddr("2001:db8::"), to: vip6, proto: protoGRE}},
		{"UDP", packet{from: far4, to: vip4, proto: protoUDP, sport: 1, dport: 2}, packet{from: far4, to: vip4, proto: protoUDP, sport: 1, dport: 2}},
		{"TCP", packet{from: far4, to: vip4, proto: protoTCP, sport: 1, dport: 2}, packet{from: far4, to: vip4, proto: protoTCP, sport: 1, dport: 2, tcp: tcpSyn}},
	} {
		frame := c.comes.frame(manyMAC, client)
		slot, _ := g.slot(t, c.comes)
		for _, e := range entries {
			t.Run(e.name+"/"+c.name, func(t *testing.T) {
				g.note(t, c.noted, (slot+1)%SteerSlots, false)
				g.check(t, e, steerCase{frame: frame, table: all(1).with(2, (slot+1)%SteerSlots), want: pass, count: []Counter{SteerTaken, VmacAdmitted}})
			})
		}
	}
}

// TestNotedFragments: the rest of an answer goes where its first fragment went.
func TestNotedFragments(t *testing.T) {
	g := newSharingGate(t, testSteering)
	g.Words().Renew(0, 7, Boottime())
	s := testSteering
	s.Mode = SteerUnicast
	g.share(t, s)
	leads := packet{from: far4, to: vip4, proto: protoGRE, more: true, fragmentID: 4711}
	rest := leads
	rest.more, rest.fragment = false, 100
	slot, _ := g.slot(t, leads)
	g.note(t, packet{from: far4, to: vip4, proto: protoGRE}, (slot+1)%SteerSlots, false)
	table := all(1).with(2, (slot+1)%SteerSlots)
	for _, e := range entries {
		begins, follows := leads.frame(vmac, client), rest.frame(vmac, client)
		g.check(t, e, steerCase{frame: begins, table: table, want: answer, out: given(begins, 2), count: []Counter{SteerPassed}})
		g.check(t, e, steerCase{frame: follows, table: table, want: answer, out: given(follows, 2), count: []Counter{FragmentFollowed}})
	}
}

// TestAnswers: notes are what was noted last, there is room for so many, and mode ha has none.
func TestAnswers(t *testing.T) {
	g := newSharingGate(t, testSteering)
	a := Answer{Src: far4, Dst: vip4, Proto: protoGRE}
	b := Answer{Src: far6, Dst: vip6, Proto: protoSCTP, SrcPort: 1, DstPort: 2}
	for _, err := range []error{g.NoteAnswer(a, 1, true), g.NoteAnswer(b, 2, false), g.NoteAnswer(b, 3, false)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	all, err := g.Answers()
	if err != nil || len(all) != 2 || !slices.Contains(all, a) || !slices.Contains(all, b) {
		t.Errorf("noted are %v, %v", all, err)
	}
	if err := errors.Join(g.ForgetAnswer(a), g.ForgetAnswer(a)); err != nil {
		t.Error(err)
	}
	if all, err := g.Answers(); err != nil || !slices.Equal(all, []Answer{b}) {
		t.Errorf("after one was forgotten: %v, %v", all, err)
	}
	room := int(g.objects.Answers.MaxEntries())
	keys, values := make([]kernelAnswerKey, room-1), make([]uint32, room-1)
	for i := range keys {
		keys[i] = answerKey(Answer{Src: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Dst: vip4, Proto: protoGRE})
	}
	if n, err := g.objects.Answers.BatchUpdate(keys, values, nil); err != nil {
		t.Fatalf("%d of %d: %v", n, room, err)
	}
	if err := g.NoteAnswer(a, 1, false); !errors.Is(err, ErrFull) {
		t.Errorf("one more than there is room for: %v", err)
	}
	if err := g.NoteAnswer(b, 4, false); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	if err := g.SetSteering(Steering{}); err != nil {
		t.Fatal(err)
	}
	if all, err := g.Answers(); err != nil || len(all) != 0 {
		t.Errorf("in mode ha %d are noted, %v", len(all), err)
	}
}

// TestAnswersAreKept: another daemon finds the notes of the one before it, and none in a gate of a build that had no such notes; the
// table stays either way.
func TestAnswersAreKept(t *testing.T) {
	for _, old := range []bool{false, true} {
		t.Run(fmt.Sprint("older build ", old), func(t *testing.T) {
			o := testOptions(newPinDir(t))
			spec := buildOf(t)
			if old {
				spec = withAsking(spec, false) // other programs
				spec.Maps[kernelMapAnswers].Name = "before"
			}
			first, err := open(o, spec)
			if err != nil {
				t.Fatal(err)
			}
			first.share(t, testSteering)
			first.set(t, all(1))
			if err := first.NoteAnswer(Answer{Src: far4, Dst: vip4, Proto: protoGRE}, 5, false); err != nil {
				t.Fatal(err)
			}
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			second := openGate(t, o)
			if noted, err := second.Answers(); err != nil || len(noted) != map[bool]int{false: 1, true: 0}[old] {
				t.Errorf("noted are %v, %v", noted, err)
			}
			if table, err := second.Slots(); err != nil || table.Term != 7 || !second.Words().Sharing() {
				t.Errorf("the table is of term %d, %v", table.Term, err)
			}
		})
	}
}
