// SPDX-License-Identifier: Apache-2.0

package ftp

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestTransfers(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		addr := netip.MustParseAddr(host)
		s, err := Serve(nil, netip.AddrPortFrom(addr, 0))
		if err != nil {
			t.Fatal(err)
		}
		c, err := Dial(t.Context(), nil, addr, s.listener.Addr().(*net.TCPAddr).AddrPort(), 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, active := range []bool{false, true, true, false} {
			transfer, err := c.Prepare(active)
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			if err := transfer.Fetch(t.Context(), 300_000, 10*time.Millisecond, 30*time.Second, func(n int) { got += n }); err != nil || got != 300_000 {
				t.Errorf("%s active %v: %d bytes, %v", host, active, got, err)
			}
			if _, err := c.Do(200, "NOOP"); err != nil {
				t.Error(err)
			}
		}
		if _, err := c.Do(226, "RETR 5"); err == nil || !strings.Contains(err.Error(), "LENGTH/DURATION") {
			t.Errorf("a file without a name: %v", err)
		}
		if _, err := c.Do(221, "QUIT"); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAddressesAsText(t *testing.T) {
	four, six := netip.MustParseAddrPort("10.1.0.1:50001"), netip.MustParseAddrPort("[fd00::1]:50001")
	if got, err := parseHostPort(hostPort(four)); err != nil || got != four {
		t.Errorf("%v, %v", got, err)
	}
	for _, a := range []netip.AddrPort{four, six} {
		if got, err := parseExtended(extended(a)); err != nil || got != a {
			t.Errorf("%v, %v", got, err)
		}
	}
	for _, bad := range []string{"", "1,2,3", "1,2,3,4,5,256", "a,b,c,d,e,f"} {
		if _, err := parseHostPort(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	for _, bad := range []string{"", "|||", "|||70000|", "|1|x|1|"} {
		if _, err := parseExtended(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
