// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/mdlayher/ndp"
)

// solicitation is a router solicitation from source at mac.
func solicitation(tb testing.TB, source netip.Addr, mac [6]byte, option bool) []byte {
	tb.Helper()
	m := &ndp.RouterSolicitation{}
	if option {
		m.Options = []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: mac[:]}}
	}
	host := Set{MAC: mac}
	b, err := host.icmp6(m, source, netip.MustParseAddr("ff02::2"), [6]byte{0x33, 0x33, 0, 0, 0, 2})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestParseSolicit(t *testing.T) {
	host := netip.MustParseAddr("fe80::2")
	mac := [6]byte{2, 0, 0, 0, 0, 9}
	good := solicitation(t, host, mac, true)
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	for _, tt := range []struct {
		name string
		b    []byte
		want solicit
		err  error
	}{
		{"with option", good, solicit{host, mac}, nil},
		{"without option", solicitation(t, host, mac, false), solicit{host, mac}, nil},
		{"without address", solicitation(t, unspecified6, mac, false), solicit{unspecified6, mac}, nil},
		{"option without address", solicitation(t, unspecified6, mac, true), solicit{}, errNotSolicit},
		{"from beyond the link", change(21, 254), solicit{}, errNotSolicit},
		{"checksum", change(37, 9), solicit{}, errNotSolicit},
		{"code", change(55, 1), solicit{}, errNotSolicit},
		{"an advertisement", change(54, 134), solicit{}, errNotSolicit},
		{"truncated", good[:61], solicit{}, errNotSolicit},
		{"length beyond the frame", change(18, 1), solicit{}, errNotSolicit},
		{"empty", nil, solicit{}, errNotSolicit},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseSolicit(tt.b)
			if !errors.Is(err, tt.err) || got != tt.want {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// FuzzParseSolicit: any host may send anything; parseSolicit must not panic.
func FuzzParseSolicit(f *testing.F) {
	f.Add(solicitation(f, netip.MustParseAddr("fe80::2"), [6]byte{2}, true))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseSolicit(b); err == nil && !s.source.IsValid() {
			t.Errorf("no source in %x", b)
		}
	})
}

func TestBucket(t *testing.T) {
	var b bucket
	allowed := 0
	for range 1000 {
		if b.allow(1) {
			allowed++
		}
	}
	if allowed != repliesBurst {
		t.Errorf("%d at once, want %d", allowed, repliesBurst)
	}
	if !b.allow(1 + int64(time.Second)/repliesPerSecond) {
		t.Error("no token after its time")
	}
}
