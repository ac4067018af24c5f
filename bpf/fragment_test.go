// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"
)

// datagram is one in three fragments.
func datagram(p packet, id uint32) (first, middle, last packet) {
	p.fragmentID = id
	first, middle, last = p, p, p
	first.more = true
	middle.more, middle.fragment = true, 185
	last.fragment = 370
	return first, middle, last
}

// step is one packet of a sequence and what becomes of it.
type step struct {
	p     packet
	want  verdict
	to    int // whom it is passed on to
	count []Counter
}

// TestSteerFragments: later fragments go where their first went; one that overtakes it goes to everybody.
func TestSteerFragments(t *testing.T) {
	plain := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}
	plain6 := packet{from: client6, to: far6, proto: protoUDP, sport: 1000, dport: 2000}
	// Translated on its way out: its answers come in fragments.
	begun := packet{from: server4, to: far4, proto: protoUDP, sport: 1000, dport: 53}
	reply := packet{from: far4, to: vip4, proto: protoUDP, sport: 53, dport: 45000}
	id := uint32(0)
	sequence := func(p packet) (a, b, c packet) {
		id++
		return datagram(p, id)
	}
	f1, m1, l1 := sequence(plain)
	f6, m6, l6 := sequence(plain6)
	fa, ma, la := sequence(reply)
	_, mo, _ := sequence(plain)
	const passOn = answer
	foreign := []Counter{SteerForeign}
	taken, followed, kept := []Counter{SteerTaken, VmacAdmitted}, []Counter{FragmentFollowed, VmacAdmitted}, []Counter{FragmentKept, VmacAdmitted}
	corrected, passedOn, follows := []Counter{SteerCorrected}, []Counter{SteerPassed}, []Counter{FragmentFollowed}

	tests := []struct {
		name  string
		only  string // entry point
		mode  SteerMode
		known bool
		entry uint8
		steps []step
	}{
		{name: "in order, ours", mode: SteerMulticast, entry: 1, steps: []step{{f1, pass, 0, taken}, {m1, pass, 0, followed}, {l1, pass, 0, followed}}},
		{name: "in order, another's", mode: SteerMulticast, entry: 0, steps: []step{{f1, drop, 0, foreign}, {m1, drop, 0, foreign}, {l1, drop, 0, foreign}}},
		{name: "in order, IPv6", mode: SteerMulticast, entry: 1, steps: []step{{f6, pass, 0, taken}, {m6, pass, 0, followed}, {l6, pass, 0, followed}}},
		{name: "in order, IPv6, another's", mode: SteerMulticast, entry: 0, steps: []step{{f6, drop, 0, foreign}, {l6, drop, 0, foreign}, {m6, drop, 0, foreign}}},
		{name: "in order, moving away", mode: SteerMulticast, entry: moving(1, 2), steps: []step{{f1, passOn, 2, corrected}, {l1, passOn, 2, follows}, {m1, passOn, 2, follows}}},
		{name: "in order, of a connection that is another's", mode: SteerMulticast, known: true, entry: 1, steps: []step{{fa, passOn, 2, corrected}, {ma, passOn, 2, follows}, {la, passOn, 2, follows}}},
		{name: "the last overtakes", mode: SteerMulticast, entry: 1, steps: []step{{l1, pass, 0, kept}, {f1, pass, 0, taken}, {m1, pass, 0, followed}}},
		{name: "the last overtakes, another's", mode: SteerMulticast, entry: 0, steps: []step{{l1, pass, 0, kept}, {f1, drop, 0, foreign}, {m1, drop, 0, foreign}}},
		{name: "another datagram between the same two", mode: SteerMulticast, entry: 0, steps: []step{{f1, drop, 0, foreign}, {mo, pass, 0, kept}}},
		{name: "to the pivot, in order", mode: SteerUnicast, entry: 2, steps: []step{{f1, passOn, 2, passedOn}, {m1, passOn, 2, follows}, {l1, passOn, 2, follows}}},
		{name: "to the pivot, in order, its own", mode: SteerUnicast, entry: 1, steps: []step{{f6, pass, 0, taken}, {m6, pass, 0, followed}, {l6, pass, 0, followed}}},
		{name: "to the pivot, the last overtakes", only: "tcx", mode: SteerUnicast, entry: 2, steps: []step{{l1, drop, 0, []Counter{FragmentFlooded}}, {f1, passOn, 2, passedOn}, {m1, passOn, 2, follows}}},
		{name: "to the pivot, the last overtakes, its own", only: "tcx", mode: SteerUnicast, entry: 1, steps: []step{{l1, pass, 0, []Counter{FragmentFlooded, VmacAdmitted}}, {f1, pass, 0, taken}, {m1, pass, 0, followed}}},
		{name: "to the pivot, the last overtakes", only: "xdp", mode: SteerUnicast, entry: 2, steps: []step{{l1, passOn, 2, []Counter{FragmentGuessed}}, {f1, passOn, 2, passedOn}, {m1, passOn, 2, follows}}},
	}
	g := newTestGate(t, true)
	for _, e := range entries {
		for _, tt := range tests {
			if tt.only != "" && tt.only != e.name {
				continue
			}
			t.Run(e.name+"/"+tt.name, func(t *testing.T) {
				g.clear()
				g.forgetFragments(t)
				s := testSteering
				s.Mode, s.Key = tt.mode, SteerByPorts
				g.share(t, s)
				mac := manyMAC
				if tt.mode == SteerUnicast {
					mac = vmac
					g.Words().Renew(0, 7, Boottime())
				}
				table := all(tt.entry)
				if tt.known {
					connectNAT(t, begun, reply)
					owner, _ := g.slot(t, begun)
					table = table.with(2, owner)
				}
				for _, s := range tt.steps {
					c := steerCase{frame: s.p.frame(mac, client), table: table, want: s.want, count: s.count}
					if s.want == answer {
						c.out = given(c.frame, s.to)
					}
					g.check(t, e, c)
				}
			})
		}
	}
}

// TestSteerFragmentsPassedOn: of a datagram that another member passes on, this one takes what that member sends, and not what comes to all
// besides.
func TestSteerFragmentsPassedOn(t *testing.T) {
	g := newSharingGate(t, testSteering)
	first, middle, last := datagram(packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}, 5)
	foreign, passedIn := []Counter{SteerForeign}, []Counter{SteerPassedIn}
	table := all(moving(0, 1))
	many := func(p packet) steerCase {
		return steerCase{frame: p.frame(manyMAC, client), table: table, want: drop, count: foreign}
	}
	passedOn := func(p packet) steerCase {
		return steerCase{frame: p.frame(ownMAC, macOf[0]), table: table, want: pass, count: passedIn}
	}
	for _, e := range entries {
		t.Run(e.name, func(t *testing.T) {
			g.forgetFragments(t)
			for _, c := range []steerCase{many(first), passedOn(first), many(middle), passedOn(middle), passedOn(last), many(last)} {
				g.check(t, e, c)
			}
		})
	}
}

// TestSteerGuess: with XDP a later fragment that overtakes its first goes to one member, and the first follows it there, whatever its own
// slot says.
func TestSteerGuess(t *testing.T) {
	s := testSteering
	s.Mode = SteerUnicast
	g := newSharingGate(t, s)
	g.Words().Renew(0, 7, Boottime())
	first, _, last := datagram(packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}, 9)
	byPorts, _ := g.slot(t, first)
	byAddresses, _ := g.slot(t, last)
	if byPorts == byAddresses {
		t.Fatal("the ports do not matter: choose others")
	}
	table := all(1).with(0, byPorts).with(2, byAddresses)
	for _, step := range []struct {
		p     packet
		count []Counter
	}{{last, []Counter{FragmentGuessed}}, {first, []Counter{SteerPassed}}, {last, []Counter{FragmentFollowed}}} {
		frame := step.p.frame(vmac, client)
		g.check(t, entries[0], steerCase{frame: frame, table: table, want: answer, out: given(frame, 2), count: step.count})
	}
	// The next datagram that begins in order goes by its ports, even if it has the identifier of the former.
	frame := first.frame(vmac, client)
	g.check(t, entries[0], steerCase{frame: frame, table: table, want: answer, out: given(frame, 0), count: []Counter{SteerPassed}})
}

// TestSteerFloodsLittle: who sends nothing but later fragments has no copies made of them for long. They go by their addresses then.
func TestSteerFloodsLittle(t *testing.T) {
	s := testSteering
	s.Mode = SteerUnicast
	g := newSharingGate(t, s)
	g.Words().Renew(0, 7, Boottime())
	_, _, last := datagram(packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}, 20)
	guessed := steerCase{frame: last.frame(vmac, client), table: all(2), want: answer, out: given(last.frame(vmac, client), 2), count: []Counter{FragmentGuessed}}
	g.Words().u64(offFlood).Store(uint64(Boottime() + 3600e9)) // as if a hundred had just come, again and again
	g.check(t, entries[1], guessed)
	g.forgetFragments(t)
	g.Words().u64(offFlood).Store(uint64(Boottime()))
	flooded := guessed
	flooded.want, flooded.out, flooded.count = drop, nil, []Counter{FragmentFlooded}
	before := g.Words().u64(offFlood).Load()
	g.check(t, entries[1], flooded)
	if after := g.Words().u64(offFlood).Load(); after < before+1e6 {
		t.Errorf("a fragment for everybody takes %d ns from the bucket, want at least a millisecond", after-before)
	}
}

func (g *Gate) forgetFragments(t *testing.T) {
	t.Helper()
	var keys []kernelFragmentKey
	var key kernelFragmentKey
	var value kernelFragment
	for it := g.objects.Fragments.Iterate(); it.Next(&key, &value); {
		keys = append(keys, key)
	}
	for _, k := range keys {
		if err := g.objects.Fragments.Delete(k); err != nil {
			t.Fatal(err)
		}
	}
}
