// SPDX-License-Identifier: Apache-2.0

package config

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// sound is a file without problems; each case of TestRefusals replaces one thing in it.
const sound = `id: 7
name: edge
members:
  - name: gw-a
    interfaces:
      outside: {device: eth0, addresses: [192.0.2.2/24, "2001:db8::2/64"]}
      inside: {device: eth1, addresses: [10.0.0.2/24]}
      sync: {device: eth2, addresses: [10.99.0.2/24]}
  - name: gw-b
    interfaces:
      outside: {device: eth0, addresses: [192.0.2.3/24, "2001:db8::3/64"]}
      inside: {device: eth1, addresses: [10.0.0.3/24]}
      sync: {device: eth2, addresses: [10.99.0.3/24]}
interfaces:
  - name: outside
    role: cluster
    vips: [192.0.2.1, "2001:db8::1"]
  - name: inside
    role: cluster
    vips:
      - 10.0.0.1
  - {name: sync, role: sync}
`

func TestSound(t *testing.T) {
	if _, err := Parse("cluster.yaml", []byte(sound)); err != nil {
		t.Fatal(err)
	}
}

// refusals are single mistakes: what in sound is replaced, and by what.
var refusals = []struct {
	name, old, new string
	more           []string // further replacements: old, new, old, new, ...
}{
	{"empty file", sound, "", nil},
	{"comments only", sound, "# nothing\n", nil},
	{"not YAML", "members:", "members: [", nil},
	{"tab", "    role: cluster", "\trole: cluster", nil},
	{"a list instead of keys", sound, "- id: 7\n", nil},
	{"two documents", "id: 7", "id: 7\n---\nid: 8", nil},
	{"anchor", "- name: gw-a", "- &a\n    name: gw-a", nil},
	{"own traffic that goes nowhere", "id: 7", "id: 7\nown-traffic: leaves", nil},
	{"own traffic where all serve", "id: 7", "id: 7\nmode: load-sharing\nown-traffic: to-server", nil},
	{"unknown key", "id: 7", "id: 7\nvrrp: true", nil},
	{"misspelt key", "id: 7", "id: 7\nrecovry: maintain-current", nil},
	{"unknown key below", "role: cluster\n    vips:", "role: cluster\n    vip: 10.0.0.9\n    vips:", nil},
	{"duplicate key", "name: edge", "name: edge\nid: 8", nil},
	{"value where a list belongs", "vips: [192.0.2.1, \"2001:db8::1\"]", "vips: 192.0.2.1", nil},
	{"list where a value belongs", "name: edge", "name: [edge]", nil},
	{"key without value", "name: edge", "name:", nil},
	{"no id", "id: 7\n", "", nil},
	{"id out of range", "id: 7", "id: 70000", nil},
	{"id zero", "id: 7", "id: 0", nil},
	{"bad name", "name: edge", "name: two words", nil},
	{"method in the mode", "id: 7", "id: 7\nmode: load-sharing-unicast", nil},
	{"load sharing in ha", "id: 7", "id: 7\nload-sharing: {method: unicast}", nil},
	{"sharing method", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {method: anycast}", nil},
	{"sharing key", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {key: ports}", nil},
	{"sharing without sync", "role: sync}", "role: private}\nmode: load-sharing", nil},
	{"sharing with sync off", "id: 7", "id: 7\nmode: load-sharing\nsync: {enabled: false}", nil},
	{"sharing without virtual MACs", "id: 7", "id: 7\nmode: load-sharing\nvmac: false", nil},
	{"sharing without a virtual MAC", "      - 10.0.0.1\n", "      - 10.0.0.1\n    vmac: false\n", []string{"id: 7", "id: 7\nmode: load-sharing"}},
	{"sharing without members' MACs", "      - 10.0.0.1\n", "      - 10.0.0.1\n    monitored: false\n", []string{"id: 7", "id: 7\nmode: load-sharing",
		"eth1, addresses: [10.0.0.2/24]", "eth1, addresses: [10.0.0.2/24], mac: \"02:00:00:00:00:01\""}},
	{"policy that is a word", "id: 7", "id: 7\npolicy: true", nil},
	{"policy keys empty", "id: 7", "id: 7\npolicy: {keys: \"\"}", nil},
	{"management without https", "id: 7", "id: 7\npolicy: {management: [\"http://192.0.2.9:8443\"]}", nil},
	{"management without a host", "id: 7", "id: 7\npolicy: {management: [mgmt]}", nil},
	{"management with a path", "id: 7", "id: 7\npolicy: {management: [\"https://mgmt:8443/v1\"]}", nil},
	{"management twice", "id: 7", "id: 7\npolicy: {management: [\"https://mgmt:8443\", \"https://mgmt:8443/\"]}", nil},
	{"management as a word", "id: 7", "id: 7\npolicy: {management: \"https://mgmt:8443\"}", nil},
	{"enforce in words", "id: 7", "id: 7\npolicy: {enforce: yes}", nil},
	{"ssh from a host bit", "id: 7", "id: 7\npolicy: {ssh-from: [10.0.0.1/8]}", nil},
	{"ssh from a name", "id: 7", "id: 7\npolicy: {ssh-from: [office]}", nil},
	{"two multicast MACs", "      - 10.0.0.1\n", "      - 10.0.0.1\n    vmac: \"02:aa:bb:cc:dd\"\n",
		[]string{"id: 7", "id: 7\nmode: load-sharing\nload-sharing: {method: multicast}"}},
	{"multicast without a MAC", "      - 10.0.0.1\n", "      - 10.0.0.1\n    vmac: false\n",
		[]string{"id: 7", "id: 7\nmode: load-sharing\nload-sharing: {method: multicast}"}},
	{"weight of a stranger", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {weights: {gw-a: 1, gw-z: 2}}", nil},
	{"weight missing", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {weights: {gw-a: 1}}", nil},
	{"weights of 0", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {weights: {gw-a: 0, gw-b: 0}}", nil},
	{"weight too large", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {weights: {gw-a: 30, gw-b: 101}}", nil},
	{"snat ports reversed", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {snat-ports: 40000-30000}", nil},
	{"snat ports of services", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {snat-ports: 443-65535}", nil},
	{"snat ports too few", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {snat-ports: 65000-65535}", nil},
	{"published virtual address", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {published: [10.0.0.1, 10.0.0.80, 192.0.2.0/24]}", nil},
	{"published twice", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {published: [10.1.0.0/24, 10.1.0.80, \"2001:db8:9::80\"]}", nil},
	{"published host bits", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {published: [10.1.0.80/24, web]}", nil},
	{"too many published", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {published: [" + repeated(257, `"2001:db8:9::%x"`) + "]}", nil},
	{"multicast MAC in unicast", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {multicast-mac: \"01:00:5e:00:07\"}", nil},
	{"multicast MAC of a station", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {method: multicast, multicast-mac: \"02:00:5e:00:07\"}", nil},
	{"multicast MAC of six octets", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {method: multicast, multicast-mac: \"01:00:5e:00:07:00\"}", nil},
	{"multicast MAC of IPv6", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {method: multicast, multicast-mac: \"33:33:00:00:07\"}", nil},
	{"multicast MAC of bridges", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {method: multicast, multicast-mac: \"01:80:c2:00:07\"}", nil},
	{"multicast MAC of everybody", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {method: multicast, multicast-mac: \"ff:ff:ff:ff:ff\"}", nil},
	{"multicast MAC of no group", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {method: multicast, multicast-mac: \"01:00:5e:80:07\"}", nil},
	{"multicast MAC of routing", "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {method: multicast, multicast-mac: \"01:00:5e:00:00\"}", nil},
	{"no derived multicast MAC", "id: 7", "id: 32768\nmode: load-sharing\nload-sharing: {method: multicast}", nil},
	{"unknown mode", "id: 7", "id: 7\nmode: cold", nil},
	{"unknown recovery", "id: 7", "id: 7\nrecovery: never", nil},
	{"unknown profile", "id: 7", "id: 7\nprofile: slow", nil},
	{"not a yes or no", "id: 7", "id: 7\nvmac: yes", nil},
	{"dead below two probes", "id: 7", "id: 7\ntimers: {probe: 10ms, dead: 15ms}", nil},
	{"probe alone too long", "id: 7", "id: 7\ntimers: {probe: 190ms}", nil},
	{"probe out of range", "id: 7", "id: 7\ntimers: {probe: 100us}", nil},
	{"time without unit", "id: 7", "id: 7\ntimers: {dead: 30}", nil},
	{"not a time", "id: 7", "id: 7\ntimers: {hold-down: soon}", nil},
	{"recovery delay too long", "id: 7", "id: 7\ntimers: {recovery-delay: 2h}", nil},
	{"recovery delay without unit", "id: 7", "id: 7\ntimers: {recovery-delay: 5}", nil},
	{"weight of nothing", "id: 7", "id: 7\ndevices: {weights: {db: 0}}", nil},
	{"weight too large", "id: 7", "id: 7\ndevices: {weights: {db: 16, routing: -1, disk: heavy}}", nil},
	{"weight without value", "id: 7", "id: 7\ndevices: {weights: {db: }}", nil},
	{"weight of a device with rules of its own", "id: 7", "id: 7\ndevices: {weights: {admin-down: 2, init: 3, problem-notification: 4}}", nil},
	{"weight of a bad name", "id: 7", "id: 7\ndevices: {weights: {\"two words\": 2, a-name-of-more-than-thirty-two-bytes: 2}}", nil},
	{"weights as a list", "id: 7", "id: 7\ndevices: {weights: [db, 2]}", nil},
	{"misspelt weights", "id: 7", "id: 7\ndevices: {weight: {db: 2}}", nil},
	{"courtesy below dead", "id: 7", "id: 7\ntimers: {courtesy: 20ms}", nil},
	{"boot-wait below hellos", "id: 7", "id: 7\ntimers: {hello: 1s, boot-wait: 2s}", nil},
	{"derived timer", "id: 7", "id: 7\ntimers: {soft: 20ms}", nil},
	{"flap budget", "id: 7", "id: 7\nflap: {budget: -1}", nil},
	{"ethertype taken", "id: 7", "id: 7\nccp: {ethertype: 0x0806}", nil},
	{"ethertype a length", "id: 7", "id: 7\nccp: {ethertype: 1500}", nil},
	{"unknown transport", "id: 7", "id: 7\nccp: {transport: udp}", nil},
	{"real-time priority", "id: 7", "id: 7\nccp: {priority: 100}", nil},
	{"metrics without port", "id: 7", "id: 7\nmetrics: {listen: localhost}", nil},
	{"relative path", "id: 7", "id: 7\nstate-dir: var/holdfast", nil},
	{"unknown placeholder", "id: 7", "id: 7\npin-dir: /sys/fs/bpf/{host}", nil},
	{"long socket", "id: 7", "id: 7\ncontrol: {socket: /" + strings.Repeat("x", 110) + "}", nil},
	{"one member", sound[strings.Index(sound, "  - name: gw-b"):strings.Index(sound, "interfaces:\n  - name")], "", nil},
	{"nine members", "interfaces:\n  - name", nineMembers + "interfaces:\n  - name", nil},
	{"duplicate member name", "name: gw-b", "name: gw-a", nil},
	{"member without name", "- name: gw-a\n    interfaces", "- interfaces", nil},
	{"id not in order", "- name: gw-b", "- name: gw-b\n    id: 0", nil},
	{"ids twice", "- name: gw-b", "- name: gw-b\n    id: 1\n  - name: gw-c\n    id: 1", nil},
	{"member lacks an interface", "      inside: {device: eth1, addresses: [10.0.0.3/24]}\n", "", nil},
	{"member has an unknown interface", "inside: {device: eth1, addresses: [10.0.0.3/24]}", "inside: {device: eth1, addresses: [10.0.0.3/24]}\n      insides: {device: eth7}", nil},
	{"no device", "{device: eth1, addresses: [10.0.0.3/24]}", "{addresses: [10.0.0.3/24]}", nil},
	{"bad device", "eth1, addresses: [10.0.0.3/24]", "ethernet-of-the-office, addresses: [10.0.0.3/24]", nil},
	{"duplicate device", "eth1, addresses: [10.0.0.3/24]", "eth0, addresses: [10.0.0.3/24]", nil},
	{"no own address", "{device: eth1, addresses: [10.0.0.3/24]}", "{device: eth1}", nil},
	{"own address without length", "10.0.0.3/24", "10.0.0.3", nil},
	{"own address twice", "10.0.0.3/24", "10.0.0.2/24", nil},
	{"own address twice in a list", "10.0.0.3/24", "10.0.0.3/24, 10.0.0.3/24", nil},
	{"own address too long", "10.0.0.3/24", "10.0.0.3/33", nil},
	{"IPv4 in IPv6", "10.0.0.3/24", "\"::ffff:10.0.0.3/120\"", nil},
	{"multicast MAC", "eth1, addresses: [10.0.0.3/24]", "eth1, addresses: [10.0.0.3/24], mac: \"01:00:5e:00:00:01\"", nil},
	{"short MAC", "eth1, addresses: [10.0.0.3/24]", "eth1, addresses: [10.0.0.3/24], mac: \"02:00:5e\"", nil},
	{"VMAC as own MAC", "eth1, addresses: [10.0.0.3/24]", "eth1, addresses: [10.0.0.3/24], mac: \"02:48:00:07:01:00\"", nil},
	{"no interfaces", sound[strings.Index(sound, "interfaces:\n  - name"):], "", nil},
	{"no cluster interface", "role: cluster", "role: private", []string{"role: cluster", "role: private"}},
	{"duplicate interface name", "- {name: sync, role: sync}", "- {name: outside, role: sync}", nil},
	{"unknown role", "role: sync", "role: secure", nil},
	{"no role", "{name: sync, role: sync}", "{name: sync}", nil},
	{"sync with vips", "{name: sync, role: sync}", "{name: sync, role: sync, vips: [10.99.0.1], vmac: true}", nil},
	{"cluster without vips", "    vips:\n      - 10.0.0.1\n", "", nil},
	{"nothing monitored", "role: cluster\n    vips: [192.0.2.1, \"2001:db8::1\"]\n  - name: inside\n    role: cluster\n    vips:\n      - 10.0.0.1\n  - {name: sync, role: sync}",
		"role: cluster\n    monitored: false\n    vips: [192.0.2.1]\n  - {name: inside, role: private}\n  - {name: sync, role: private}", nil},
	{"vip prefix too long", "- 10.0.0.1\n", "- 10.0.0.1/33\n", nil},
	{"vip not an address", "- 10.0.0.1\n", "- gateway\n", nil},
	{"vip outside", "- 10.0.0.1\n", "- 10.1.0.1\n", nil},
	{"vip family", "- 10.0.0.1\n", "- 2001:db8:2::1\n", nil},
	{"vip with another length", "- 10.0.0.1\n", "- 10.0.0.1/25\n", nil},
	{"vip outside its prefix", "- 10.0.0.1\n", "- {address: 203.0.113.1, prefix: 203.0.113.8/29}\n", nil},
	{"vip prefix with host bits", "- 10.0.0.1\n", "- {address: 203.0.113.10, prefix: 203.0.113.10/29}\n", nil},
	{"vip without address", "- 10.0.0.1\n", "- {prefix: 203.0.113.8/29}\n", nil},
	{"vip is network", "- 10.0.0.1\n", "- 10.0.0.0\n", nil},
	{"vip is broadcast", "- 10.0.0.1\n", "- 10.0.0.255\n", nil},
	{"vip is multicast", "- 10.0.0.1\n", "- 224.0.0.18\n", nil},
	{"vip is link-local", "- 10.0.0.1\n", "- 10.0.0.1\n      - fe80::1\n", nil},
	{"vip with zone", "- 10.0.0.1\n", "- \"fe80::1%eth0\"\n", nil},
	{"vip is own address", "- 10.0.0.1\n", "- 10.0.0.3\n", nil},
	{"vips overlap", "- 10.0.0.1\n", "- 10.0.0.1\n      - 10.0.0.1\n", nil},
	{"vip on two interfaces", "- 10.0.0.1\n", "- {address: 192.0.2.1, prefix: 192.0.2.0/24}\n", nil},
	{"members' lengths differ", "10.0.0.3/24", "10.0.0.3/16", nil},
	{"proxy is vip", "      - 10.0.0.1\n", "      - 10.0.0.1\n    proxy-arp: [10.0.0.1]\n", nil},
	{"proxy twice", "      - 10.0.0.1\n", "      - 10.0.0.1\n    proxy-arp: [10.0.0.8, 10.0.0.8]\n", nil},
	{"multicast vmac", "      - 10.0.0.1\n", "      - 10.0.0.1\n    vmac: \"03:aa:bb:cc:dd\"\n", nil},
	{"six octets of vmac", "      - 10.0.0.1\n", "      - 10.0.0.1\n    vmac: \"02:aa:bb:cc:dd:ee\"\n", nil},
	{"vmac twice", "      - 10.0.0.1\n", "      - 10.0.0.1\n    vmac: \"02:48:00:07:00\"\n", nil},
	{"vmac word", "      - 10.0.0.1\n", "      - 10.0.0.1\n    vmac: maybe\n", nil},
	{"link-local is global", "      - 10.0.0.1\n", "      - 10.0.0.1\n    link-local: 2001:db8:2::1\n", nil},
	{"link-local is a member's", "addresses: [10.0.0.3/24]", "addresses: [10.0.0.3/24, \"fe80::1/64\"]",
		[]string{"      - 10.0.0.1\n", "      - 10.0.0.1\n    link-local: fe80::1\n"}},
	{"neighbour is member", "      - 10.0.0.1\n", "      - 10.0.0.1\n    neighbours: [10.0.0.2]\n", nil},
	{"neighbour is vip", "      - 10.0.0.1\n", "      - 10.0.0.1\n    neighbours: [10.0.0.1]\n", nil},
	{"neighbour is prefix", "      - 10.0.0.1\n", "      - 10.0.0.1\n    neighbours: [10.0.0.0/24]\n", nil},
	{"advertisement without source", "      - 10.0.0.1\n", "      - 10.0.0.1\n    link-local: none\n    router-advert: {interval: 10s}\n", nil},
	{"advertisement of IPv4", "      - 10.0.0.1\n", "      - 10.0.0.1\n    router-advert: {prefixes: [10.0.0.0/24], dns: [10.0.0.1]}\n", nil},
	{"advertisement not /64", "      - 10.0.0.1\n", "      - 10.0.0.1\n    router-advert: {prefixes: [\"2001:db8::/56\"]}\n", nil},
	{"advertisement lifetimes", "      - 10.0.0.1\n", "      - 10.0.0.1\n    router-advert: {lifetime: 5s, mtu: 576, prefixes: [{prefix: \"2001:db8::/64\", valid: 1h, preferred: 2h}]}\n", nil},
	{"advertisement domains", "      - 10.0.0.1\n", "      - 10.0.0.1\n    router-advert: {search: [\"-bad-.net\"]}\n", nil},
	{"advertisement lifetime too long", "      - 10.0.0.1\n", "      - 10.0.0.1\n    router-advert: {lifetime: 9001s}\n", nil},
	{"advertisement lifetime not whole", "      - 10.0.0.1\n", "      - 10.0.0.1\n    router-advert: {lifetime: 45500ms, prefixes: [{prefix: \"2001:db8::/64\", preferred: 500ms}]}\n", nil},
	{"advertisement of too much", "      - 10.0.0.1\n", "      - 10.0.0.1\n    router-advert: {search: [" + manyDomains + "], dns: [" + manyServers + "]}\n", nil},
	{"advertisement too long", "      - 10.0.0.1\n", "      - 10.0.0.1\n    router-advert: {prefixes: [" + manyNetworks + "]}\n", nil},
	{"neighbour without own address", "      - 10.0.0.1\n", "      - 10.0.0.1\n    neighbours: [\"2001:db8:2::9\"]\n", nil},
	{"trunk without a name", "  - {name: sync, role: sync}\n", "  - {name: sync, role: sync, trunk: t, vlan: 5}\ntrunks: [{monitor: all}]\n", nil},
	{"trunk unknown", "role: sync}", "role: sync, trunk: t, vlan: 5}", nil},
	{"trunk twice", "role: sync}", "role: sync, trunk: t, vlan: 5}\ntrunks: [{name: t}, {name: t}]", nil},
	{"trunk empty", "role: sync}", "role: sync}\ntrunks: [{name: t}]", nil},
	{"tag without a trunk", "role: sync}", "role: sync, vlan: 5}", nil},
	{"trunk without a tag", "role: sync}", "role: sync, trunk: t}\ntrunks: [{name: t}]", nil},
	{"tag out of range", "role: sync}", "role: sync, trunk: t, vlan: 4095}\ntrunks: [{name: t}]", nil},
	{"tag twice", "role: sync}", "role: sync, trunk: t, vlan: 5}\ntrunks: [{name: t}]", []string{"- name: inside\n", "- name: inside\n    trunk: t\n    vlan: 5\n"}},
	{"trunk and monitored", "role: sync}", "role: sync, trunk: t, vlan: 5, monitored: true}\ntrunks: [{name: t}]", nil},
	{"trunk monitors a word", "role: sync}", "role: sync, trunk: t, vlan: 5}\ntrunks: [{name: t, monitor: lowest}]", nil},
	{"trunk monitors nothing", "role: sync}", "role: sync, trunk: t, vlan: 5}\ntrunks: [{name: t, monitor: []}]", nil},
	{"trunk monitors others", "role: sync}", "role: sync, trunk: t, vlan: 5}\ntrunks: [{name: t, monitor: [sync, inside, sync, insid]}]", nil},
	{"trunk monitors a mapping", "role: sync}", "role: sync, trunk: t, vlan: 5}\ntrunks: [{name: t, monitor: {all: true}}]", nil},
	{"bond without links", "role: sync}", "role: sync, bond: {}}", nil},
	{"bond of none", "role: sync}", "role: sync, bond: {min-links: 0}}", nil},
	{"group of one", "role: sync}", "role: sync}\ngroups: [{name: g, interfaces: [sync]}]", nil},
	{"group without a name", "role: sync}", "role: sync}\ngroups: [{interfaces: [sync, inside]}]", nil},
	{"group of a stranger", "role: sync}", "role: sync}\ngroups: [{name: g, interfaces: [sync, insides, sync]}]", nil},
	{"group of unmonitored", "role: sync}", "role: sync, monitored: false}\ngroups: [{name: g, interfaces: [sync, inside]}]", nil},
	{"group needs too many", "role: sync}", "role: sync}\ngroups: [{name: g, interfaces: [sync, inside], min-up: 3}]", nil},
	{"interface in two groups", "role: sync}", "role: sync}\ngroups: [{name: g, interfaces: [sync, inside]}, {name: g, interfaces: [outside, inside]}]", nil},
	{"seventeen monitored", "  - {name: sync, role: sync}\n", manyInterfaces(14, ""), manyDevices(14)},
	{"monitor without name and type", "id: 7", "id: 7\nmonitors: [{interval: 1s}]", nil},
	{"monitor of an unknown type", "id: 7", "id: 7\nmonitors: [{name: x, type: udp}]", nil},
	{"monitor twice", "id: 7", "id: 7\nmonitors: [{name: x, type: systemd, unit: a.service}, {name: x, type: systemd, unit: b.service}]", nil},
	{"monitor with a built-in device", "id: 7", "id: 7\nmonitors: [{name: init, type: systemd, unit: a.service}, {name: x, device: admin-down, type: systemd, unit: a.service}]", nil},
	{"monitor on unknown members", "id: 7", "id: 7\nmonitors: [{name: x, type: systemd, unit: a.service, members: [gw-z, gw-a, gw-a]}]", nil},
	{"monitor with a key of another type", "id: 7", "id: 7\nmonitors: [{name: x, type: systemd, unit: a.service, url: \"http://x/\", targets: [10.0.0.9]}]", nil},
	{"monitor with an unknown key", "id: 7", "id: 7\nmonitors: [{name: x, type: systemd, unti: a.service}]", nil},
	{"monitor's interval", "id: 7", "id: 7\nmonitors: [{name: x, type: systemd, unit: a.service, interval: 50ms}, {name: y, type: systemd, unit: a.service, interval: 2h}]", nil},
	{"monitor's timeout", "id: 7", "id: 7\nmonitors: [{name: x, type: systemd, unit: a.service, interval: 1s, timeout: 2s}, {name: y, type: systemd, unit: a.service, timeout: 1ms}]", nil},
	{"monitor's counts", "id: 7", "id: 7\nmonitors: [{name: x, type: systemd, unit: a.service, rise: 0, fall: 101}]", nil},
	{"monitors by the dozen", "id: 7", "id: 7\nmonitors: [" + repeated(65, "{name: m%d, type: systemd, unit: a.service}") + "]", nil},
	{"process monitor of nothing", "id: 7", "id: 7\nmonitors: [{name: x, type: process}]", nil},
	{"process monitor's name", "id: 7", "id: 7\nmonitors: [{name: x, type: process, process: /usr/sbin/sshd}]", nil},
	{"process monitor's counts", "id: 7", "id: 7\nmonitors: [{name: x, type: process, process: a, min: 3, max: 2}, {name: y, type: process, process: a, min: 0}, {name: z, type: process, pidfile: /run/z, min: 1}]", nil},
	{"process monitor's pidfile", "id: 7", "id: 7\nmonitors: [{name: x, type: process, pidfile: run/x.pid}]", nil},
	{"systemd monitor's unit", "id: 7", "id: 7\nmonitors: [{name: x, type: systemd}, {name: y, type: systemd, unit: frr}]", nil},
	{"script monitor", "id: 7", "id: 7\nmonitors: [{name: x, type: script, command: \" \"}, {name: y, type: script, command: /bin/true, user: \"no body\"}]", nil},
	{"tcp monitor", "id: 7", "id: 7\nmonitors: [{name: x, type: tcp}, {name: y, type: tcp, address: 127.0.0.1}, {name: z, type: tcp, address: \"-:80\"}]", nil},
	{"http monitor's url", "id: 7", "id: 7\nmonitors: [{name: x, type: http}, {name: y, type: http, url: \"ftp://x/\"}, {name: z, type: http, url: \"http://x/\", verify: false, ca: /x}]", nil},
	{"http monitor's rest", "id: 7", "id: 7\nmonitors: [{name: x, type: http, url: \"https://x/\", status: [200, 99, 200], body: \"(\", host: \"a b\", server-name: \"x:1\", ca: ca.pem, redirects: yes}]", nil},
	{"monitor's source", "id: 7", "id: 7\nmonitors: [{name: x, type: tcp, address: \"h:1\", source: 10.0.0.1}, {name: y, type: tcp, address: \"h:1\", source: 10.0.0.9, interface: inside}]", nil},
	{"monitor's interface", "id: 7", "id: 7\nmonitors: [{name: x, type: ping, targets: [10.0.0.9], interface: dmz}]", nil},
	{"ping monitor's targets", "id: 7", "id: 7\nmonitors: [{name: x, type: ping}, {name: y, type: ping, targets: [host, 10.0.0.1, 10.0.0.9, 10.0.0.9], need: some}, {name: z, type: ping, targets: [" + repeated(17, "10.0.1.%d") + "]}]", nil},
	{"ping monitor's families", "id: 7", "id: 7\nmonitors: [{name: x, type: ping, targets: [\"2001:db8::9\"], source: 10.0.0.9}, {name: y, type: ping, targets: [\"2001:db8::9\"], interface: inside}]", nil},
	{"arp monitor", "id: 7", "id: 7\nmonitors: [{name: x, type: arp, targets: [10.0.0.9]}, {name: y, type: arp, interface: inside, targets: [10.1.0.9, 10.0.0.3]}]", nil},
	{"disk monitor", "id: 7", "id: 7\nmonitors: [{name: x, type: disk}, {name: y, type: disk, path: var, min-free: 100, min-inodes: many, read-only: true, write-test: true}]", nil},
	{"interface monitor", "id: 7", "id: 7\nmonitors: [{name: x, type: interface}, {name: y, type: interface, interface: sync, netdev: a, max-errors: 1}, {name: z, type: interface, netdev: a/b, max-drops: -1}]", nil},
	{"interface monitor's rates", "id: 7", "id: 7\nmonitors: [{name: x, type: interface, interface: sync, min-receive: 5, max-receive: 0bit, min-send: 2Mbit, max-send: 1Mbit}]", nil},
	{"route monitor", "id: 7", "id: 7\nmonitors: [{name: x, type: route}, {name: y, type: route, prefix: 10.0.0.1/8, protocol: rip2, table: all, min: 0}, {name: z, type: route, prefix: \"::/0\", via: 10.0.0.9}]", nil},
	{"file monitor", "id: 7", "id: 7\nmonitors: [{name: x, type: file}, {name: y, type: file, path: /x, absent: true, max-age: 1h, match: x}, {name: z, type: file, path: /x, max-age: 1ms, match: \"\"}]", nil},
	{"nft monitor", "id: 7", "id: 7\nmonitors: [{name: x, type: nft}, {name: y, type: nft, table: filter}]", nil},
	{"routing", "id: 7", "id: 7\nrouting: {on-active: \"" + strings.Repeat("x", 1001) + "\", timeout: 1ms, user: \"\"}", nil},
	{"sync without an interface", "{name: sync, role: sync}", "{name: sync, role: private}\nsync: {enabled: true}", nil},
	{"sync unmonitored", "{name: sync, role: sync}", "{name: sync, role: sync, monitored: false}\nsync: {enabled: true}", nil},
	{"sync words", "id: 7", "id: 7\nsync: {enabled: yes, tcp-loose: 1, full-sync-rate: 10, buffer: 32}", nil},
	{"sync buffers", "id: 7", "id: 7\nsync: {buffer: 4GiB}", nil},
	{"sync buffer of words", "id: 7", "id: 7\nsync: {buffer: manyMiB}", nil},
	{"sync misspelt", "id: 7", "id: 7\nsync: {service: {dns: never}}", nil},
	{"sync services", "id: 7", "id: 7\nsync: {services: {dns: sometimes, http: 10ms, tcp/0: never, tcp/90-80: 3s, icmp/8: never, gopher: 1s, ospf/1: 1s, tcp/443: , tcp/70000: 1s}}", nil},
	{"sync services that overlap", "id: 7", "id: 7\nsync: {services: {dns: never, udp/50-60: 3s, http: 3s, tcp: 5s}}", nil},
	{"sync services by the dozen", "id: 7", "id: 7\nsync: {services: {" + repeated(65, "tcp/1%03d: 3s") + "}}", nil},
	{"sync sets", "id: 7", "id: 7\nsync: {sets: [blocked, inet filter blocked, inet filter blocked, inet6 filter x, \"inet filter a;b\"]}", nil},
	{"sync sets by the dozen", "id: 7", "id: 7\nsync: {sets: [" + repeated(33, "inet filter s%d") + "]}", nil},
	{"sync zones", "id: 7", "id: 7\nsync: {zones: [0, 5, 0x5, 65536, -1, guests]}", nil},
	{"sync zones by the dozen", "id: 7", "id: 7\nsync: {zones: [" + repeated(65, "%d") + "]}", nil},
	{"sync zones a value", "id: 7", "id: 7\nsync: {zones: 5}", nil},
	{"sync sets a value", "id: 7", "id: 7\nsync: {sets: inet filter blocked}", nil},
	{"journald word", "id: 7", "id: 7\nnotify: {journald: yes}", nil},
	{"syslog severity", "id: 7", "id: 7\nnotify: {journald: {severity: notice}, syslog: {address: \"udp://192.0.2.9:514\", severity: debug}}", nil},
	{"syslog without address", "id: 7", "id: 7\nnotify: {syslog: {facility: daemon}}", nil},
	{"syslog addresses", "id: 7", "id: 7\nnotify:\n  syslog:\n    - {address: 192.0.2.9}\n    - {address: \"udp://192.0.2.9\"}\n    - {address: \"tls://192.0.2.9:6514\"}\n" +
		"    - {address: \"unix://dev/log\"}\n    - {address: \"tcp://192.0.2.9:0\"}\n    - {address: \"udp://a b:514\"}", nil},
	{"syslog server twice", "id: 7", "id: 7\nnotify:\n  syslog:\n    - {address: \"udp://192.0.2.9:514\"}\n    - {address: \"udp://192.0.2.9:514\", facility: local0}", nil},
	{"syslog facility", "id: 7", "id: 7\nnotify: {syslog: {address: \"udp://192.0.2.9:514\", facility: local8}}", nil},
	{"syslog servers", "id: 7", "id: 7\nnotify:\n  syslog:" + strings.Repeat("\n    - {address: \"unix:///dev/log\"}", 9), nil},
	{"syslog a value", "id: 7", "id: 7\nnotify: {syslog: \"udp://192.0.2.9:514\"}", nil},
	{"snmp without anything", "id: 7", "id: 7\nnotify:\n  snmp:", nil},
	{"snmp version", "id: 7", "id: 7\nnotify: {snmp: {version: 1, targets: [\"192.0.2.9:162\"]}}", nil},
	{"snmp targets", "id: 7", "id: 7\nnotify: {snmp: {version: 2c, community: c, targets: [192.0.2.9, \"192.0.2.9:162\", \"192.0.2.9:162\", \":162\"]}}", nil},
	{"snmp user in 2c", "id: 7", "id: 7\nnotify: {snmp: {version: 2c, targets: [\"192.0.2.9:162\"], user: u, auth: SHA, priv: AES}}", nil},
	{"snmp community empty", "id: 7", "id: 7\nnotify: {snmp: {version: 2c, targets: [\"192.0.2.9:162\"], community: \"\"}}", nil},
	{"snmp community in 3", "id: 7", "id: 7\nnotify: {snmp: {version: 3, targets: [\"192.0.2.9:162\"], community: c}}", nil},
	{"snmp privacy alone", "id: 7", "id: 7\nnotify: {snmp: {version: 3, targets: [\"192.0.2.9:162\"], user: u, auth: none}}", nil},
	{"snmp protocols", "id: 7", "id: 7\nnotify: {snmp: {version: 3, targets: [\"192.0.2.9:162\"], user: u, auth: MD5, priv: DES, secrets-file: \"\"}}", nil},
	{"snmp passphrase inline", "id: 7", "id: 7\nnotify: {snmp: {version: 3, targets: [\"192.0.2.9:162\"], user: u, auth-passphrase: secret}}", nil},
	{"many at once", "id: 7\nname: edge", "id: 0\nnam: edge\nmode: cold\ntimers: {dead: 1ms}", nil},
}

var nineMembers = func() string {
	var b strings.Builder
	for i := range 7 {
		fmt.Fprintf(&b, "  - name: gw-%c\n    interfaces:\n      outside: {device: eth0, addresses: [192.0.2.1%d/24, \"2001:db8::1%d/64\"]}\n"+
			"      inside: {device: eth1, addresses: [10.0.0.1%d/24]}\n      sync: {device: eth2, addresses: [10.99.0.1%d/24]}\n", 'c'+i, i, i, i, i)
	}
	return b.String()
}()

var (
	manyDomains  = repeated(18, "d%03d.example")
	manyServers  = repeated(16, `"2001:db8::%x"`)
	manyNetworks = repeated(39, `"2001:db8:%x::/64"`)
)

func repeated(n int, format string) string {
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(words, ", ")
}

// manyInterfaces are the interfaces sync and, with other keys, n more that need devices (manyDevices).
func manyInterfaces(n int, keys string) string {
	text := "  - {name: sync, role: sync}\n"
	for i := range n {
		text += fmt.Sprintf("  - {name: lan%d, role: sync%s}\n", i, keys)
	}
	return text
}

// manyDevices are the replacements that give both members devices for manyInterfaces.
func manyDevices(n int) (pairs []string) {
	for member := 2; member <= 3; member++ {
		line := fmt.Sprintf("      sync: {device: eth2, addresses: [10.99.0.%d/24]}\n", member)
		text := line
		for i := range n {
			text += fmt.Sprintf("      lan%d: {device: lan%d, addresses: [10.98.%d.%d/24]}\n", i, i, i, member)
		}
		pairs = append(pairs, line, text)
	}
	return pairs
}

// TestRefusals compares the whole text of every refusal with testdata/refusals.golden. If it fails, run it with -update and look at the
// difference before committing.
func TestRefusals(t *testing.T) {
	const path = "testdata/refusals.golden"
	var got strings.Builder
	for _, k := range refusals {
		text := sound
		for pair := range slices.Chunk(append([]string{k.old, k.new}, k.more...), 2) {
			if !strings.Contains(text, pair[0]) {
				t.Errorf("%s: %q is not in the sound file", k.name, pair[0])
			}
			text = strings.Replace(text, pair[0], pair[1], 1)
		}
		_, err := Parse("/etc/holdfast/cluster.yaml", []byte(text))
		if err == nil {
			t.Errorf("%s: was accepted", k.name)
			continue
		}
		fmt.Fprintf(&got, "# %s\n%v\n", k.name, err)
		for _, p := range Problems(err) {
			if p.WayOut == "" || p.What == "" {
				t.Errorf("%s: no way out of %v", k.name, p)
			}
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w, g := strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			t.Fatalf("line %d of the refusals:\n got %q\nwant %q", i+1, g[min(i, len(g)-1)], w[min(i, len(w)-1)])
		}
	}
}
