// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"net/netip"
	"testing"
)

func TestRange(t *testing.T) {
	for _, tt := range []struct {
		first, last uint16
		members     int
	}{{32768, 65535, 2}, {32768, 65535, 3}, {1, 65535, 7}, {0, 65535, 8}, {1000, 1007, 8}, {1000, 1004, 8}, {5, 5, 1}} {
		next := int(tt.first)
		for i := range tt.members {
			from, to := Range(tt.first, tt.last, tt.members, i)
			if int(from) != next || int(to) < int(from)-1 {
				t.Fatalf("%+v: part %d is %d to %d, want it from %d", tt, i, from, to, next)
			}
			for port := int(from); port <= int(to); port++ {
				if m := RangeMember(tt.first, tt.last, tt.members, uint16(port)); int(m) != i {
					t.Fatalf("%+v: port %d is of %d, want %d", tt, port, m, i)
				}
			}
			next = int(to) + 1
		}
		if next != int(tt.last)+1 {
			t.Errorf("%+v: parts end at %d", tt, next-1)
		}
		if tt.first > 0 && RangeMember(tt.first, tt.last, tt.members, tt.first-1) != Nobody {
			t.Errorf("%+v: a port below belongs to somebody", tt)
		}
		if tt.last < 65535 && RangeMember(tt.first, tt.last, tt.members, tt.last+1) != Nobody {
			t.Errorf("%+v: a port above belongs to somebody", tt)
		}
	}
	if from, to := Range(10, 5, 2, 0); from <= to {
		t.Error("a range that ends before it begins has parts")
	}
}

func TestEntry(t *testing.T) {
	for b := range 256 {
		e := Entry(b)
		if !e.Valid() {
			continue
		}
		if e != Moves(e.Taker(), e.Next()) && e != Taken(e.Taker()) {
			t.Errorf("%08b is not what it says", b)
		}
		if e.Moving() == (e.Next() == e.Taker()) {
			t.Errorf("%08b: from %d to %d, moving %v", b, e.Taker(), e.Next(), e.Moving())
		}
	}
	if e := Moves(3, 5); e != 3|5<<3|1<<6 {
		t.Errorf("layout: %08b", e)
	}
	if e := Taken(Nobody); e != 1<<7 || e.Taker() != Nobody || e.Next() != Nobody {
		t.Errorf("nobody: %08b", e)
	}
}

func TestTableValid(t *testing.T) {
	good := func() *Table {
		t := &Table{Version: Version{Term: 5, Phase: PhasePrepare}, Share: [Members]uint32{5, 5, 7}}
		t.Entry[1], t.Entry[2], t.Entry[3] = Taken(1), Moves(0, 2), Taken(Nobody)
		return t
	}
	if !good().Valid() {
		t.Fatal("a good table is refused")
	}
	for name, f := range map[string]func(t *Table){
		"no term":                func(t *Table) { t.Term = 0 },
		"no phase":               func(t *Table) { t.Phase = PhaseNone },
		"another phase":          func(t *Table) { t.Phase = 3 },
		"leader":                 func(t *Table) { t.Leader = Members },
		"moving in a commit":     func(t *Table) { t.Phase = PhaseCommit },
		"taker without share":    func(t *Table) { t.Share[1] = 0 },
		"next without share":     func(t *Table) { t.Share[2] = 0 },
		"share below the term":   func(t *Table) { t.Share[1] = 4 },
		"moves to itself":        func(t *Table) { t.Entry[7] = 1<<6 | 1 | 1<<3 },
		"nobody and more":        func(t *Table) { t.Entry[7] = 1<<7 | 1 },
		"next without moving":    func(t *Table) { t.Entry[7] = 1 << 3 },
		"the last entry is seen": func(t *Table) { t.Entry[Slots-1] = Taken(7) },
	} {
		bad := good()
		if f(bad); bad.Valid() {
			t.Errorf("%s: taken", name)
		}
	}
	if (&Table{}).Valid() {
		t.Error("the zero table is valid")
	}
}

func TestVersions(t *testing.T) {
	ascending := []Version{{}, {1, 0, PhasePrepare}, {1, 0, PhaseCommit}, {1, 1, PhasePrepare}, {1, maxNumber, PhaseCommit}, {2, 0, PhaseCommit}}
	for i, v := range ascending {
		for j, o := range ascending {
			if got, want := v.Compare(o), min(1, max(-1, i-j)); got != want {
				t.Errorf("%v and %v: %d, want %d", v, o, got, want)
			}
		}
	}
}

func counts(o *[Slots]uint8) (n [Members]int) {
	for _, m := range o {
		if m < Members {
			n[m]++
		}
	}
	return n
}

func TestAssign(t *testing.T) {
	var nobody [Slots]uint8
	for i := range nobody {
		nobody[i] = Nobody
	}
	thirds, moved := Assign(&nobody, [Members]uint16{1, 1, 1})
	if got := counts(&thirds); got != [Members]int{342, 341, 341} || moved != Slots {
		t.Errorf("thirds: %v, moved %d", got, moved)
	}
	pivot, _ := Assign(&nobody, [Members]uint16{30, 70})
	if got := counts(&pivot); got != [Members]int{307, 717} {
		t.Errorf("30 to 70: %v", got)
	}
	if same, moved := Assign(&thirds, [Members]uint16{5, 5, 5}); moved != 0 || same != thirds {
		t.Errorf("nothing has changed, and %d moved", moved)
	}
	if none, moved := Assign(&thirds, [Members]uint16{}); moved != Slots || none != nobody {
		t.Errorf("nobody has weight, and %d moved", moved)
	}
	left, moved := Assign(&thirds, [Members]uint16{1, 0, 1})
	if got := counts(&left); got != [Members]int{512, 0, 512} || moved != 341 {
		t.Errorf("one left: %v, moved %d", got, moved)
	}
	for i := range left {
		if thirds[i] != 1 && left[i] != thirds[i] {
			t.Fatalf("slot %d of a member that stays has moved", i)
		}
	}
}

// TestAssignLeast: numbers within one of the weights, and no fewer moves possible, for random weights in long sequences.
func TestAssignLeast(t *testing.T) {
	r := &rng{1}
	var owners [Slots]uint8
	for range 20_000 {
		var weights [Members]uint16
		sum := 0
		for i := range weights {
			if !r.chance(30) {
				weights[i] = uint16(r.n(101))
				if r.chance(5) {
					weights[i] = uint16(r.n(65536))
				}
			}
			sum += int(weights[i])
		}
		if r.chance(5) {
			for i := range owners {
				owners[i] = uint8(r.n(10))
			}
		}
		next, moved := Assign(&owners, weights)
		have, got := counts(&owners), counts(&next)
		changed, least := 0, 0
		for i := range next {
			if next[i] != owners[i] && (next[i] < Members || owners[i] < Members) {
				changed++
			}
		}
		for i := range weights {
			least += max(0, got[i]-have[i])
			if sum > 0 {
				exact := float64(weights[i]) * Slots / float64(sum)
				if d := float64(got[i]) - exact; d <= -1 || d >= 1 {
					t.Fatalf("weights %v: member %d has %d slots, want %.2f", weights, i, got[i], exact)
				}
			}
		}
		if sum > 0 && (moved != least || changed != moved) {
			t.Fatalf("weights %v, had %v, got %v: moved %d (says %d), and %d would do", weights, have, got, changed, moved, least)
		}
		owners = next
	}
}

// TestFill: what nobody takes is given away, and nothing else moves.
func TestFill(t *testing.T) {
	r := &rng{2}
	for range 5000 {
		var owners [Slots]uint8
		var weights [Members]uint16
		for i := range weights {
			weights[i] = uint16(r.n(3) * r.n(100))
		}
		for i := range owners {
			owners[i] = uint8(r.n(Members))
		}
		dead := uint8(r.n(Members))
		weights[dead] = 0
		orphans := owners
		for i, o := range owners {
			if o == dead {
				orphans[i] = Nobody
			}
		}
		got := Fill(&orphans, weights)
		for i, o := range got {
			switch {
			case owners[i] != dead && o != owners[i]:
				t.Fatalf("slot %d moved from %d to %d", i, owners[i], o)
			case o == dead, o == Nobody && weights != [Members]uint16{}, o < Members && owners[i] == dead && weights[o] == 0:
				t.Fatalf("slot %d is given to %d; weights %v", i, o, weights)
			}
		}
	}
	// After a balanced beginning, filling is as good as assigning.
	var nobody [Slots]uint8
	for i := range nobody {
		nobody[i] = Nobody
	}
	all, _ := Assign(&nobody, [Members]uint16{1, 2, 3, 4})
	for i, o := range all {
		if o == 2 {
			all[i] = Nobody
		}
	}
	got := Fill(&all, [Members]uint16{1, 2, 0, 4})
	if n := counts(&got); n[0] < 145 || n[0] > 147 || n[1] < 291 || n[1] > 294 || n[3] < 584 || n[3] > 587 {
		t.Errorf("filled: %v", n)
	}
}

// TestDecide is the decision, case by case.
func TestDecide(t *testing.T) {
	vip, server, outside, inside := addr("192.0.2.1"), addr("10.0.0.80"), addr("198.51.100.7"), addr("10.0.0.5")
	r := Rules{Kind: ByPorts, Key: [2]uint64{3, 4}, Mode: ModeMulticast, SNATFirst: 32768, SNATLast: 65535, Members: 3,
		VIP: func(a netip.Addr) bool { return a == vip }, Published: []netip.Prefix{netip.PrefixFrom(server, 32)}}
	plain := Packet{Src: inside, Dst: outside, Proto: ProtoTCP, SrcPort: 4000, DstPort: 80, TCPFlags: TCPSyn}
	s := func(p Packet) uint16 { x, _ := r.Slot(p); return x }
	answer := Packet{Src: outside, Dst: vip, Proto: ProtoTCP, SrcPort: 80, DstPort: 60000, TCPFlags: TCPSyn | TCPAck}
	table := &Table{Version: Version{Term: 1, Phase: PhaseCommit}, Share: [Members]uint32{1, 1, 1}}
	entry := func(slot uint16, e Entry) *Table { c := *table; c.Entry[slot] = e; return &c }
	toVIP := Packet{Src: outside, Dst: vip, Proto: ProtoTCP, SrcPort: 5000, DstPort: 443, TCPFlags: TCPAck}
	begins := toVIP
	begins.TCPFlags = TCPSyn
	later := Packet{Src: inside, Dst: outside, Proto: ProtoUDP, Fragment: LaterFragment}
	echo := Packet{Src: outside, Dst: vip, Proto: ProtoICMP, ICMPType: 8, SrcPort: 50000, DstPort: 50000}
	echoed := echo
	echoed.ICMPType = 0
	failed := Packet{Src: addr("203.0.113.1"), Dst: vip, Proto: ProtoICMP, ICMPType: 3, Inner: &Packet{Src: vip, Dst: outside, Proto: ProtoTCP,
		SrcPort: 60000, DstPort: 80}}
	here := plain
	here.Here = true
	for _, tt := range []struct {
		name           string
		rules          func(r *Rules)
		table          *Table
		packet         Packet
		known          *Packet
		decider, taker uint8
		corrected      bool
		why            Why
	}{
		{"by slot", nil, entry(s(plain), Taken(2)), plain, nil, 2, 2, false, WhySlot},
		{"nobody's", nil, entry(s(plain), Taken(Nobody)), plain, nil, Nobody, Nobody, false, WhyNobody},
		{"no table", nil, &Table{}, plain, nil, Nobody, Nobody, false, WhyNobody},
		{"moving, known", nil, entry(s(plain), Moves(1, 2)), plain, &plain, 1, 1, false, WhyConnection},
		{"moving, unknown", nil, entry(s(plain), Moves(1, 2)), plain, nil, 1, 2, false, WhyMoving},
		{"moving, known, drained", func(r *Rules) { r.Drained = true }, entry(s(plain), Moves(1, 2)), plain, &plain, 1, 2, true, WhyDrained},
		{"moving here, known", func(r *Rules) { r.Mode = ModeUnicast }, entry(s(plain), Moves(1, 0)), plain, &plain, 0, 1, false, WhyConnection},
		{"moving here, begun here", func(r *Rules) { r.Mode = ModeUnicast }, entry(s(plain), Moves(1, 0)), plain, &here, 0, 0, true, WhyBegun},
		{"moving elsewhere, begun here", func(r *Rules) { r.Mode = ModeUnicast }, entry(s(plain), Moves(1, 2)), plain, &here, 0, 1, false, WhyConnection},
		{"another's, begun here", func(r *Rules) { r.Mode = ModeUnicast }, entry(s(plain), Taken(1)), plain, &here, 0, 1, false, WhyConnection},
		{"moving here, begun here, by range", nil, func() *Table { t := entry(s(plain), Moves(1, 2)); t.Entry[0] = Taken(2); return t }(), answer, &here, 2, 2, false, WhyBegun},
		{"moving, blind", func(r *Rules) { r.Blind = true }, entry(s(plain), Moves(1, 2)), plain, nil, 1, 1, false, WhySlot},
		{"moving, blind, drained", func(r *Rules) { r.Blind, r.Drained = true, true }, entry(s(plain), Moves(1, 2)), plain, nil, 1, 2, true, WhyDrained},
		{"moving, blind, drained elsewhere", func(r *Rules) { r.Blind, r.Drained, r.Mode = true, true, ModeUnicast }, entry(s(plain), Moves(1, 2)), plain, nil, 0, 1, false, WhySlot},
		{"blocked", func(r *Rules) { r.BlockNew = true }, table, plain, nil, 0, Nobody, false, WhyBlocked},
		{"blocked, known", func(r *Rules) { r.BlockNew = true }, table, plain, &plain, 0, 0, false, WhyConnection},
		{"by range, unknown", nil, entry(7, Taken(2)), answer, nil, 2, Nobody, false, WhyUnknown},
		{"by range, known", nil, func() *Table { t := entry(s(plain), Taken(1)); t.Entry[0] = Taken(2); return t }(), answer, &plain, 2, 1, true, WhyConnection},
		{"by range, its member takes nothing", nil, entry(s(answer), Taken(1)), answer, &plain, 1, 0, true, WhyConnection},
		{"by range, unknown, its member takes nothing", nil, entry(s(answer), Taken(1)), answer, nil, 1, Nobody, false, WhyUnknown},
		{"to a VIP, unknown", nil, table, toVIP, nil, 0, Nobody, false, WhyUnknown},
		{"to a VIP, begins", nil, entry(s(begins), Taken(1)), begins, nil, 1, 1, false, WhySlot},
		{"later fragment", nil, table, later, nil, Everybody, Everybody, false, WhyFragment},
		{"later fragment at the pivot", func(r *Rules) { r.Mode = ModeUnicast }, table, later, nil, 0, Everybody, false, WhyFragment},
		{"at the pivot", func(r *Rules) { r.Mode = ModeUnicast }, entry(s(plain), Taken(2)), plain, nil, 0, 2, false, WhySlot},
		{"at the pivot, known", func(r *Rules) { r.Mode = ModeUnicast }, entry(s(plain), Taken(2)), plain, &plain, 0, 2, false, WhyConnection},
		{"ha", func(r *Rules) { r.Mode = ModeHA }, entry(s(plain), Taken(2)), plain, nil, 0, 0, false, WhySlot},
		{"echo to a VIP with an identifier in the range", nil, entry(s(echo), Taken(1)), echo, nil, 1, 1, false, WhySlot},
		{"an echo's answer in the range", nil, func() *Table { t := *table; t.Entry[s(echoed)] = Taken(0); t.Entry[5] = Taken(1); return &t }(), echoed, nil, 1, 1, false, WhyRange},
		{"error about what was sent by the range", nil, func() *Table { t := *table; t.Entry[6] = Taken(2); t.Entry[s(plain)] = Taken(0); return &t }(), failed, &plain, 2, 0, true, WhyConnection},
	} {
		rules := r
		if tt.rules != nil {
			tt.rules(&rules)
		}
		d := rules.Decide(tt.table, tt.packet, tt.known)
		if d.Decider != tt.decider || d.Taker != tt.taker || d.Corrected != tt.corrected || d.Why != tt.why {
			t.Errorf("%s: %+v, want decider %d, taker %d, corrected %v, %q", tt.name, d, tt.decider, tt.taker, tt.corrected, tt.why)
		}
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
