// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/control/controltest"
)

// sharing is a member of a three-member cluster that shares the load, while slots move to the one that has come back.
func sharing(method string) *controltest.Backend {
	b := edge()
	third, most := 20.0, 80.0
	none := 0.0
	s := &b.StateV
	s.Mode, s.Forced, s.ForcedUntil, s.Frozen, s.Flap, s.Warnings = "load-sharing/"+method, "", nil, nil, nil, nil
	s.Members = []control.MemberState{
		{ID: 0, Name: "gw-a", Address: "10.99.0.2", State: "STANDBY", Since: before(2 * time.Second), AgeMs: 3.1, LoadPercent: 1, SharePercent: &none, ConfigDigest: s.ConfigDigest},
		{ID: 1, Name: "gw-b", Local: true, Address: "10.99.0.3", State: "ACTIVE", Since: before(time.Hour), Term: 8, Answer: true, Forward: true, SharePercent: &third,
			LoadPercent: 12.4, ConfigDigest: s.ConfigDigest},
		{ID: 2, Name: "gw-c", Address: "10.99.0.4", State: "ACTIVE", Since: before(26 * time.Hour), AgeMs: 3.2, Forward: true, LoadPercent: 61, SharePercent: &most,
			ConfigDigest: s.ConfigDigest},
	}
	b.LoadV = control.Load{Member: "gw-b", Method: method, Key: "ips+ports", Leader: "gw-b", Weights: "order", Table: control.LoadTable{Term: 8, Number: 3, Phase: "prepare",
		Moving: 410, AgeMs: 31}, WindowMs: 10_000, SNATPorts: "32768-65535", Defines: "/run/holdfast/edge/gw-b/defines.nft", Published: []string{"10.0.0.80", "10.1.0.0/24"}, Untranslated: []string{"IPv6"},
		Warnings: []string{"gw-a has no bpf_skb_ct_lookup: it decides by hash alone"},
		Members: []control.LoadMember{
			{ID: 0, Name: "gw-a", State: "STANDBY", Weight: 40, Configured: 40, MeasuredPercent: 0, LoadPercent: 1, Reason: "its connection table is not current"},
			{ID: 1, Name: "gw-b", Local: true, State: "ACTIVE", Leader: true, Open: true, Confirmed: true, Term: 8, Weight: 10, Configured: 20, Slots: 205, SharePercent: 20,
				MeasuredPercent: 22.04, LoadPercent: 12.4, PacketRate: 22_040, ByteRate: 5_000_000, Packets: 9_000_000, Bytes: 2_000_000_000, Passed: 71, Corrected: 40, Unknown: 3, Foreign: 12},
			{ID: 2, Name: "gw-c", State: "ACTIVE", Open: true, Term: 8, Weight: 40, Configured: 40, Slots: 819, SharePercent: 80, MeasuredPercent: 77.96, LoadPercent: 61,
				PacketRate: 77_960, ByteRate: 18_000_000, Packets: 30_000_000, PassedIn: 70, Duplicates: 1},
		}}
	if method == "unicast" {
		s.Members[1].State, s.Members[1].Pivot, b.LoadV.Members[1].State = "ACTIVE(P)", true, "ACTIVE(P)"
	} else {
		b.LoadV.MulticastMAC, b.LoadV.Group = "01:00:5e:00:07:00", "239.0.7.0"
		b.LoadV.Weights, b.LoadV.Adaptive, b.LoadV.BlockNew, b.LoadV.Blocking = "default", true, true, true
		b.LoadV.Table = control.LoadTable{Term: 8, Number: 4, Phase: "commit", Nobody: 3, AgeMs: 12_000}
		b.VIPsV.VIPs = []control.VIP{
			{Address: "192.0.2.1", Interface: "outside", Kind: "vip", MAC: "01:00:5e:00:07:00"},
			{Address: "2001:db8::1", Interface: "outside", Kind: "vip", MAC: "01:00:5e:00:07:00"},
			{Address: "10.0.0.1", Interface: "inside", Kind: "vip", MAC: "01:00:5e:00:07:00"},
		}
	}
	b.DefinesV = control.LoadDefines{Member: "gw-b", Path: b.LoadV.Defines, Text: "# Written by Holdfast\n\ndefine holdfast_member = 1\n"}
	b.WhichV = control.Which{Member: "gw-b", Steered: true, Slot: 617, Rule: "virtual", Decider: "gw-b", Taker: "gw-c", Passed: true, Next: "gw-a",
		Why: []string{"192.0.2.1 is virtual: the slot follows from the source alone", "its connection is known: it goes to the taker of the slot of its original direction"},
		Known: &control.WhichConnection{Original: "tcp 198.51.100.7:40001 -> 192.0.2.1:443", Reply: "tcp 10.0.0.80:8443 -> 198.51.100.7:40001",
			Slot: 617, Owner: "gw-c"}}
	return b
}

func TestLoadGolden(t *testing.T) {
	unicast, _ := controltest.Serve(t, sharing("unicast"))
	multicast, _ := controltest.Serve(t, sharing("multicast"))
	compareGolden(t, unicast, []goldenCase{
		{"load", false, 0, "holdfast load"},
		{"load-terminal", true, 0, "holdfast load"},
		{"load-json", false, 0, "holdfast load -o json"},
		{"load-state", false, 0, "holdfast state"},
		{"load-arp-unicast", false, 0, "holdfast load arp"},
		{"load-defines", false, 0, "holdfast load defines"},
		{"load-which", false, 0, "holdfast which-member 198.51.100.7 192.0.2.1 --sport 40001 --dport 443"},
		{"load-which-json", false, 0, "holdfast which-member 198.51.100.7 192.0.2.1 -o json"},
		{"load-cphaprob-state", false, 0, "cphaprob state"},
		{"load-cphaprob-corr", false, 0, "cphaprob corr"},
		{"load-cphaprob-igmp", false, 0, "cphaprob igmp"},
	})
	compareGolden(t, multicast, []goldenCase{
		{"load-multicast", false, 0, "holdfast load"},
		{"load-arp", false, 0, "holdfast load arp"},
		{"load-arp-json", false, 0, "holdfast load arp -o json"},
		{"load-cphaprob-igmp-multicast", false, 0, "cphaprob igmp"},
		{"load-cphaprob-state-multicast", false, 0, "cphaprob state"},
	})
	dropped := sharing("unicast")
	dropped.WhichV = control.Which{Member: "gw-b", Steered: true, Slot: 5, Rule: "snat-range", Decider: "gw-b", Why: []string{"no member knows its connection"}}
	dropped.DefinesV.Error = "no space left on device"
	dropped.LoadV.Table = control.LoadTable{}
	dropped.LoadV.Leader = ""
	dropped.StateV.LastChange = &control.Event{Time: dropped.StateV.LastChange.Time, From: "INIT", To: "STANDBY", Reason: "fit to serve"}
	socket, _ := controltest.Serve(t, dropped)
	compareGolden(t, socket, []goldenCase{
		{"load-none", false, 0, "holdfast load"},
		{"load-state-no-leader", false, 0, "holdfast state"},
		{"load-which-dropped", false, 0, "holdfast which-member 2001:db8::7 2001:db8::1 -p udp --sport 53 --dport 40000"},
		{"load-defines-failed", false, 0, "holdfast load defines"},
	})
	dropped.WhichV = control.Which{Member: "gw-b", Slot: -1, Why: []string{"10.0.0.2 is an address of gw-a itself"}}
	socket, _ = controltest.Serve(t, dropped)
	compareGolden(t, socket, []goldenCase{{"load-which-not-shared", false, 0, "holdfast which-member 10.0.0.7 10.0.0.2 -p esp --spi 0xc0ffee"}})
}

func TestLoadVerbs(t *testing.T) {
	for _, k := range []struct{ args, want string }{
		{"holdfast load weight gw-a 10", "load weight gw-a 10 reset false"},
		{"holdfast load weight --reset", "load weight  0 reset true"},
		{"holdfast which-member 192.0.2.254 192.0.2.1 -p esp --spi 7 -o json", "which esp 192.0.2.254 0 -> 192.0.2.1 0 spi 7"},
	} {
		b := sharing("unicast")
		socket, _ := controltest.Serve(t, b)
		_, errs, code := invoke(t.Context(), t, socket, false, strings.Fields(k.args)...)
		if got := b.Requests(); code != 0 || len(got) != 1 || got[0] != k.want {
			t.Errorf("%s: asked %q, want %q; exit code %d %s", k.args, got, k.want, code, errs)
		}
	}
	socket, _ := controltest.Serve(t, sharing("unicast"))
	for _, k := range []struct {
		args string
		code int
		says string
	}{
		{"holdfast load weight gw-a", 2, "write: holdfast load weight MEMBER N"},
		{"holdfast load weight gw-a 3 --reset", 2, "write: holdfast load weight MEMBER N"},
		{"holdfast load weight gw-a many", 2, "write a number, 0 to 100"},
		{"holdfast load weight gw-a 101", 1, "choose 0 to 100"},
		{"holdfast load nonsense", 2, "unknown command"},
		{"holdfast which-member 192.0.2.1", 2, "write: holdfast which-member SOURCE DESTINATION"},
		{"holdfast which-member here there", 1, "is not an address; write 192.0.2.1 or 2001:db8::1"},
		{"holdfast which-member 192.0.2.1 2001:db8::1", 1, "addresses of two families"},
		{"holdfast which-member 127.0.0.1 192.0.2.1", 1, "127.0.0.1 is on no wire"},
		{"holdfast which-member 2001:db8::1 ::", 1, ":: is on no wire"},
		{"holdfast which-member 192.0.2.1 192.0.2.2 -p ospfx", 1, "choose tcp, udp,"},
		{"holdfast which-member 192.0.2.1 192.0.2.2 -p icmpv6", 1, "use icmp with IPv4"},
		{"holdfast which-member 192.0.2.1 192.0.2.2 --spi 5", 1, "only esp and ah have one"},
		{"holdfast which-member 192.0.2.1 192.0.2.2 --dport 70000", 2, "write a whole number, 0 to 65535"},
		{"holdfast config defines --member gw-a ../../deploy/cluster.yaml", 1, "they are of mode load-sharing"},
		{"holdfast config defines ../../deploy/cluster.yaml", 2, "--member"},
	} {
		_, errs, code := invoke(t.Context(), t, socket, false, strings.Fields(k.args)...)
		if code != k.code || !strings.Contains(errs, k.says) {
			t.Errorf("%s: exit code %d, want %d; said %q, want %q", k.args, code, k.code, errs, k.says)
		}
	}
}

// TestConfigDefines prints what the member itself would write.
func TestConfigDefines(t *testing.T) {
	data, err := os.ReadFile("../../deploy/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), "\nmode: ha\n", "\nmode: load-sharing\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := invoke(t.Context(), t, "/nowhere", false, "holdfast", "config", "defines", "--member", "gw-b", path)
	if code != 0 || errs != "" || !strings.Contains(out, "define holdfast_snat_ports = 49152-65535") {
		t.Errorf("exit code %d, %q, %q", code, errs, out)
	}
	out, _, _ = invoke(t.Context(), t, "/nowhere", false, "holdfast", "config", "defines", "--member", "gw-b", path, "-o", "json")
	var v control.LoadDefines
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Path != "/run/holdfast/edge/gw-b/defines.nft" || v.Member != "gw-b" {
		t.Errorf("%v: %s", err, out)
	}
}
