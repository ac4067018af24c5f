// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// syncParts has one part of each kind, every field set to something of its own.
func syncParts() []any {
	q := &SyncRequest{Log: 0x5152535455565758, Want: SyncWantRepair, Through: 0x5152535455565759, Limit: 0x6162636465666768}
	q.Buckets.Add(0)
	q.Buckets.Add(9)
	q.Buckets.Add(1023)
	table := SyncTable{Rules: 0xa1a2a3a4a5a6a7a8, Term: 0xb1b2b3b4, Number: 0xc1c2c3c4, Commit: true}
	s := SyncStatus{
		Role: SyncOwner, Current: true, Stopping: true, Evicted: true, Unpacks: true, Losses: 0x090a, Term: 0x01020304, Entries: 0x05060708, Digest: 0x1112131415161718,
	}
	shared, sharing := s, *q
	shared.Table, sharing.Table = table, table
	return []any{
		s, shared, &sharing,
		SyncBatch{Lane: LaneDelta, Log: 0x2122232425262728, Sequence: 0x4142434445464748, Floor: 0x3132333435363738, Records: []byte("records")},
		SyncBatch{Lane: LaneBulk, Log: 7, Floor: 0x3132333435363738, Records: []byte{}},
		SyncAck{Lane: LaneDelta, Log: 0x7172737475767778, Next: 5, Ranges: []SyncRange{{7, 7}, {9, 12}}},
		SyncGap{Lane: LaneBulk, Log: 2, Ranges: []SyncRange{{1, 6}}},
		SyncCredit{Log: 3, Limit: 0x8182838485868788},
		q,
		SyncAnswer{Log: 4, Result: SyncUnfit, Records: 0x91929394},
		SyncAddresses{{Addr: netip.MustParseAddr("192.0.2.9")}, {Addr: netip.MustParseAddr("2001:db8::9"), Shared: true}},
	}
}

func appendSync(b []byte, part any) []byte {
	return part.(interface{ Append([]byte) []byte }).Append(b)
}

// readSync reads any part that this version knows.
func readSync(p SyncPart) (any, error) {
	switch p.Kind {
	case SyncStatusPart:
		return p.Status()
	case SyncBatchPart:
		return p.Batch()
	case SyncAckPart:
		return p.Ack(nil)
	case SyncGapPart:
		return p.Gap(nil)
	case SyncCreditPart:
		return p.Credit()
	case SyncRequestPart:
		r, err := p.Request()
		return &r, err
	case SyncAnswerPart:
		return p.Answer()
	case SyncAddressesPart:
		return p.Addresses()
	}
	return nil, nil
}

func TestSyncGolden(t *testing.T) {
	var b []byte
	for _, part := range syncParts() {
		b = appendSync(b, part)
	}
	want := unhex(t, `
		01 00 0014 01 0f 090a 01020304 05060708 1112131415161718
		01 00 0025 01 0f 090a 01020304 05060708 1112131415161718 a1a2a3a4a5a6a7a8 b1b2b3b4 c1c2c3c4 01
		06 02 00aa 5152535455565758 02 5152535455565759 6162636465666768 0102`+strings.Repeat("00", 125)+`80 a1a2a3a4a5a6a7a8 b1b2b3b4 c1c2c3c4 01
		02 01 001f 2122232425262728 4142434445464748 3132333435363738 7265636f726473
		02 02 0018 0000000000000007 0000000000000000 3132333435363738
		03 01 0030 7172737475767778 0000000000000005 0000000000000007 0000000000000007 0000000000000009 000000000000000c
		04 02 0018 0000000000000002 0000000000000001 0000000000000006
		05 02 0010 0000000000000003 8182838485868788
		06 02 0099 5152535455565758 02 5152535455565759 6162636465666768 0102`+strings.Repeat("00", 125)+`80
		07 02 000d 0000000000000004 03 91929394
		08 00 0018 04 00 c0000209 10 01 20010db8000000000000000000000009`)
	if string(b) != string(want) {
		t.Fatalf("encoded\n%x\nwant\n%x", b, want)
	}
	for _, padding := range []int{0, 1, 3, 40} {
		rest := append(b[:len(b):len(b)], make([]byte, padding)...)
		for i, part := range syncParts() {
			p, next, err := NextSync(rest)
			if err != nil {
				t.Fatal(err)
			}
			got, err := readSync(p)
			if err != nil || !reflect.DeepEqual(got, part) {
				t.Fatalf("part %d: %+v, %v, want %+v", i, got, err, part)
			}
			rest = next
		}
		if p, rest, err := NextSync(rest); p.Kind != 0 || rest != nil || err != nil {
			t.Fatalf("after the last with %d bytes of padding: %v, %v", padding, p, err)
		}
	}
}

func TestSyncRecordsGolden(t *testing.T) {
	b := AppendSyncWords(nil, 1022, []SyncWord{{0x0102030405060708, 0x11121314}, {0x2122232425262728, 2}})
	e := SyncEnd{Position: 0x0102030405060708, Records: 9, Complete: true}
	b = e.Append(b)
	want := unhex(t, `
		0022 10 01 00 000000 03fe 0102030405060708 11121314 2122232425262728 00000002 0000
		0015 11 01 00 000000 0102030405060708 00000009 01 000000`)
	if string(b) != string(want) {
		t.Fatalf("encoded\n%x\nwant\n%x", b, want)
	}
	r, rest, err := NextSyncRecord(b)
	if err != nil || r.Table != SyncTableWords || len(r.Bytes) != 36 {
		t.Fatalf("%+v, %v", r, err)
	}
	var words [SyncBuckets]SyncWord
	first, end, err := ParseSyncWords(r.Attrs, &words)
	if err != nil || first != 1022 || end != 1024 || words[1022] != (SyncWord{0x0102030405060708, 0x11121314}) || words[1023].Count != 2 {
		t.Fatalf("words of %d to %d, %v: %v", first, end, err, words[1022:])
	}
	r, rest, err = NextSyncRecord(rest)
	if err != nil || r.Table != SyncTableEnd || len(rest) != 0 {
		t.Fatalf("%+v, %x, %v", r, rest, err)
	}
	if back, err := ParseSyncEnd(append(r.Attrs, 7)); err != nil || back != e {
		t.Fatalf("end %+v, %v", back, err)
	}
	if _, err := ParseSyncEnd(r.Attrs[:12]); !errors.Is(err, ErrMalformed) {
		t.Errorf("short end: %v", err)
	}
	for _, bad := range []string{"", "00", "0000 01", "03ff" + strings.Repeat("00", 24), "ffff" + strings.Repeat("00", 12)} {
		if _, _, err := ParseSyncWords(unhex(t, bad), &words); !errors.Is(err, ErrMalformed) {
			t.Errorf("words %s: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "0008 10 01 00 0000", "0007 10 01 00 000000", "0009 10 01 00 000000 01", "0401" + strings.Repeat("00", 1100)} {
		if _, _, err := NextSyncRecord(unhex(t, bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("record %s: %v", bad, err)
		}
	}
}

func TestSyncRefuses(t *testing.T) {
	var ranges strings.Builder
	for i := range MaxSyncRanges + 1 {
		fmt.Fprintf(&ranges, "%016x%016x", 2*i+1, 2*i+1)
	}
	for _, tc := range []struct{ name, body string }{
		{"a head cut short", "01 00 00"},
		{"a part over the end", "05 02 0010 0000000000000003 81"},
		{"a status too short", "01 00 0013 01 07 0000 01020304 05060708 11121314151617"},
		{"no lane", "02 00 0018 0000000000000001 0000000000000001 0000000000000001"},
		{"no log", "02 01 0018 0000000000000000 0000000000000001 0000000000000001"},
		{"no floor", "02 01 0018 0000000000000001 0000000000000001 0000000000000000"},
		{"a floor above", "02 01 0018 0000000000000001 0000000000000001 0000000000000002"},
		{"a batch too short", "02 01 0017 0000000000000001 0000000000000001 00000000000001"},
		{"records without a sequence", "02 01 0019 0000000000000001 0000000000000000 0000000000000001 ff"},
		{"half a range", "04 01 0010 7172737475767778 0000000000000001"},
		{"a range from 0", "04 01 0018 7172737475767778 0000000000000000 0000000000000001"},
		{"a range backwards", "04 01 0018 7172737475767778 0000000000000002 0000000000000001"},
		{"a range of what is wanted", "03 01 0020 7172737475767778 0000000000000005 0000000000000005 0000000000000006"},
		{"ranges that overlap", "04 01 0028 7172737475767778 0000000000000001 0000000000000003 0000000000000003 0000000000000004"},
		{"too many ranges", "04 01 0218 7172737475767778" + ranges.String()},
		{"a gap of no log", "04 01 0008 0000000000000000"},
		{"an ack of no log", "03 01 0010 0000000000000000 0000000000000001"},
		{"a credit of no log", "05 02 0010 0000000000000000 8182838485868788"},
		{"a request too short", "06 02 0098" + strings.Repeat("01", 152)},
		{"a request without a lane", "06 00 0099" + strings.Repeat("01", 153)},
		{"an answer too short", "07 02 000c 0000000000000004 03 919293"},
		{"an answer of no log", "07 02 000d 0000000000000000 03 91929394"},
		{"an address over the end", "08 00 000c 04 00 c0000201 10 00 20010db8"},
		{"an address of no family", "08 00 0007 05 00 c000020101"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, _, err := NextSync(unhex(t, tc.body))
			if err == nil {
				_, err = readSync(p)
			}
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("accepted: %v", err)
			}
		})
	}
	for _, attrs := range []string{"", "01"} {
		var words [SyncBuckets]SyncWord
		if _, _, err := ParseSyncWords(unhex(t, attrs), &words); !errors.Is(err, ErrMalformed) {
			t.Errorf("words of %d bytes: %v", len(attrs)/2, err)
		}
	}
	for _, part := range syncParts() {
		p, _, err := NextSync(appendSync(nil, part))
		if err != nil {
			t.Fatal(err)
		}
		p.Kind = p.Kind%7 + 1
		if _, err := readSync(p); err == nil {
			continue // of the same form: a batch reads as anything
		} else if !errors.Is(err, ErrMalformed) {
			t.Errorf("as a %v: %v", p.Kind, err)
		}
	}
}

// TestSyncSkips: a longer value and a part that this version does not know are no faults.
func TestSyncSkips(t *testing.T) {
	p, rest, err := NextSync(unhex(t, "63 07 0003 abcdef 05 02 0012 0000000000000003 8182838485868788 eeee"))
	if err != nil || p.Kind != 0x63 || p.Kind.String() != "part-99" {
		t.Fatalf("unknown part: %v, %v", p, err)
	}
	if p, _, err = NextSync(rest); err != nil {
		t.Fatal(err)
	}
	if c, err := p.Credit(); err != nil || c != (SyncCredit{3, 0x8182838485868788}) {
		t.Fatalf("%+v, %v", c, err)
	}
}

// TestSyncFits: the fullest frame goes into one of MaxFrameLen.
func TestSyncFits(t *testing.T) {
	d := newDaemon(0, 100)
	greet(t, 0, d, newDaemon(1, 1))
	for life := range uint64(4) {
		d.o.Open(int64(life), newDaemon(1, 2+life).frame(1, All, ""), nil)
	}
	plain := d.o.AppendEcho(nil, 1)
	if len(plain) > MaxEchoOneLen {
		t.Fatalf("%d bytes of echoes", len(plain))
	}
	plain = append(plain, make([]byte, MaxEchoOneLen-len(plain))...)
	plain = SyncBatch{Lane: LaneDelta, Log: 1, Sequence: 1, Floor: 1, Records: make([]byte, MaxSyncRecords)}.Append(plain)
	if n := len(d.s.Seal(nil, Header{Type: TypeSync}, plain)); n != MaxFrameLen {
		t.Fatalf("%d bytes, a frame has %d", n, MaxFrameLen)
	}
	if n := len(AppendSyncWords(nil, 0, make([]SyncWord, MaxSyncWords))); n > MaxSyncRecord || n+syncWordLen <= MaxSyncRecord {
		t.Fatalf("%d bytes of words, a record has %d", n, MaxSyncRecord)
	}
	if n := len(SyncAck{Ranges: make([]SyncRange, 99)}.Append(nil)); n != 20+16*MaxSyncRanges {
		t.Fatalf("an acknowledgement of %d bytes", n)
	}
}

// TestSyncAllocatesNothing: what every frame needs, there and back.
func TestSyncAllocatesNothing(t *testing.T) {
	buf, ranges := make([]byte, 0, MaxSyncLen), make([]SyncRange, 0, MaxSyncRanges)
	held, records := []SyncRange{{7, 7}, {9, 12}}, make([]byte, 900)
	if n := testing.AllocsPerRun(100, func() {
		b := SyncBatch{Lane: LaneDelta, Log: 1, Sequence: 1, Floor: 1, Records: records}.Append(buf)
		b = SyncAck{Lane: LaneDelta, Log: 1, Next: 5, Ranges: held}.Append(b)
		p, rest, err := NextSync(b)
		if s, err2 := p.Batch(); err != nil || err2 != nil || len(s.Records) != len(records) {
			t.Fatal(err, err2)
		}
		p, _, err = NextSync(rest)
		if s, err2 := p.Ack(ranges); err != nil || err2 != nil || len(s.Ranges) != 2 {
			t.Fatal(err, err2)
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
