// SPDX-License-Identifier: Apache-2.0

package table

import (
	"net/netip"
	"strings"
	"testing"
)

const text = `tcp      6 431999 ESTABLISHED src=10.1.1.1 dst=10.1.0.1 sport=40000 dport=22 src=10.2.1.1 dst=10.1.1.1 sport=22 dport=40000 [ASSURED] mark=0 use=1
udp      17 28 src=10.1.1.1 dst=10.2.1.1 sport=40000 dport=5001 [UNREPLIED] src=10.2.1.1 dst=10.1.1.1 sport=5001 dport=40000 mark=7 use=2
icmp     1 29 src=10.1.0.11 dst=10.1.1.1 type=8 code=0 id=9 src=10.1.1.1 dst=10.1.0.11 type=0 code=0 id=9 mark=0 use=1
udp      17 28 src=fe80::1 dst=ff02::1 sport=1 dport=2 [UNREPLIED] src=ff02::1 dst=fe80::1 sport=2 dport=1 mark=0 use=1
297 proto=6 src=10.2.1.1 dst=10.1.1.1 sport=0 dport=50001 mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535 master-src=10.1.1.1 master-dst=10.2.1.1 sport=40000 dport=21 class=0 helper=ftp
`

func read(s string) Table {
	t := Table{}
	t.add([]byte(s), []netip.Addr{netip.MustParseAddr("10.1.0.11")})
	return t
}

func TestReadsWhatConntrackWrites(t *testing.T) {
	got := read(text)
	want := Table{
		"tcp src=10.1.1.1 dst=10.1.0.1 sport=40000 dport=22 src=10.2.1.1 dst=10.1.1.1 sport=22 dport=40000":                                                                                                                    "ESTABLISHED [ASSURED] mark=0",
		"udp src=10.1.1.1 dst=10.2.1.1 sport=40000 dport=5001 src=10.2.1.1 dst=10.1.1.1 sport=5001 dport=40000":                                                                                                                "[UNREPLIED] mark=7",
		"expected proto=6 src=10.2.1.1 dst=10.1.1.1 sport=0 dport=50001 mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535 master-src=10.1.1.1 master-dst=10.2.1.1 sport=40000 dport=21 class=0 helper=ftp": "",
	}
	if len(got) != len(want) {
		t.Errorf("%d entries: %v", len(got), got)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %q, want %q", k, got[k], v)
		}
	}
}

func TestCompare(t *testing.T) {
	full := read(text)
	for name, c := range map[string]struct {
		first, copied, second Table
		want                  string
	}{
		"equal":                {full, full, full, "0 missing, 0 stale, 0 different"},
		"missing":              {full, read(""), full, "3 missing, 0 stale"},
		"went meanwhile":       {full, read(""), read(""), "0 missing, 0 stale, 0 different"},
		"stale":                {read(""), full, read(""), "0 missing, 3 stale"},
		"came meanwhile":       {read(""), full, full, "0 missing, 0 stale, 0 different"},
		"another state":        {full, read(strings.Replace(text, "ESTABLISHED", "FIN_WAIT", 1)), full, "0 missing, 0 stale, 1 different"},
		"its state of later":   {full, read(strings.Replace(text, "ESTABLISHED", "CLOSE", 1)), read(strings.Replace(text, "ESTABLISHED", "CLOSE", 1)), "0 different"},
		"time does not matter": {full, read(strings.Replace(text, "431999", "12", 1)), full, "0 missing, 0 stale, 0 different"},
	} {
		d := Compare(c.first, c.copied, c.second)
		if !strings.Contains(d.String(), c.want) || d.Equal() != strings.HasSuffix(d.String(), "0 different") {
			t.Errorf("%s: %s, want %s", name, d, c.want)
		}
	}
}
