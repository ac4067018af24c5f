// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// fullHello has every field set to something of its own.
func fullHello() Hello {
	h := Hello{
		State: StateActiveAttention, Term: 0x01020304, Priority: 5, Restarting: true, AdminDown: true, Stopping: true,
		Interfaces: []InterfaceView{
			{Slot: 1, Carrier: true, Proven: true, Heard: 0x81, CarrierAgeMs: 0x11121314, InAgeMs: 0x15161718, OutAgeMs: 0x191a1b1c, NeighbourAgeMs: AgeNever},
			{Slot: 2, Problem: true, Undecided: true},
		},
		Devices: []DeviceView{
			{Name: "interface-active-check", Status: DeviceProblem, Reason: "outside: no carrier"},
			{Name: "policy", Status: DeviceOK},
		},
		PolicyGeneration: 0x2122232425262728, FrozenMs: 0x292a2b2c, Mode: ModeHA, Recovery: RecoveryHighestPriority,
		Version: 0x31323334, Capabilities: 0x3536373839404142, Build: "v1.2.3",
		Load:   Load{CPUPermille: 0x4344, ProbeJitterUs: 0x45464748, LeaseDelayUs: 0x494a4b4c, SoftirqUs: 0x4d4e4f50},
		Forced: Forced{To: 3, ForMs: 0x51525354, ID: 0x55565758595a5b5c, Done: true},
		Weight: 0xe1e2e3e4, Omitted: 0xe5,
		Budget: Budget{Left: 4, Limit: 5, DampedMs: 0x61626364},
		Keys:   KeyStatement{Using: 1, Held: [2]KeyName{{1, 0x7172737475767778}, {2, 0x8182838485868788}}},
		Sync: SyncView{
			Incarnation: 0xf1f2f3f4f5f6f7f8, Role: SyncCopy, Current: true, AtRisk: true, Entries: 0x10203040, Digest: 0x1020304050607080,
			LagRecords: 0x11213141, LagMs: 0x12223242, Sequence: 0x1323334353637383,
		},
		FlushAsk: 0x14243444, Flushed: 0x15253545,
		Share: ShareView{Table: SlotVersion{0x16263646, 0x17273747, SlotsCommit}, Leader: 6, Term: 0x18283848, Open: true, Flushed: true, Leaving: true,
			Dropped: true, Follows: 3, Serial: 0x19293949, By: 4, Ordered: true, Fit: true, Rules: 0x1a2a3a4a5a6a7a8a},
		Traffic: TrafficView{1, 2, 3, 4, 5, 6, 7, 0x2021222324252627},
		Policy: PolicyView{Digest: [32]byte{31: 0x1b}, Attempt: PolicyAttempt{0x1c2c3c4c5c6c7c8c, 0x1d2d3d4d5d6d7d8d, [32]byte{0x1e}}, State: PolicyStateCommitted,
			Decision: PolicyConfirmed, Highest: 0x1f2f3f4f5f6f7f8f},
	}
	for i := range h.Share.Weight {
		h.Share.Weight[i] = uint16(0x100 + i)
	}
	for i := range h.View {
		h.View[i] = MemberView{State: State(i), AgeMs: uint32(0x90 + i), HelloAgeMs: uint32(0xa0 + i)}
	}
	for i := range h.ConfigDigest {
		h.ConfigDigest[i] = byte(0xb0 + i)
	}
	for i := range h.BootID {
		h.BootID[i] = byte(0xd0 + i)
	}
	return h
}

func TestHelloGolden(t *testing.T) {
	h := fullHello()
	b := h.Append(nil)
	want := unhex(t, `
		0001 0007 05 01020304 05 07
		0002 0049 09
			00 00000090 000000a0  01 00000091 000000a1  02 00000092 000000a2  03 00000093 000000a3
			04 00000094 000000a4  05 00000095 000000a5  06 00000096 000000a6  07 00000097 000000a7
		0003 0027 13
			01 05 81 11121314 15161718 191a1b1c ffffffff
			02 0a 00 00000000 00000000 00000000 00000000
		0004 0036 00
			03 16 `+fmt.Sprintf("%x", "interface-active-check")+` 13 `+fmt.Sprintf("%x", "outside: no carrier")+`
			01 06 `+fmt.Sprintf("%x", "policy")+` 00
		0005 000c 2122232425262728 292a2b2c
		0006 0020 b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf
		0007 0002 01 02
		0008 000b 31323334 06 `+fmt.Sprintf("%x", "v1.2.3")+`
		0009 0008 3536373839404142
		000a 000e 4344 45464748 494a4b4c 4d4e4f50
		000b 000e 03 51525354 55565758595a5b5c 01
		000c 0006 04 05 61626364
		000d 0010 d0d1d2d3d4d5d6d7d8d9dadbdcdddedf
		000e 0013 01 01 7172737475767778 02 8182838485868788
		000f 0005 e1e2e3e4 e5
		0010 0026 f1f2f3f4f5f6f7f8 02 03 10203040 1020304050607080 11213141 12223242 1323334353637383
		0011 0008 14243444 15253545
		0012 002d 16263646 17273747 02 06 18283848 3f 03 19293949 04 0100 0101 0102 0103 0104 0105 0106 0107
			1a2a3a4a5a6a7a8a
		0013 0040 0000000000000001 0000000000000002 0000000000000003 0000000000000004 0000000000000005 0000000000000006 0000000000000007
			2021222324252627
		0014 005b `+strings.Repeat("00", 31)+`1b 1c2c3c4c5c6c7c8c 1d2d3d4d5d6d7d8d 1e`+strings.Repeat("00", 31)+` 04 03 00 1f2f3f4f5f6f7f8f`)
	if string(b) != string(want) {
		t.Fatalf("encoded\n%x\nwant\n%x", b, want)
	}
	for _, padding := range []int{0, 1, 2, 3, 4, 5, 40} {
		back, err := ParseHello(append(b[:len(b):len(b)], make([]byte, padding)...))
		if err != nil || !reflect.DeepEqual(back, h) {
			t.Fatalf("with %d bytes of padding: %+v, %v", padding, back, err)
		}
	}
}

// TestHelloFits fills every list and text beyond its bound: echo list and HELLO must still go into one frame.
func TestHelloFits(t *testing.T) {
	long := strings.Repeat("x", 300)
	h := Hello{Build: long, Keys: KeyStatement{Held: [2]KeyName{{1, 1}, {2, 2}}}, Sync: SyncView{Role: SyncCopy}, Flushed: 1,
		Share: ShareView{Open: true}, Traffic: TrafficView{Taken: 1}, Policy: PolicyView{Highest: 1}}
	for range 40 {
		h.Interfaces = append(h.Interfaces, InterfaceView{Slot: 1})
		h.Devices = append(h.Devices, DeviceView{Name: long, Status: DeviceProblem, Reason: long})
	}
	if n := len(h.Append(nil)) + MaxEchoOneLen; n > MaxPlainLen {
		t.Fatalf("%d bytes, a frame holds %d", n, MaxPlainLen)
	}
	// The longest list of devices: no byte of its room is left.
	h.Devices = h.Devices[:0]
	for range 8 {
		h.Devices = append(h.Devices, DeviceView{Name: long[:MaxDevicesLen/8-3-minReason], Reason: long})
	}
	if n := len(h.Append(nil)) + MaxEchoOneLen; n > MaxPlainLen {
		t.Fatalf("%d bytes with devices of %d, a frame holds %d", n, MaxDevicesLen, MaxPlainLen)
	}
	if back, err := ParseHello(h.Append(nil)); err != nil || len(back.Devices) != 8 || back.DevicesTruncated {
		t.Fatalf("%d devices, truncated %v, %v", len(back.Devices), back.DevicesTruncated, err)
	}
}

// TestEchoListFits: no list is longer than MaxEchoListLen says.
func TestEchoListFits(t *testing.T) {
	d := newDaemon(0, 100)
	for m := uint8(1); m < MaxMembers; m++ {
		now := greet(t, 0, d, newDaemon(m, 1))
		for life := range uint64(4) {
			d.o.Open(now, newDaemon(m, 2+life).frame(1, All, ""), nil)
		}
	}
	if n := len(d.o.AppendEcho(nil, All)); n != MaxEchoListLen {
		t.Fatalf("%d bytes, want %d", n, MaxEchoListLen)
	}
	if n := len(d.o.AppendEcho(nil, 3)); n != 1+3*echoLen {
		t.Fatalf("%d bytes for one target", n)
	}
}

func TestHelloDevicesTruncated(t *testing.T) {
	var h Hello
	reason := strings.Repeat("r", 40)
	for i := range 20 {
		status := DeviceOK
		if i%5 == 4 {
			status = DeviceProblem
		}
		h.Devices = append(h.Devices, DeviceView{Name: fmt.Sprintf("device-%02d", i), Status: status, Reason: reason})
	}
	back, err := ParseHello(h.Append(nil))
	if err != nil || !back.DevicesTruncated {
		t.Fatalf("truncated %v, %v", back.DevicesTruncated, err)
	}
	var names []string
	for _, d := range back.Devices {
		names = append(names, strings.TrimPrefix(d.Name, "device-"))
	}
	// 20 bytes each with the shortest reasons, so 15 fit: the 4 problems and the first 11 of the others, in the list's own order.
	if got := strings.Join(names, " "); got != "00 01 02 03 04 05 06 07 08 09 10 11 12 14 19" || back.Omitted != 5 {
		t.Fatalf("kept %s, %d omitted", got, back.Omitted)
	}
	if again, err := ParseHello(back.Append(nil)); err != nil || again.Omitted != 5 || !again.DevicesTruncated {
		t.Fatalf("told on: %d omitted, %v", again.Omitted, err)
	}

	// Ten have room with shorter reasons: none is left out.
	h.Devices = h.Devices[:10]
	back, err = ParseHello(h.Append(nil))
	if err != nil || back.DevicesTruncated || back.Omitted != 0 || len(back.Devices) != 10 || back.Devices[9].Reason != reason[:19] {
		t.Fatalf("of ten: %+v, %v", back, err)
	}
}

func TestParseHelloSkipsAndRefuses(t *testing.T) {
	zero := Hello{Forced: Forced{To: Nobody}}
	mode := Hello{Forced: Forced{To: Nobody}, Mode: 7, Recovery: 9}
	text := Hello{Forced: Forced{To: Nobody}, Build: "a?b"}
	older := Hello{Forced: Forced{To: 3, ForMs: 2, ID: 5}}
	views := Hello{Forced: Forced{To: Nobody}}
	views.View[0] = MemberView{1, 2, 3}
	views.View[1] = MemberView{4, 5, 6}
	for _, tc := range []struct {
		name, body string
		want       *Hello
	}{
		{"nothing", "", &zero},
		{"padding only", "00000000", &zero},
		{"an unknown TLV", "7fff 0002 abcd 0007 0002 0709", &mode},
		{"a forced hand-over of an older sender", "000b 000d 03 00000002 0000000000000005", &older},
		{"an unknown TLV right behind the last known one", "0015 0000 0007 0002 0709", &mode},
		{"a value that has grown", "0007 0004 0709 abcd", &mode},
		{"entries that have grown", "0002 0017 0b 01 00000002 00000003 eeee 04 00000005 00000006 eeee", &views},
		{"a byte after the entries", "0002 0014 09 01 00000002 00000003 04 00000005 00000006 ff", &views},
		{"the last of two wins", "0007 0002 0101 0007 0002 0709", &mode},
		{"a terminal's escape", "0008 0008 00000000 03 611b62", &text},
		{"a value cut short", "0007 0001 07", nil},
		{"a TLV over the end", "0007 0003 0709", nil},
		{"a TLV without a length", "0007 00", nil},
		{"half a type", "07", nil},
		{"entries too short", "0002 0001 08", nil},
		{"build over its TLV", "0008 0005 00000000 01", nil},
		{"device over its TLV", "0004 0004 00 03 02 61", nil},
		{"device without a reason", "0004 0004 00 03 01 61", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, err := ParseHello(unhex(t, tc.body))
			if tc.want == nil {
				if !errors.Is(err, ErrMalformed) || !reflect.DeepEqual(h, Hello{}) {
					t.Fatalf("accepted: %+v, %v", h, err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(h, *tc.want) {
				t.Fatalf("got %+v, %v", h, err)
			}
		})
	}
}
