// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// fullSlots has every field set to something of its own.
func fullSlots() Slots {
	s := Slots{SlotVersion: SlotVersion{Term: 0x01020304, Number: 0x05060708, Phase: SlotsPrepare}}
	for i := range s.Share {
		s.Share[i] = uint32(0x11121310 + i)
	}
	for i := range s.Key {
		s.Key[i] = byte(0x20 + i)
	}
	for i := range s.Entry {
		s.Entry[i] = byte(i*7 + i>>8)
	}
	return s
}

func TestSlotsGolden(t *testing.T) {
	s := fullSlots()
	b := s.Append(nil)
	want := append(unhex(t, `
		0001 0439 01020304 05060708 01
		11121310 11121311 11121312 11121313 11121314 11121315 11121316 11121317
		202122232425262728292a2b2c2d2e2f`), s.Entry[:]...)
	if !bytes.Equal(b, want) {
		t.Fatalf("encoded\n%x\nwant\n%x", b, want)
	}
	if len(b)+MaxEchoOneLen > MaxPlainLen {
		t.Fatalf("%d bytes do not fit into a frame", len(b))
	}
	for _, padding := range []int{0, 1, 2, 3, 4, 5, 40} {
		if back, err := ParseSlots(append(b[:len(b):len(b)], make([]byte, padding)...)); err != nil || back != s {
			t.Fatalf("with %d bytes of padding: %+v, %v", padding, back, err)
		}
	}
	buf := make([]byte, 0, MaxPlainLen)
	if n := testing.AllocsPerRun(10, func() {
		if _, err := ParseSlots(s.Append(buf)); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParseSlotsSkipsAndRefuses(t *testing.T) {
	s := fullSlots()
	hex := fmt.Sprintf("%x", s.Append(nil))
	terms, key, entries := strings.Repeat("00", MaxMembers*4), strings.Repeat("11", 16), strings.Repeat("00", SlotCount)
	body := terms + key + entries
	for _, tc := range []struct {
		name, body string
		taken      bool
	}{
		{"an unknown TLV before", "7fff 0002 abcd" + hex, true},
		{"a value that has grown", "0001 043b" + hex[8:] + "abcd", true},
		{"nothing", "", false},
		{"padding only", "00000000", false},
		{"an unknown TLV alone", "7fff 0002 abcd", false},
		{"cut short", "0001 0438" + hex[8:len(hex)-2], false},
		{"over the end", hex[:len(hex)-2], false},
		{"no term", "0001 0439 00000000 00000001 01" + body, false},
		{"no key", "0001 0439 00000001 00000001 01" + terms + strings.Repeat("00", 16) + entries, false},
		{"no phase", "0001 0439 00000001 00000001 00" + body, false},
		{"a phase of another version", "0001 0439 00000001 00000001 03" + body, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseSlots(unhex(t, tc.body))
			if tc.taken {
				if err != nil || got != s {
					t.Fatalf("%+v, %v", got, err)
				}
				return
			}
			if !errors.Is(err, ErrMalformed) || got != (Slots{}) {
				t.Fatalf("accepted: %+v, %v", got, err)
			}
		})
	}
}
