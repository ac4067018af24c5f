// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"time"
)

// MaxMonitors bounds a cluster's monitors.
const MaxMonitors = 64

// MonitorType is what a monitor checks. The zero value is invalid.
type MonitorType string

// The types of monitors.
const (
	// MonitorProcess: a process of a name, or of a pidfile, runs.
	MonitorProcess MonitorType = "process"
	// MonitorSystemd: a systemd unit is active.
	MonitorSystemd MonitorType = "systemd"
	// MonitorScript: a command exits with 0.
	MonitorScript MonitorType = "script"
	// MonitorTCP: a port accepts connections.
	MonitorTCP MonitorType = "tcp"
	// MonitorHTTP: a web server answers (http and https).
	MonitorHTTP MonitorType = "http"
	// MonitorPing: hosts answer echo requests.
	MonitorPing MonitorType = "ping"
	// MonitorARP: hosts on a segment answer ARP requests or neighbour solicitations.
	MonitorARP MonitorType = "arp"
	// MonitorDisk: a filesystem has room and can be written.
	MonitorDisk MonitorType = "disk"
	// MonitorInterface: what an interface carries is within bounds.
	MonitorInterface MonitorType = "interface"
	// MonitorRoute: routes are in the kernel's table.
	MonitorRoute MonitorType = "route"
	// MonitorFile: a file is there, or is not.
	MonitorFile MonitorType = "file"
	// MonitorNFT: an nftables table is loaded.
	MonitorNFT MonitorType = "nft"
)

// Monitor is one thing that must be well for a member to serve. Which of the later fields mean something depends on Type; the rest
// have their zero value.
type Monitor struct {
	Name   string      // letters, digits, '-', '_', '.'; at most 32
	Type   MonitorType //
	Device string      // the critical device that it feeds; default Name. Several monitors may feed one
	// Members are those that it runs on, by name in the order of the file; nil: all.
	Members  []string      `json:",omitzero"`
	Interval time.Duration // between two checks; 100 ms to 1 h
	Timeout  time.Duration // of one check; at most Interval
	Rise     int           // good checks in a row that end a problem
	Fall     int           // bad checks in a row that make one

	Process  string `json:",omitzero"` // process: name
	PIDFile  string `json:",omitzero"` // process
	Min      int    `json:",omitzero"` // process: how many; route: how many next hops
	Max      int    `json:",omitzero"` // process: 0 is no bound
	Unit     string `json:",omitzero"` // systemd: with its suffix
	Command  string `json:",omitzero"` // script: for /bin/sh
	User     string `json:",omitzero"` // script: default nobody
	Address  string `json:",omitzero"` // tcp: host:port
	SendText string `json:",omitzero"` // tcp
	Expect   string `json:",omitzero"` // tcp

	URL        string `json:",omitzero"` // http
	Host       string `json:",omitzero"` // http: Host header, "" for the URL's
	Status     []int  `json:",omitzero"` // http: nil for 200 to 399
	Body       string `json:",omitzero"` // http: regular expression
	NoVerify   bool   `json:",omitzero"` // http: take any certificate
	CA         string `json:",omitzero"` // http: file of certificates to trust
	ServerName string `json:",omitzero"` // http: name in the certificate
	Redirects  bool   `json:",omitzero"` // http: follow them

	Targets []netip.Addr `json:",omitzero"` // ping, arp
	All     bool         `json:",omitzero"` // ping, arp: every target must answer
	// Interface is the cluster's name of one: tcp, http and ping ask from the member's own address on it, arp asks on it, interface
	// and route watch it. NetDev is a device of the kernel's instead, for interface and route.
	Interface string     `json:",omitzero"`
	NetDev    string     `json:",omitzero"`
	Source    netip.Addr `json:",omitzero"` // tcp, http, ping: the source address

	Path      string  `json:",omitzero"` // disk, file
	MinFree   float64 `json:",omitzero"` // disk: percent
	MinInodes float64 `json:",omitzero"` // disk: percent
	ReadOnly  bool    `json:",omitzero"` // disk: may be mounted read-only
	WriteTest bool    `json:",omitzero"` // disk

	MinReceive Rate     `json:",omitzero"` // interface
	MaxReceive Rate     `json:",omitzero"` // interface
	MinSend    Rate     `json:",omitzero"` // interface
	MaxSend    Rate     `json:",omitzero"` // interface
	MaxErrors  *float64 `json:",omitzero"` // interface: per second; nil is no bound
	MaxDrops   *float64 `json:",omitzero"` // interface: per second; nil is no bound

	Prefix   netip.Prefix `json:",omitzero"` // route; the zero Prefix: all that match the rest
	Table    string       `json:",omitzero"` // route: number, 254 is main; nft: name
	Family   string       `json:",omitzero"` // nft: family
	Via      netip.Addr   `json:",omitzero"` // route
	Protocol string       `json:",omitzero"` // route: name or number

	Absent bool          `json:",omitzero"` // file: must not be there
	MaxAge time.Duration `json:",omitzero"` // file: 0 does not look
	Match  string        `json:",omitzero"` // file: regular expression
}

// Rate is a bound of an interface: bits per second, or packets with Packets set. The zero value is no bound.
type Rate struct {
	PerSecond float64
	Packets   bool
}

// Routing are commands that run when this member begins to serve, and when it ends. They get a routing daemon to restart gracefully, or
// to announce. Whether they succeed changes nothing of the hand-over.
type Routing struct {
	OnActive  string        `json:",omitzero"` // for /bin/sh; "" for none
	OnStandby string        `json:",omitzero"`
	Timeout   time.Duration // default 10 s
	User      string        // default nobody
}

// used is the commands, nil if there are none: what they would be run with then changes nothing.
func (r Routing) used() *Routing {
	if r.OnActive == "" && r.OnStandby == "" {
		return nil
	}
	return &r
}

// On reports whether the monitor runs on a member.
func (m *Monitor) On(member string) bool {
	for _, name := range m.Members {
		if name == member {
			return true
		}
	}
	return len(m.Members) == 0
}

// monitorDefaults are the times and counts of each type. What looks up a fact believes it at once; what asks others wants to be told
// twice.
var monitorDefaults = map[MonitorType]struct {
	interval, timeout time.Duration
	rise, fall        uint64
}{
	MonitorProcess:   {time.Second, time.Second, 1, 1},
	MonitorSystemd:   {10 * time.Second, 5 * time.Second, 1, 1},
	MonitorScript:    {10 * time.Second, 5 * time.Second, 2, 3},
	MonitorTCP:       {2 * time.Second, time.Second, 2, 3},
	MonitorHTTP:      {5 * time.Second, 3 * time.Second, 2, 3},
	MonitorPing:      {time.Second, 500 * time.Millisecond, 2, 3},
	MonitorARP:       {time.Second, 500 * time.Millisecond, 2, 3},
	MonitorDisk:      {10 * time.Second, 5 * time.Second, 1, 2},
	MonitorInterface: {5 * time.Second, time.Second, 2, 3},
	MonitorRoute:     {30 * time.Second, 5 * time.Second, 1, 1},
	MonitorFile:      {5 * time.Second, time.Second, 1, 1},
	MonitorNFT:       {10 * time.Second, time.Second, 1, 1},
}

// monitorKeys says which keys a type has beside those that all have, those that it needs first.
var monitorKeys = map[MonitorType][]string{
	MonitorProcess:   {"process", "pidfile", "min", "max"},
	MonitorSystemd:   {"unit"},
	MonitorScript:    {"command", "user"},
	MonitorTCP:       {"address", "send", "expect", "interface", "source"},
	MonitorHTTP:      {"url", "host", "status", "body", "verify", "ca", "server-name", "redirects", "interface", "source"},
	MonitorPing:      {"targets", "need", "interface", "source"},
	MonitorARP:       {"targets", "interface", "need"},
	MonitorDisk:      {"path", "min-free", "min-inodes", "read-only", "write-test"},
	MonitorInterface: {"interface", "netdev", "min-receive", "max-receive", "min-send", "max-send", "max-errors", "max-drops"},
	MonitorRoute:     {"prefix", "table", "via", "interface", "netdev", "protocol", "min"},
	MonitorFile:      {"path", "absent", "max-age", "match"},
	MonitorNFT:       {"table"},
}

// ownDevices are critical devices that Holdfast reports itself; policy and routing are open to monitors.
var ownDevices = []string{"problem-notification", "init", "interface-active-check", "full-sync", "daemon", "recovery-delay", "admin-down", "version", "config"}
