// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// testHeader has a different value in every byte that a field owns, so that swapped fields show.
func testHeader(t Type) Header {
	return Header{
		Version: 1, Type: t, Flags: 1, Key: 2, Cluster: 0x0304, Source: 5, Target: 6, Length: MinBodyLen,
		Incarnation: 0x1011121314151617, Sequence: 0x2021222324252627,
		EchoIncarnation: 0x3031323334353637, EchoStamp: 0x4041424344454647,
	}
}

var testGateKey = GateKey{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// goldenHeader is testHeader on the wire, type left out.
func goldenHeader(typ, length, tag string) string {
	return "01" + typ + "01 02" + // version, type, flags, key
		"0304 05 06" + length + // cluster, source, target, body length
		"0000 00000000" + // reserved
		"1011121314151617 2021222324252627 3031323334353637 4041424344454647" + tag
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestGateFramesGolden(t *testing.T) {
	probe := Probe{Nonce: 0x5051525354555657, Term: 0x60616263, Group: 0x64, Bits: 0x65}
	yield := Yield{Nonce: 0x5051525354555657, Term: 0x60616263, Group: 0x64, Bits: 0x65, Kind: YieldGraceful, MinAgeMs: 0x70717273}
	reply := Reply{
		Nonce: 0x5051525354555657, Term: 0x60616263, Group: 0x64, Bits: 0x65, LeaseAgeMs: 0x6667, FenceTerm: 0x70717273, Grantee: 0x74,
		Result: ResultTooYoung, Heard: [8]uint8{0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87}, Closed: 0x90919293,
	}
	pad := func(n int) string { return strings.Repeat("00", n) }
	for _, tc := range []struct {
		name string
		got  []byte
		want string
		back func(body []byte) (any, error)
		val  any
	}{
		{
			"probe", AppendProbe(nil, testHeader(TypeProbe), probe, testGateKey),
			goldenHeader("01", "0030", "TAG") + "5051525354555657 60616263 64 65" + pad(34),
			func(b []byte) (any, error) { return ParseProbe(b) }, probe,
		},
		{
			"yield", AppendYield(nil, testHeader(TypeYield), yield, testGateKey),
			goldenHeader("03", "0030", "TAG") + "5051525354555657 60616263 64 65 03 00 70717273" + pad(28),
			func(b []byte) (any, error) { return ParseYield(b) }, yield,
		},
		{
			"reply", AppendReply(nil, testHeader(TypeReply), reply, testGateKey),
			goldenHeader("02", "0030", "TAG") + "5051525354555657 60616263 64 65 6667 70717273 74 03 0000 8081828384858687 90919293" + pad(12),
			func(b []byte) (any, error) { return ParseReply(b) }, reply,
		},
		{
			"yield-reply", AppendReply(nil, testHeader(TypeYieldReply), reply, testGateKey),
			goldenHeader("04", "0030", "TAG") + "5051525354555657 60616263 64 65 6667 70717273 74 03 0000 8081828384858687 90919293" + pad(12),
			func(b []byte) (any, error) { return ParseReply(b) }, reply,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// The tag is SipHash of the golden bytes around it, by the general implementation that the reference vectors check.
			covered := unhex(t, strings.Replace(tc.want, "TAG", "", 1))
			want := unhex(t, strings.Replace(tc.want, "TAG", tagHex(covered), 1))
			if !bytes.Equal(tc.got, want) {
				t.Fatalf("encoded\n%x\nwant\n%x", tc.got, want)
			}
			h, err := ParseHeader(append(bytes.Clone(tc.got), 0, 0, 0))
			if err != nil || h != testHeader(h.Type) {
				t.Fatalf("header %+v, %v", h, err)
			}
			if val, err := tc.back(h.Body(tc.got)); err != nil || val != tc.val {
				t.Fatalf("decoded %+v, %v, want %+v", val, err, tc.val)
			}
			if !VerifyTag(tc.got, testGateKey) {
				t.Fatal("its own tag is refused")
			}
			for i := range tc.got {
				tc.got[i] ^= 0x40
				if VerifyTag(tc.got, testGateKey) {
					t.Fatalf("tag accepted with byte %d changed", i)
				}
				tc.got[i] ^= 0x40
			}
		})
	}
}

func tagHex(covered []byte) string {
	sum := SipHash24(testGateKey, covered)
	var b [8]byte
	for i := range b {
		b[i] = byte(sum >> (56 - 8*i))
	}
	return hex.EncodeToString(b[:])
}

func TestParseHeaderRefuses(t *testing.T) {
	good := AppendProbe(nil, testHeader(TypeProbe), Probe{}, testGateKey)
	for _, tc := range []struct {
		name string
		edit func(b []byte) []byte
		want error
	}{
		{"empty", func([]byte) []byte { return nil }, ErrShort},
		{"header cut", func(b []byte) []byte { return b[:HeaderLen-1] }, ErrShort},
		{"body cut", func(b []byte) []byte { return b[:GateFrameLen-1] }, ErrShort},
		{"version 2", func(b []byte) []byte { b[0] = 2; return b }, ErrVersion},
		{"type zero", func(b []byte) []byte { b[1] = 0; return b }, ErrType},
		{"body too short", func(b []byte) []byte { b[9] = 47; return b }, ErrLength},
		{"gate body too long", func(b []byte) []byte { b[9] = 49; return append(b, 0) }, ErrLength},
		{"sealed body beyond a frame", func(b []byte) []byte { b[1], b[8] = 16, 0xff; return b }, ErrLength},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, err := ParseHeader(tc.edit(bytes.Clone(good)))
			if !errors.Is(err, tc.want) || h != (Header{}) {
				t.Fatalf("got %+v, %v; want %v", h, err, tc.want)
			}
		})
	}
	for _, parse := range []func([]byte) error{
		func(b []byte) error { _, err := ParseProbe(b); return err },
		func(b []byte) error { _, err := ParseYield(b); return err },
		func(b []byte) error { _, err := ParseReply(b); return err },
	} {
		if err := parse(make([]byte, MinBodyLen-1)); !errors.Is(err, ErrShort) {
			t.Fatalf("a short gate body gave %v", err)
		}
	}
}

func TestGateFramesAllocateNothing(t *testing.T) {
	buf := make([]byte, 0, GateFrameLen)
	h := testHeader(TypeProbe)
	if n := testing.AllocsPerRun(100, func() {
		b := AppendProbe(buf, h, Probe{Nonce: 1}, testGateKey)
		back, err := ParseHeader(b)
		if err != nil || !VerifyTag(b, testGateKey) {
			t.Fatal(err)
		}
		if _, err := ParseReply(back.Body(b)); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations a frame", n)
	}
}
