// SPDX-License-Identifier: Apache-2.0

package main

// groups are the headings of "holdfast --help", and examples what each command's own --help shows.
var groups = []struct{ id, title, commands string }{
	{"look", "Look:", "state why interfaces devices vips sync load which-member policy history events timers counters version"},
	{"order", "Give orders:", "failover admin freeze unfreeze reload restart stop"},
	{"files", "Files and keys (no daemon is needed):", "config key enroll"},
	{"others", "In the words of cphaprob:", "cphaprob cphaconf"},
}

var examples = map[string]string{
	"state":        "holdfast state\nholdfast state --watch\nholdfast state -o json | jq -r '.members[] | select(.answer) | .name'",
	"why":          "holdfast why\nholdfast why gw-b",
	"interfaces":   "holdfast interfaces --watch=200ms",
	"vips":         "holdfast vips",
	"timers":       "holdfast timers",
	"counters":     "holdfast counters\nholdfast counters --all -o json",
	"version":      "holdfast version        # before, during and after an upgrade",
	"history":      "holdfast history --since 1h\nholdfast history --last 0 -o json",
	"events":       "holdfast events --follow\nholdfast events -o json | jq -r 'select(.severity == \"error\") | .reason'",
	"which-member": "holdfast which-member 198.51.100.7 192.0.2.1 --sport 40001 --dport 443\nholdfast which-member 192.0.2.254 192.0.2.1 --protocol esp --spi 0xc0ffee",

	"devices":            "holdfast devices --problems\nholdfast devices --all",
	"devices register":   "holdfast devices register db --timeout 30s --state init\nholdfast devices register -f /etc/holdfast/devices --persist",
	"devices report":     "holdfast devices report db ok\nholdfast devices report db problem --reason \"no answer on 5432\"",
	"devices unregister": "holdfast devices unregister db --persist",

	"failover":         "holdfast failover to gw-b\nholdfast failover history --since 24h",
	"failover to":      "holdfast failover to gw-b\nholdfast failover to gw-b --for 10m   # then the recovery mode's rule",
	"failover end":     "holdfast failover end",
	"failover history": "holdfast failover history\nholdfast failover history --since 7d -o json",
	"failover reset":   "holdfast failover reset counter\nholdfast failover reset",

	"admin":      "holdfast admin down\nholdfast admin up",
	"admin down": "holdfast admin down\nholdfast admin down --permanent   # stays down over a reboot",
	"admin up":   "holdfast admin up",
	"freeze":     "holdfast freeze\nholdfast freeze --for 2m",
	"unfreeze":   "holdfast unfreeze",
	"reload":     "holdfast config diff cluster.old /etc/holdfast/cluster.yaml && holdfast reload",
	"restart":    "holdfast restart",
	"stop":       "holdfast stop           # systemctl stop would let the gate close by itself instead",

	"sync":        "holdfast sync\nholdfast sync verify",
	"sync status": "holdfast sync status --watch",
	"sync stats":  "holdfast sync stats",
	"sync verify": "holdfast sync verify\nholdfast sync verify gw-b -o json",
	"sync reset":  "holdfast sync reset",

	"load":         "holdfast load --watch\nholdfast load weight gw-a 10",
	"load weight":  "holdfast load weight gw-a 10\nholdfast load weight --reset",
	"load arp":     "holdfast load arp",
	"load defines": "holdfast load defines",

	"config":         "holdfast config check /etc/holdfast/cluster.yaml",
	"config check":   "holdfast config check /etc/holdfast/cluster.yaml\nholdfast config check --no-key cluster.yaml   # where the key is not",
	"config diff":    "holdfast config diff cluster.old /etc/holdfast/cluster.yaml",
	"config defines": "holdfast config defines --member gw-a /etc/holdfast/cluster.yaml",
	"key":            "holdfast key generate /etc/holdfast/cluster.key",
	"key generate":   "holdfast key generate /etc/holdfast/cluster.key",
	"key next":       "holdfast key next /etc/holdfast/cluster.key",
	"key retire":     "holdfast key retire /etc/holdfast/cluster.key",
	"enroll":         "holdfast enroll -        # reads the token from the standard input, so that it is in no history",

	"policy":             "holdfast policy status\nholdfast policy check edge.nft --config /etc/holdfast/cluster.yaml",
	"policy status":      "holdfast policy status --watch",
	"policy history":     "holdfast policy history",
	"policy show":        "holdfast policy show\nholdfast policy show 41 --ruleset",
	"policy load":        "holdfast policy load\nholdfast policy load 42.policy",
	"policy unload":      "holdfast policy unload",
	"policy fetch":       "holdfast policy fetch",
	"policy boot-filter": "holdfast policy boot-filter --print",
	"policy keygen":      "holdfast policy keygen mgmt.key",
	"policy pack":        "holdfast policy pack edge.nft 42.policy --cluster 7 --generation 42 --key mgmt.key --comment 'let the office in'",
	"policy inspect":     "holdfast policy inspect 42.policy\nholdfast policy inspect 42.policy --ruleset",
	"policy verify":      "holdfast policy verify 42.policy --key mgmt.key.pub --config /etc/holdfast/cluster.yaml",
	"policy check":       "holdfast policy check edge.nft --config /etc/holdfast/cluster.yaml",
	"policy defines":     "holdfast policy defines --config /etc/holdfast/cluster.yaml --member gw-a",
	"policy diff":        "holdfast policy diff 41 42\nholdfast policy diff 42 next.policy",

	"cphaprob": "holdfast cphaprob state\nholdfast cphaprob -a if",
	"cphaconf": "holdfast cphaconf set_pnote -d db -t 30 -s ok register",
}
