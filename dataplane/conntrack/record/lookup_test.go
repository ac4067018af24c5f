// SPDX-License-Identifier: Apache-2.0

package record

import (
	"net/netip"
	"testing"
)

// TestAppendLookup: what is looked up is read back as the tuple that was asked for.
func TestAppendLookup(t *testing.T) {
	a4, b4 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.2")
	a6, b6 := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	for _, want := range []Tuple{
		{Src: a4, Dst: b4, Proto: 6, SrcPort: 1234, DstPort: 80},
		{Src: a6, Dst: b6, Proto: 17, SrcPort: 53, DstPort: 5353, Zone: 3},
		{Src: a4, Dst: b4, Proto: 1, ICMPType: 8, ICMPID: 77},
		{Src: a6, Dst: b6, Proto: 58, ICMPType: 129, ICMPID: 78},
		{Src: a4, Dst: b4, Proto: 50},
	} {
		b := AppendLookup([]byte{7}, want)[1:]
		typ, value, rest, ok := next(b)
		if !ok || typ != ctaTupleOrig|nlaNested || (len(rest) == 0) != (want.Zone == 0) {
			t.Fatalf("%+v: attribute %#x, %d bytes behind", want, typ, len(rest))
		}
		var p tuple
		family := IPv6
		if want.Src.Is4() {
			family = IPv4
		}
		if reason := p.parse(family, value); reason != ReasonNone {
			t.Fatalf("%+v: %v", want, reason)
		}
		got := p.public(family)
		got.Zone = want.Zone
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}
