// SPDX-License-Identifier: Apache-2.0

package ftp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// hostPort writes an address as PORT and the answer to PASV do: h1,h2,h3,h4,p1,p2 (RFC 959).
func hostPort(a netip.AddrPort) string {
	b := a.Addr().As4()
	return fmt.Sprintf("%d,%d,%d,%d,%d,%d", b[0], b[1], b[2], b[3], a.Port()>>8, a.Port()&0xff)
}

func parseHostPort(s string) (netip.AddrPort, error) {
	parts := strings.Split(s, ",")
	if len(parts) != 6 {
		return netip.AddrPort{}, fmt.Errorf("%q: six numbers and commas are an address", s)
	}
	var b [6]byte
	for i, p := range parts {
		n, err := strconv.ParseUint(strings.TrimSpace(p), 10, 8)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("%q: %w", s, err)
		}
		b[i] = byte(n)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[:4])), uint16(b[4])<<8|uint16(b[5])), nil
}

// extended writes an address as EPRT does: |2|ADDRESS|PORT| (RFC 2428).
func extended(a netip.AddrPort) string {
	family := 1
	if a.Addr().Is6() {
		family = 2
	}
	return fmt.Sprintf("|%d|%s|%d|", family, a.Addr(), a.Port())
}

func parseExtended(s string) (netip.AddrPort, error) {
	parts := strings.Split(s, "|")
	if len(parts) != 5 {
		return netip.AddrPort{}, fmt.Errorf("%q: |FAMILY|ADDRESS|PORT| is an address", s)
	}
	port, err := strconv.ParseUint(parts[3], 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: %w", s, err)
	}
	if parts[2] == "" { // the answer to EPSV leaves the address out
		return netip.AddrPortFrom(netip.Addr{}, uint16(port)), nil
	}
	addr, err := netip.ParseAddr(parts[2])
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: %w", s, err)
	}
	return netip.AddrPortFrom(addr, uint16(port)), nil
}

// between returns what stands between the first open and the last shut in s.
func between(s, open, shut string) string {
	_, s, _ = strings.Cut(s, open)
	if i := strings.LastIndex(s, shut); i >= 0 {
		return s[:i]
	}
	return ""
}

// patternLen is the period of a file's content in bytes; a prime, so that a block that is out of place shows.
const patternLen = 65521

var pattern = func() []byte {
	b := make([]byte, 2*patternLen)
	x := uint32(1)
	for i := range patternLen {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
		b[i+patternLen] = b[i]
	}
	return b
}()

// content returns n bytes of any file from offset on; n is at most patternLen.
func content(offset int64, n int) []byte {
	at := offset % patternLen
	return pattern[at : at+int64(n)]
}
