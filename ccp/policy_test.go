// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// fullPolicy has a part of each kind, every field set to something of its own.
func fullPolicy() Policy {
	attempt := PolicyAttempt{0x0102030405060708, 0x1112131415161718, [32]byte{0x21, 31: 0x22}}
	return Policy{
		PolicyWant{Digest: [32]byte{0x31}, What: 0x3233, Ranges: []PolicyRange{{0x41424344, 0x45464748}, {0x51525354, 0x55565758}}},
		PolicyWant{Digest: [32]byte{0x32}},
		PolicyData{Digest: [32]byte{0x61}, What: 0x6263, Total: 0x71727374, Offset: 0x01727374, Bytes: []byte("bytes")},
		PolicyNone{Digest: [32]byte{0x81}},
		PolicyAsked{attempt},
		PolicyTold{Attempt: attempt, Decision: PolicyRolledBack, Generation: 0x9192939495969798, Digest: [32]byte{0xa1}},
	}
}

func TestPolicyGolden(t *testing.T) {
	p := fullPolicy()
	b := p.Append(nil)
	zeros := strings.Repeat("00", 31)
	attempt := "0102030405060708 1112131415161718 21" + zeros[2:] + "22"
	want := unhex(t, `
		01 00 0032 31`+zeros+` 3233 41424344 45464748 51525354 55565758
		01 00 0022 32`+zeros+` 0000
		02 00 002f 61`+zeros+` 6263 71727374 01727374 6279746573
		03 00 0020 81`+zeros+`
		04 00 0030 `+attempt+`
		05 00 005a `+attempt+` 04 00 9192939495969798 a1`+zeros)
	if !bytes.Equal(b, want) {
		t.Fatalf("encoded\n%x\nwant\n%x", b, want)
	}
	if p.Len() != len(b) {
		t.Errorf("%d bytes, said to be %d", len(b), p.Len())
	}
	for _, padding := range []int{0, 1, 3, 40} {
		if back, err := ParsePolicy(append(b[:len(b):len(b)], make([]byte, padding)...)); err != nil || !reflect.DeepEqual(back, p) {
			t.Fatalf("with %d bytes of padding: %+v, %v", padding, back, err)
		}
	}
}

// TestPolicyFits: the longest data goes into a frame of MaxFrameLen, behind the longest echo list.
func TestPolicyFits(t *testing.T) {
	d := newDaemon(0, 100)
	plain := append(make([]byte, MaxEchoOneLen), Policy{PolicyData{Total: MaxPolicyData, Bytes: make([]byte, MaxPolicyData)}}.Append(nil)...)
	if n := len(d.s.Seal(nil, Header{Type: TypePolicy}, plain)); n != MaxFrameLen {
		t.Fatalf("%d bytes, a frame has %d", n, MaxFrameLen)
	}
	w := Policy{PolicyWant{Ranges: make([]PolicyRange, 99)}}
	if n := len(w.Append(nil)); n != 38+8*MaxPolicyRanges || n != w.Len() {
		t.Fatalf("a want of %d bytes, said to be %d", n, w.Len())
	}
}

func TestPolicySkipsAndRefuses(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	none := Policy{PolicyNone{[32]byte(bytes.Repeat([]byte{0xab}, 32))}}
	for _, tc := range []struct {
		name, body string
		want       Policy // nil: refused
	}{
		{"a kind to come", "63 07 0003 abcdef 03 00 0020" + digest, none},
		{"a value that has grown", "03 00 0022" + digest + "eeee", none},
		{"more parts than are read", strings.Repeat("63 00 0000", 99) + strings.Repeat("03 00 0020"+digest, 1), none},
		{"a head cut short", "03 00 00", nil},
		{"a part over the end", "03 00 0021" + digest, nil},
		{"none too short", "03 00 001f" + digest[2:], nil},
		{"want too short", "01 00 0021" + digest + "00", nil},
		{"half a range", "01 00 0026" + digest + "0000 00000001", nil},
		{"too many ranges", "01 00 00aa" + digest + "0000" + strings.Repeat("0000000000000001", 17), nil},
		{"data too short", "02 00 0029" + digest + "0000 00000001 000000", nil},
		{"bytes beyond the whole", "02 00 002c" + digest + "0000 00000003 00000002 abcd", nil},
		{"an offset that runs over", "02 00 002c" + digest + "0000 00000003 ffffffff abcd", nil},
		{"asked too short", "04 00 002f" + strings.Repeat("01", 47), nil},
		{"told too short", "05 00 0059" + strings.Repeat("01", 89), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := ParsePolicy(unhex(t, tc.body))
			if tc.want == nil {
				if !errors.Is(err, ErrMalformed) || p != nil {
					t.Fatalf("accepted: %+v, %v", p, err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(p, tc.want) {
				t.Fatalf("%+v, %v", p, err)
			}
		})
	}
	many := make(Policy, MaxPolicyParts+5)
	for i := range many {
		many[i] = none[0]
	}
	if p, err := ParsePolicy(many.Append(nil)); err != nil || len(p) != MaxPolicyParts {
		t.Errorf("%d parts, %v", len(p), err)
	}
	for got, want := range map[string]string{
		PolicyRolledBack.String(): "rolled back", PolicyDecision(9).String(): "decision-9", PolicyPrepared.String(): "prepared", PolicyState(77).String(): "state-77",
		TypePolicy.String(): "policy",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
