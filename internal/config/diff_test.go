// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/hex"
	"strings"
	"testing"
)

func mustParse(t *testing.T, text string) *Cluster {
	t.Helper()
	c, err := Parse("cluster.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// edit replaces the first old by new in the sound file.
func edit(t *testing.T, old, new string) *Cluster {
	t.Helper()
	if !strings.Contains(sound, old) {
		t.Fatalf("%q is not in the sound file", old)
	}
	return mustParse(t, strings.Replace(sound, old, new, 1))
}

func text(all []Change) string {
	var words []string
	for _, c := range all {
		words = append(words, c.Path+": "+c.From+" -> "+c.To)
	}
	return strings.Join(words, "; ")
}

// TestDiff also says of each change whether members with the one and the other file may call themselves equal.
func TestDiff(t *testing.T) {
	base := mustParse(t, sound)
	for _, k := range []struct {
		name, old, new string
		live, refused  string
		sameDigest     bool
	}{
		{"nothing", "id: 7", "id: 7", "", "", true},
		{"a default written out", "id: 7", "id: 7\nprofile: appliance\nlog-level: info\ntimers: {hello: 100ms}", "", "", true},
		{"order of addresses", `192.0.2.1, "2001:db8::1"`, `"2001:db8::1", 192.0.2.1`, "", "", true},
		{"description", "- {name: sync,", "- {name: sync, description: x,", "", "", true},
		{"log level", "id: 7", "id: 7\nlog-level: debug", "log-level: INFO -> DEBUG", "", true},
		{"key file", "id: 7", "id: 7\nkey-file: other.key", "key-file: cluster.key -> other.key", "", true},
		{"recovery", "id: 7", "id: 7\nrecovery: highest-priority", "recovery: maintain-current -> highest-priority", "", false},
		{"timer", "id: 7", "id: 7\ntimers: {dead: 40ms}", "timers.dead: 30ms -> 40ms", "", false},
		{"profile", "id: 7", "id: 7\nprofile: virtual", "profile: appliance -> virtual; timers.probe: 10ms -> 50ms; timers.dead: 30ms -> 150ms; timers.courtesy: 100ms -> 150ms", "", false},
		{"flap", "id: 7", "id: 7\nflap: {budget: 2, window: 1h}", "flap.budget: 5 -> 2; flap.window: 10m0s -> 1h0m0s", "", false},
		{"policy", "id: 7", "id: 7\npolicy: {keys: other.pub}", "", "policy: none -> there", false},
		{"recovery delay", "id: 7", "id: 7\ntimers: {recovery-delay: 1m}", "timers.recovery-delay: 0s -> 1m0s", "", false},
		{"weights", "id: 7", "id: 7\ndevices: {weights: {routing: 3, db: 2, disk: 1}}", "devices.weights:  -> db: 2, routing: 3", "", false},
		{"weights of one", "id: 7", "id: 7\ndevices: {weights: {db: 1}}", "", "", true},
		{"own traffic", "id: 7", "id: 7\nown-traffic: to-server", "own-traffic: stays -> to-server", "", false},
		{"own traffic by default", "id: 7", "id: 7\nown-traffic: stays", "", "", true},
		{"vips", "- 10.0.0.1\n", "- 10.0.0.9\n      - {address: 203.0.113.9, prefix: 203.0.113.8/29}\n",
			"interfaces[inside].vips: 10.0.0.1 -> 10.0.0.9, 203.0.113.9 in 203.0.113.8/29", "", false},
		{"proxy", "- 10.0.0.1\n", "- 10.0.0.1\n    proxy-arp: [10.0.0.7]\n", "interfaces[inside].proxy-arp:  -> 10.0.0.7", "", false},
		{"neighbours", "- 10.0.0.1\n", "- 10.0.0.1\n    neighbours: [10.0.0.7]\n", "interfaces[inside].neighbours:  -> 10.0.0.7", "", false},
		{"link-local", "- 10.0.0.1\n", "- 10.0.0.1\n    link-local: fe80::1\n", "interfaces[inside].link-local: none -> fe80::1", "", false},
		{"trunk", "role: sync}", "role: sync, trunk: t, vlan: 7}\ntrunks: [{name: t}]",
			"interfaces[sync].trunk:  -> t; interfaces[sync].vlan: 0 -> 7; trunks:  -> t all", "", false},
		{"group", "role: sync}", "role: sync}\ngroups: [{name: g, interfaces: [sync, inside]}]", "groups:  -> g (inside sync) min 1", "", false},
		{"bond", "role: sync}", "role: sync, bond: {min-links: 2}}", "interfaces[sync].bond.min-links: 0 -> 2", "", false},
		{"id", "id: 7", "id: 8", "interfaces[outside].link-local: fe80::48:7:0 -> fe80::48:8:0", "id: 7 -> 8; interfaces[outside].vmac: 02:48:00:07:00:00 -> 02:48:00:08:00:00; interfaces[inside].vmac: 02:48:00:07:01:00 -> 02:48:00:08:01:00", false},
		{"name", "name: edge", "name: rim", "", "name: edge -> rim", false},
		{"member renamed", "name: gw-b", "name: gw-z", "", "members: gw-a, gw-b -> gw-a, gw-z", false},
		{"device", "eth1, addresses: [10.0.0.3/24]", "eth9, addresses: [10.0.0.3/24]", "", "members[gw-b].interfaces.inside: eth1 10.0.0.3/24 -> eth9 10.0.0.3/24", false},
		{"role", "role: sync", "role: private", "", "interfaces[sync].role: sync -> private; interfaces[sync].monitored: true -> false; sync.enabled: true -> false", false},
		{"vmac", "- 10.0.0.1\n", "- 10.0.0.1\n    vmac: false\n", "", "interfaces[inside].vmac: 02:48:00:07:01:00 -> false", false},
		{"interface added", "  - {name: sync, role: sync}", "  - {name: sync, role: sync}\n  - {name: x, role: private}", "", "", false},
		{"attach", "id: 7", "id: 7\nattach: tcx", "", "attach: auto -> tcx", false},
		{"ethertype", "id: 7", "id: 7\nccp: {ethertype: 0x88b6}", "", "ccp.ethertype: 0x88b5 -> 0x88b6", false},
		{"transport", "id: 7", "id: 7\nccp: {transport: broadcast}", "", "ccp.transport: unicast -> broadcast", false},
		{"listen", "id: 7", "id: 7\nmetrics: {listen: \"\"}", "", "metrics.listen: :9848 -> ", true},
		{"listen on one member", "- name: gw-b", "- name: gw-b\n    metrics: {listen: \":1\"}", "", "members[gw-b].metrics.listen: (metrics.listen) -> :1", true},
		{"monitor", "id: 7", "id: 7\nmonitors: [{name: frr, type: systemd, unit: frr.service}]",
			`monitors[frr]: none -> {"Name":"frr","Type":"systemd","Device":"frr","Interval":10000000000,"Timeout":5000000000,"Rise":1,"Fall":1,"Unit":"frr.service"}`, "", false},
		{"routing", "id: 7", "id: 7\nrouting: {on-active: /bin/true}",
			`routing: {"Timeout":10000000000,"User":"nobody"} -> {"OnActive":"/bin/true","Timeout":10000000000,"User":"nobody"}`, "", false},
		{"sync", "id: 7", "id: 7\nsync: {services: {http: 3s, dns: never}, sets: [inet filter b, inet filter a], tcp-loose: true, full-sync-rate: 5000}",
			"sync.services:  -> tcp/53 never, tcp/80 after 3s, udp/53 never; sync.sets:  -> inet filter a, inet filter b; sync.tcp-loose: false -> true; sync.full-sync-rate: 200000 -> 5000", "", false},
		{"sync zones", "id: 7", "id: 7\nsync: {zones: [5, 0]}", "sync.zones: all -> 0, 5", "", false},
		{"sync off", "id: 7", "id: 7\nsync: {enabled: false}", "", "sync.enabled: true -> false", false},
		{"sync as by default", "id: 7", "id: 7\nsync: {enabled: true, zones: [], tcp-loose: false, full-sync-rate: 200000, buffer: 32MiB}", "", "", true},
		{"sync buffer", "id: 7", "id: 7\nsync: {buffer: 64MiB}", "", "sync.buffer: 32MiB -> 64MiB", true},
		{"paths", "id: 7", "id: 7\npin-dir: /sys/fs/bpf/x\nstate-dir: /x\ncontrol: {socket: /x/s}", "",
			"control.socket: /run/holdfast/control.sock -> /x/s; state-dir: /var/lib/holdfast -> /x; pin-dir: /sys/fs/bpf/holdfast/{cluster}-{member} -> /sys/fs/bpf/x", true},
		{"mode", "id: 7", "id: 7\nmode: load-sharing", "", "mode: ha -> load-sharing", false},
	} {
		t.Run(k.name, func(t *testing.T) {
			var other *Cluster
			if k.name == "interface added" {
				added := strings.NewReplacer(k.old, k.new, "sync: {device: eth2, addresses: [10.99.0.2/24]}", "sync: {device: eth2, addresses: [10.99.0.2/24]}\n      x: {device: eth9}",
					"sync: {device: eth2, addresses: [10.99.0.3/24]}", "sync: {device: eth2, addresses: [10.99.0.3/24]}\n      x: {device: eth9}").Replace(sound)
				other, k.refused = mustParse(t, added), "interfaces: outside, inside, sync -> outside, inside, sync, x"
			} else {
				other = edit(t, k.old, k.new)
			}
			live, refused := Diff(base, other)
			if text(live) != k.live || text(refused) != k.refused {
				t.Errorf("live    %q\nwant    %q\nrefused %q\nwant    %q", text(live), k.live, text(refused), k.refused)
			}
			for _, c := range refused {
				if c.Reason == "" {
					t.Errorf("%s is refused without a reason", c.Path)
				}
			}
			if same := base.Digest() == other.Digest(); same != k.sameDigest {
				t.Errorf("same digest %v, want %v", same, k.sameDigest)
			}
		})
	}
}

func TestFor(t *testing.T) {
	c := edit(t, "id: 7", "id: 7\ncontrol: {socket: \"/run/{cluster}/{member}.sock\"}")
	l, err := c.For("gw-b")
	if err != nil {
		t.Fatal(err)
	}
	if l.Self.ID != 1 || len(l.Peers) != 1 || l.Peers[0].Name != "gw-a" || l.Socket != "/run/edge/gw-b.sock" || l.PinDir != "/sys/fs/bpf/holdfast/edge-gw-b" {
		t.Errorf("%+v", l)
	}
	if _, err := c.For("gw-z"); err == nil || !strings.Contains(err.Error(), "gw-a, gw-b") {
		t.Errorf("an unknown member: %v", err)
	}
}

// TestDigestIsThatOfTheFirstVersion: a key that a later version adds does not change the digest while it is at its default. Members of
// two versions would otherwise never agree on the configuration, and no upgrade could go member by member.
func TestDigestIsThatOfTheFirstVersion(t *testing.T) {
	const first = "d03ca5d8a48a5afc9eafed424aad81f9e7b5b94be8df168018c942b639cb3fa3"
	digest := mustParse(t, sound).Digest()
	if got := hex.EncodeToString(digest[:]); got != first {
		t.Errorf("the digest of a file without new keys is %s, want %s: mark what was added to the digest's structs `json:\",omitzero\"`", got, first)
	}
}
