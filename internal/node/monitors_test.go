// SPDX-License-Identifier: Apache-2.0

package node

import (
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/monitor"
	"github.com/holdfast-project/holdfast/members/device"
)

// referenceNode is a member of the commented reference, as far as its monitors go.
func referenceNode(t *testing.T, member string) *node {
	t.Helper()
	text, err := os.ReadFile("../../deploy/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("cluster.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	local, err := cfg.For(member)
	if err != nil {
		t.Fatal(err)
	}
	return &node{cfg: cfg, local: local, log: slog.New(slog.DiscardHandler)}
}

// TestSpecs translates every monitor of the commented reference.
func TestSpecs(t *testing.T) {
	n := referenceNode(t, "gw-a")
	specs := map[string]monitor.Spec{}
	for _, s := range n.specs() {
		specs[s.Name] = s
	}
	inside := n.local.Self.Interfaces["inside"].Device
	own := netip.MustParseAddr("10.0.0.2")
	own6 := netip.MustParseAddr("2001:db8:2::2")
	ten, thousand := 10.0, 1000.0
	env := []string{"HOLDFAST_CLUSTER=edge", "HOLDFAST_MEMBER=gw-a", "HOLDFAST_MONITOR=licence"}
	never := n.source(&config.Monitor{}).Never
	for name, want := range map[string]monitor.Check{
		"bgpd":     monitor.Process{Name: "bgpd", Min: 1, Max: 1},
		"resolver": monitor.Process{PIDFile: "/run/unbound.pid"},
		"frr":      monitor.Unit{Name: "frr.service"},
		"licence":  monitor.Script{Command: monitor.Command{Line: "/usr/local/lib/holdfast/check-licence --days 3", User: "nobody", Env: env}},
		"proxy":    monitor.TCP{Address: "127.0.0.1:3128", Send: "GET / HTTP/1.0\r\n\r\n", Expect: "HTTP/1.", From: monitor.Source{Never: never}},
		"portal": monitor.HTTP{URL: "https://10.0.0.20/health", Host: "portal.example.net", ServerName: "portal.example.net", CA: "/etc/holdfast/ca.pem",
			Status: []int{200, 204}, Body: `"state": *"up"`, From: monitor.Source{IPv4: own, IPv6: own6, Device: inside, Never: never}},
		"providers": monitor.Ping{Targets: []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("203.0.113.9")},
			From: monitor.Source{IPv4: netip.MustParseAddr("192.0.2.77"), Never: never}},
		"core-switch": monitor.ARP{Targets: []netip.Addr{netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr("2001:db8:2::fe")}, All: true,
			Device: inside, Own: n.local.Self.Interfaces["inside"].Addresses},
		"disk": monitor.Disk{Path: "/var", MinFree: 5, MinInodes: 5},
		"sync-errors": monitor.Interface{Device: "eth3", In: monitor.Rates{MaxBits: 900e6, MinPackets: 1}, Out: monitor.Rates{MaxBits: 900e6, MinPackets: 1},
			MaxErrors: &ten, MaxDrops: &thousand},
		"default-route": monitor.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Table: 254, Via: netip.MustParseAddr("192.0.2.254"), Device: "eth0", Protocol: 186, Min: 1},
		"maintenance":   monitor.File{Path: "/run/maintenance", Absent: true},
		"feed":          monitor.File{Path: "/var/lib/feed/list", MaxAge: 2 * 3600e9, Match: "^# complete"},
		"ruleset":       monitor.Table{Family: "inet", Name: "filter"},
	} {
		s, there := specs[name]
		if !there || !reflect.DeepEqual(s.Check, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, s.Check, want)
		}
		delete(specs, name)
	}
	for name := range specs {
		t.Errorf("%s is in the reference and not in this test", name)
	}
	if two := n.local.Self.Interfaces["inside"].Addresses; len(two) != 2 || two[0].Addr() != own || two[1].Addr() != own6 {
		t.Errorf("core-switch is asked from %v", two)
	}
	if len(never) < 6 {
		t.Errorf("addresses never to ask from: %v", never)
	}
	for _, s := range referenceNode(t, "gw-b").specs() {
		if s.Name == "providers" {
			t.Error("providers runs on gw-b, though it is for gw-a only")
		}
		if s.Name == "default-route" && s.Device != device.Routing || s.Name == "ruleset" && s.Device != device.Policy {
			t.Errorf("%s feeds %s", s.Name, s.Device)
		}
	}
}

// TestEveryProtocol: the configuration's names of routing protocols are those of the monitors.
func TestEveryProtocol(t *testing.T) {
	for name, number := range monitor.Protocols {
		if got := referenceNode(t, "gw-a").check(&config.Monitor{Type: config.MonitorRoute, Protocol: name}).(monitor.Route).Protocol; got != number {
			t.Errorf("%s is %d, want %d", name, got, number)
		}
		withMonitor(t, "{name: x, type: route, protocol: "+name+"}", true)
	}
	withMonitor(t, "{name: x, type: route, protocol: nobody}", false)
}

// TestOwnDevices: monitors may feed the built-in devices that the machine lets others feed, as far as they are theirs, and no others.
func TestOwnDevices(t *testing.T) {
	open := map[string]bool{device.Routing: true, device.Policy: true}
	for _, d := range device.NewRegistry(0).List() {
		if !d.Builtin {
			continue
		}
		withMonitor(t, "{name: x, device: "+d.Name+", type: systemd, unit: a.service}", open[d.Name])
		if open[d.Name] && !device.Fed(d.Name) {
			t.Errorf("the machine takes no reports of %s", d.Name)
		}
	}
}

// withMonitor reads the reference with another monitor.
func withMonitor(t *testing.T, monitor string, accepted bool) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = config.Parse("cluster.yaml", []byte(strings.Replace(string(text), "\nmonitors:\n", "\nmonitors:\n  - "+monitor+"\n", 1)))
	if (err == nil) != accepted {
		t.Errorf("%s: accepted %v, want %v: %v", monitor, err == nil, accepted, err)
	}
}
