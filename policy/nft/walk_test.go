// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// netlinkMessage is a netlink message whose length may be a lie.
func netlinkMessage(typ, flags uint16, length int, body string) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(length))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = append(b, make([]byte, 8)...) // sequence, port
	b = append(b, body...)
	return append(b, make([]byte, -len(b)&3)...)
}

// TestWalker: what a dump tells is told once each, and how it ended.
func TestWalker(t *testing.T) {
	const element = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWSETELEM
	said := func(attrs string) []byte { return netlinkMessage(element, 0, 20+len(attrs), "gen."+attrs) }
	end := func(flags uint16, errno int32) []byte {
		return netlinkMessage(unix.NLMSG_DONE, flags, 20, string(binary.NativeEndian.AppendUint32(nil, uint32(-errno))))
	}
	for _, tc := range []struct {
		name   string
		pieces [][]byte
		want   []string
		err    error // nil for any other that is an error
		fine   bool
	}{
		{"two in one piece, one in another", [][]byte{slices.Concat(said("one"), said("two")), slices.Concat(said("three"), end(0, 0))}, []string{"one", "two", "three"}, nil, true},
		{"nothing after the end", [][]byte{slices.Concat(end(0, 0), said("late"))}, nil, nil, true},
		{"changed meanwhile", [][]byte{netlinkMessage(element, unix.NLM_F_DUMP_INTR, 23, "gen.one"), end(0, 0)}, []string{"one"}, unix.EINTR, false},
		{"changed at the end", [][]byte{said("one"), end(unix.NLM_F_DUMP_INTR, 0)}, []string{"one"}, unix.EINTR, false},
		{"refused", [][]byte{netlinkMessage(unix.NLMSG_ERROR, 0, 20, string(binary.NativeEndian.AppendUint32(nil, ^uint32(unix.ENOENT)+1)))}, nil, unix.ENOENT, false},
		{"too short", [][]byte{netlinkMessage(element, 0, 15, "gen.one")}, nil, nil, false},
		{"longer than what came", [][]byte{netlinkMessage(element, 0, 400, "gen.one")}, nil, nil, false},
		{"a header alone", [][]byte{netlinkMessage(element, 0, 16, ""), end(0, 0)}, nil, nil, true},
	} {
		var got []string
		w := walker{f: func(attrs []byte) error { got = append(got, string(attrs)); return nil }}
		var err error
		for _, p := range tc.pieces {
			if err = w.read(p); err != nil {
				break
			}
		}
		if (err == nil) != tc.fine || tc.err != nil && !errors.Is(err, tc.err) || tc.fine && !w.done {
			t.Errorf("%s: %v, done %v", tc.name, err, w.done)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
