// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/sys/unix"
)

// Groups of rtnetlink and of nf_tables whose messages tell that something changed.
const (
	groupLink      = 1  // RTNLGRP_LINK
	groupAddr4     = 5  // RTNLGRP_IPV4_IFADDR
	groupRoute4    = 7  // RTNLGRP_IPV4_ROUTE
	groupRoute6    = 11 // RTNLGRP_IPV6_ROUTE
	groupNexthop   = 32 // RTNLGRP_NEXTHOP
	groupNFTables  = 7  // NFNLGRP_NFTABLES
	familyRoute    = unix.NETLINK_ROUTE
	familyNFTables = unix.NETLINK_NETFILTER
)

// tools is what the monitors of a set share: fifty of them need neither fifty scans of /proc nor fifty sockets.
type tools struct {
	log    *slog.Logger
	runner *Runner
	procs  *procs
	routes *notices
	rules  *notices
	buses  *buses
	asker  *asker
}

func newTools(log *slog.Logger) *tools {
	return &tools{
		log: log, runner: NewRunner(log), procs: &procs{root: "/proc"},
		// The kernel does not tell of the IPv4 routes that go with a device, an address or a next hop.
		routes: &notices{log: log, family: familyRoute, groups: []uint32{groupRoute4, groupRoute6, groupLink, groupAddr4, groupNexthop}},
		rules:  &notices{log: log, family: familyNFTables, groups: []uint32{groupNFTables}},
		buses:  &buses{log: log, open: map[string]*bus{}, opening: map[string]chan struct{}{}},
		asker:  newAsker(log),
	}
}

// open says where tasks of the tools run.
func (t *tools) open(ctx context.Context, tasks *sync.WaitGroup) {
	t.routes.tasks, t.rules.tasks = tasks, tasks
	tasks.Go(func() { t.asker.serve(ctx) })
}

// close lets go of what is left once all monitors have ended.
func (t *tools) close() {
	t.buses.close()
	t.runner.Close()
}

// checker makes what checks spec.
func (t *tools) checker(spec Spec) checker {
	switch c := spec.Check.(type) {
	case Process:
		return newProcess(c, t.procs, spec.Interval)
	case Unit:
		return newUnit(c, t.buses)
	case Script:
		return &script{name: spec.Name, command: c.Command, runner: t.runner}
	case TCP:
		return &tcp{TCP: c}
	case HTTP:
		return newHTTP(c)
	case Ping:
		return &ping{Ping: c, timeout: spec.Timeout}
	case ARP:
		return newARP(c, t.asker, spec.Timeout)
	case Disk:
		return &disk{Disk: c}
	case Interface:
		return &iface{Interface: c, interval: spec.Interval}
	case Route:
		return newRoute(c, t.routes)
	case File:
		return &file{File: c}
	case Table:
		return newTable(c, t.rules)
	}
	panic("monitor: a kind of check without a checker") // the set of kinds is closed
}
