// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"net/netip"
	"time"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// Spec is one monitor. Two specs that are deeply equal are the same monitor: Reconfigure lets it run on.
type Spec struct {
	// Name is unique within a Set; Device is the critical device that it feeds.
	Name, Device string
	// Interval is between the beginnings of two checks, Timeout how long one may take; both above 0.
	Interval, Timeout time.Duration
	// Rise is how many good checks in a row end a problem, Fall how many bad ones make one.
	Rise, Fall int
	// Check is what is checked.
	Check Check
}

// Check is one of the kinds of this file. The set is closed.
type Check interface{ kind() string }

// Process wants a process to run. It is watched through pidfds: its end is noticed at once, and nothing is polled while it lives,
// unless Max is set.
type Process struct {
	// Name is the process's name (comm, or the last part of its first argument where the name is longer than 15 bytes).
	Name string
	// PIDFile names a file with the process's number; with a Name too, that process must have it. Without a Name, Min and Max are not
	// used.
	PIDFile string
	// Min and Max bound how many processes of the name there are; Max 0 is no bound.
	Min, Max int
}

// Unit wants a systemd unit to be active (reloading counts as active).
type Unit struct {
	// Name is the unit's with its suffix: frr.service.
	Name string
	// Bus is the address of the system bus; empty for the usual one.
	Bus string
}

// Script wants a command to exit with 0 within the timeout.
type Script struct{ Command Command }

// TCP wants a connection to be accepted.
type TCP struct {
	// Address is host:port.
	Address string
	// Send is written after connecting; Expect must then come back. Empty: no matter.
	Send, Expect string
	From         Source
}

// HTTP wants an answer to a GET request.
type HTTP struct {
	URL string
	// Host replaces the request's Host header; empty for the URL's.
	Host string
	// Status lists the codes that are well; empty for 200 to 399.
	Status []int
	// Body is a regular expression that the first 64 KiB must match; empty: no matter.
	Body string
	// CA is a file with the certificates to trust; empty for the system's. ServerName replaces the URL's host for the certificate;
	// NoVerify takes any certificate.
	CA, ServerName string
	NoVerify       bool
	// Redirects are followed, up to 5; without, one is an answer with its own code.
	Redirects bool
	From      Source
}

// Ping wants targets to answer echo requests.
type Ping struct {
	Targets []netip.Addr
	// All wants each to answer, else one is enough.
	All  bool
	From Source
}

// ARP wants targets on a segment to answer ARP requests or neighbour solicitations.
type ARP struct {
	Targets []netip.Addr
	All     bool
	// Device is the interface's device; Own are the member's own addresses on it with their prefix lengths. A target is asked from the one
	// whose prefix holds it, else from the first of its family.
	Device string
	Own    []netip.Prefix
}

// Source says from where a check asks.
type Source struct {
	// IPv4 and IPv6 are the source addresses; the zero Addr leaves the choice to the kernel.
	IPv4, IPv6 netip.Addr
	// Device binds the check to a device; empty for none.
	Device string
	// Never lists the cluster's addresses: a question from one of them would be answered to another member. If the kernel chose one,
	// the check fails without asking.
	Never []netip.Addr
}

// Disk wants room on the filesystem that holds Path, and that it can be written.
type Disk struct {
	Path string
	// MinFree and MinInodes are in percent of the whole; 0 does not look.
	MinFree, MinInodes float64
	// ReadOnly allows a filesystem that is mounted read-only; without, one is a problem: that is what many do after an error.
	ReadOnly bool
	// Write makes each check write, sync and remove a small file in Path.
	Write bool
}

// Interface wants what an interface carries to be within bounds, per second between two checks; bounds of 0 are none.
type Interface struct {
	Device string
	// In and Out bound what is received and sent.
	In, Out Rates
	// MaxErrors and MaxDrops bound errors and drops, received and sent together. Both count only if set.
	MaxErrors, MaxDrops *float64
}

// Rates are bounds in one direction. 0 is no bound.
type Rates struct{ MinBits, MaxBits, MinPackets, MaxPackets float64 }

// Route wants routes to be in a table of the kernel. It is checked when a notice of the kernel names a route that matters, and at each
// interval.
type Route struct {
	// Prefix is the route's destination, exactly; the zero Prefix counts all routes that match the rest.
	Prefix netip.Prefix
	// Table is the routing table's number: 254 is main.
	Table int
	// Via is a next hop, Device its device, Protocol who made the route (rtm_protocol: 186 is BGP); zero values match all.
	Via      netip.Addr
	Device   string
	Protocol int
	// Min is how many next hops of matching routes there must be.
	Min int
}

// File wants a file to be there, or not.
type File struct {
	Path string
	// Absent wants it not to be there; the rest is then not used.
	Absent bool
	// MaxAge is the most time since its last change; 0 does not look.
	MaxAge time.Duration
	// Match is a regular expression that the first MiB must match; empty: no matter.
	Match string
}

// Table wants an nftables table to be loaded, not dormant and not empty. It is checked when the ruleset changes, and at each interval.
type Table struct {
	// Family is inet, ip, ip6, arp, bridge or netdev.
	Family, Name string
}

func (Process) kind() string   { return "process" }
func (Unit) kind() string      { return "systemd" }
func (Script) kind() string    { return "script" }
func (TCP) kind() string       { return "tcp" }
func (HTTP) kind() string      { return "http" }
func (Ping) kind() string      { return "ping" }
func (ARP) kind() string       { return "arp" }
func (Disk) kind() string      { return "disk" }
func (Interface) kind() string { return "interface" }
func (Route) kind() string     { return "route" }
func (File) kind() string      { return "file" }
func (Table) kind() string     { return "nft" }

// Report is the news of one monitor: its status or the reason have changed.
type Report struct {
	Device, Monitor string
	Status          verdict.Status
	Reason          string
}

// State is how a monitor stands.
type State struct {
	Report
	// Kind is what is checked, as in cluster.yaml.
	Kind string
	// Checks counts checks that have ended, Failed those that did not find all well.
	Checks, Failed uint64
	// Took is how long the last one needed.
	Took time.Duration
}
