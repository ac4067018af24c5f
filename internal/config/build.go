// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// builder turns the raw file into a Cluster.
type builder struct {
	*problems
	raw rawFile
	c   *Cluster
}

// Defaults of what is not in the file.
const (
	defaultListen    = ":9848"
	defaultSocket    = "/run/holdfast/control.sock"
	defaultStateDir  = "/var/lib/holdfast"
	defaultPinDir    = "/sys/fs/bpf/holdfast/{cluster}-{member}"
	defaultKeyFile   = "cluster.key"
	defaultEtherType = 0x88B5
	defaultPriority  = 60
)

func (b *builder) build() {
	r, c := b.raw, b.c
	b.required("id", r.ID, "give the cluster a number, 1..65535, that no other cluster on its segments has")
	b.required("name", r.Name, "give the cluster a name")
	c.ID = uint16(b.number(r.ID, 1, 65535, 0))
	c.Name = b.name(r.Name, "cluster")
	c.Mode = b.mode(r.Mode)
	c.Recovery = choice(b, r.Recovery, MaintainCurrent, MaintainCurrent, HighestPriority)
	c.KeyFile = b.keyFile(r.KeyFile)
	c.Profile = choice(b, r.Profile, Appliance, Appliance, Fast, Virtual)
	b.timers()
	c.Flap = Flap{
		Budget: int(b.number(r.Flap.Budget, 0, 1000, 5)),
		Window: b.duration(r.Flap.Window, time.Second, 24*time.Hour, 10*time.Minute),
	}
	c.Devices = Devices{Weights: b.weights(r.Devices.Weights)}
	c.VMAC = b.flag(r.VMAC, true)
	c.Attach = choice(b, r.Attach, AttachAuto, AttachAuto, AttachXDP, AttachTCX)
	c.OwnTraffic = choice(b, r.OwnTraffic, OwnStays, OwnStays, OwnToServer)
	if c.OwnTraffic == OwnToServer && c.Mode != ModeHA {
		b.add(r.OwnTraffic, "remove it, or write stays", "not in mode %s: all members serve", c.Mode)
	}
	c.CCP = CCP{
		EtherType: b.etherType(r.CCP.EtherType),
		Transport: choice(b, r.CCP.Transport, Unicast, Unicast, Multicast, Broadcast),
		Priority:  int(b.number(r.CCP.Priority, 1, 99, defaultPriority)),
	}
	b.local()
	b.notify()
	b.interfaces()
	b.sync()
	b.members()
	b.addresses()
	b.sharing()
	b.policy()
	b.monitors()
	b.routing()
}

func (b *builder) required(path string, s scalar, wayOut string) {
	if !s.set {
		b.at(b.raw.Line, path, wayOut, "missing")
	}
}

func (b *builder) keyFile(s scalar) string {
	if !s.set {
		return defaultKeyFile
	}
	if s.text == "" || strings.ContainsRune(s.text, 0) {
		b.add(s, "name the file that \"holdfast key generate\" wrote", "not a path")
		return defaultKeyFile
	}
	return s.text
}

// takenEtherTypes belong to protocols that the same segments carry.
var takenEtherTypes = map[uint64]string{
	0x0800: "IPv4", 0x0806: "ARP", 0x86DD: "IPv6", 0x8100: "VLAN", 0x88A8: "VLAN", 0x8863: "PPPoE", 0x8864: "PPPoE",
	0x888E: "802.1X", 0x88CC: "LLDP", 0x8809: "LACP", 0x88E5: "MACsec",
}

func (b *builder) etherType(s scalar) uint16 {
	n := b.number(s, 0x0600, 0xffff, defaultEtherType)
	if who, taken := takenEtherTypes[n]; taken {
		b.add(s, "use 0x88b5 or 0x88b6, which IEEE leaves free for local use", "belongs to %s", who)
		return defaultEtherType
	}
	return uint16(n)
}

// local reads what may differ between members.
func (b *builder) local() {
	r, c := b.raw, b.c
	c.Metrics = Metrics{Listen: b.listen(r.Metrics.Listen)}
	c.Control = Control{Socket: b.path(r.Control.Socket, defaultSocket)}
	c.StateDir = b.path(r.StateDir, defaultStateDir)
	c.PinDir = b.path(r.PinDir, defaultPinDir)
	level := choice(b, r.LogLevel, "info", "debug", "info", "warn", "error")
	_ = c.LogLevel.UnmarshalText([]byte(level)) // the four words above are slog's own
	if limit := 100; len(c.Control.Socket) > limit {
		b.add(r.Control.Socket, "choose a path of at most 100 bytes", "too long for a unix socket")
	}
}

func (b *builder) listen(s scalar) string {
	if !s.set {
		return defaultListen
	}
	if s.text == "" {
		return ""
	}
	_, port, err := net.SplitHostPort(s.text)
	if n, convErr := strconv.ParseUint(port, 10, 16); err != nil || convErr != nil || n == 0 {
		b.add(s, `write "host:port", ":9848" for all addresses, or "" for no endpoint`, "not an address to listen on")
		return defaultListen
	}
	return s.text
}

func (b *builder) path(s scalar, def string) string {
	if !s.set {
		return def
	}
	rest := strings.NewReplacer("{cluster}", "", "{member}", "").Replace(s.text)
	switch {
	case !filepath.IsAbs(s.text) || strings.ContainsRune(s.text, 0):
		b.add(s, "write the path from / on", "not an absolute path")
	case strings.ContainsAny(rest, "{}"):
		b.add(s, "use {cluster} or {member}", "unknown placeholder")
	default:
		return filepath.Clean(s.text)
	}
	return def
}
