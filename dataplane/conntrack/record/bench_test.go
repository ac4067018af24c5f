// SPDX-License-Identifier: Apache-2.0

package record

import "testing"

// samples are messages as a busy gateway has them: TCP and UDP, translated once, IPv4 and IPv6, from begin to end.
func samples(tb testing.TB) (ms []message) {
	tb.Helper()
	for _, c := range load(tb) {
		switch c.name {
		case "tcp-snat", "udp-snat", "tcp6-both":
			ms = append(append(ms, c.events...), c.ended...)
		}
	}
	return ms
}

func sampleRecords(tb testing.TB) (rs []Record) {
	tb.Helper()
	for _, m := range samples(tb) {
		rs = append(rs, recordOf(tb, m))
	}
	return rs
}

// benchJudge has as many addresses and services as a cluster of three with a few networks.
func benchJudge() *Judge {
	r := testRules()
	r.Services = []Service{{Protocol: protoUDP, Ports: []PortRange{{53, 53}}, Never: true}, {Protocol: protoTCP, Ports: []PortRange{{80, 80}}, After: 3e9}}
	return r.Compile()
}

// perRecord reports the time of f, called once for a record.
func perRecord(b *testing.B, n int, f func(i int)) {
	b.Helper()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		f(i)
		if i++; i == n {
			i = 0
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/record")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkFromMessage(b *testing.B) {
	ms, buffer := samples(b), make([]byte, 0, MaxLen)
	perRecord(b, len(ms), func(i int) {
		if _, err := FromMessage(buffer, ms[i].typ, ms[i].flags, ms[i].payload); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkIdentify(b *testing.B) {
	rs, h := sampleRecords(b), NewHasher([16]byte{1})
	perRecord(b, len(rs), func(i int) {
		if _, err := h.Identify(rs[i]); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	rs, j := sampleRecords(b), benchJudge()
	perRecord(b, len(rs), func(i int) { j.Judge(rs[i]) })
}

func BenchmarkCheck(b *testing.B) {
	rs, c := sampleRecords(b), Checker{}
	perRecord(b, len(rs), func(i int) {
		if err := c.Check(rs[i]); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkWire(b *testing.B) {
	rs, buffer := sampleRecords(b), make([]byte, 0, MaxLen)
	perRecord(b, len(rs), func(i int) {
		if _, _, err := Parse(rs[i].Append(buffer)); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkAppendCreate(b *testing.B) {
	rs, buffer := sampleRecords(b), make([]byte, 0, MaxLen)
	perRecord(b, len(rs), func(i int) { rs[i].AppendCreate(buffer) })
}

// BenchmarkSender is all that the owner does with an event in this package, BenchmarkReceiver all that a copy does.
func BenchmarkSender(b *testing.B) {
	ms, buffer, wire := samples(b), make([]byte, 0, MaxLen), make([]byte, 0, MaxLen)
	j, h, tally := benchJudge(), NewHasher([16]byte{1}), NewTally()
	perRecord(b, len(ms), func(i int) {
		r, err := FromMessage(buffer, ms[i].typ, ms[i].flags, ms[i].payload)
		if err != nil {
			b.Fatal(err)
		}
		id, v := j.Examine(h, r)
		if v != (Verdict{}) {
			b.Fatal(v)
		}
		tally.Add(id)
		r.Append(wire)
	})
}

func BenchmarkReceiver(b *testing.B) {
	var wire [][]byte
	for _, r := range sampleRecords(b) {
		wire = append(wire, r.Append(nil))
	}
	c, h, tally, buffer := Checker{}, NewHasher([16]byte{1}), NewTally(), make([]byte, 0, MaxLen)
	perRecord(b, len(wire), func(i int) {
		r, _, err := Parse(wire[i])
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Check(r); err != nil {
			b.Fatal(err)
		}
		id, _ := h.Identify(r)
		tally.Add(id)
		r.AppendCreate(buffer)
	})
}

// BenchmarkDump is what one entry costs a dump of half a million.
func BenchmarkDump(b *testing.B) {
	tally := NewTally()
	tally.BeginDump(500000)
	print := uint64(0)
	perRecord(b, 500000, func(i int) {
		if i == 0 {
			tally.BeginDump(500000)
		}
		print += 0x9e3779b97f4a7c15
		tally.Seen(Identity{Key: print, Print: print})
	})
}

// TestAllocations: nothing on the way of an event is allocated.
func TestAllocations(t *testing.T) {
	ms, buffer, out := samples(t), make([]byte, 0, MaxLen), make([]byte, 0, MaxLen)
	j, h, tally, c := benchJudge(), NewHasher([16]byte{1}), NewTally(), Checker{}
	if n := testing.AllocsPerRun(100, func() {
		for _, m := range ms {
			r, err := FromMessage(buffer, m.typ, m.flags, m.payload)
			if err != nil || c.Check(r) != nil || j.Judge(r) != (Verdict{}) {
				t.Fatal(err)
			}
			id, _ := h.Identify(r)
			tally.Add(id)
			r.AppendUpdate(out)
			r.AppendDelete(out)
			if _, _, err := Parse(r.Append(out)); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%.1f allocations for %d events", n, len(ms))
	}
}
