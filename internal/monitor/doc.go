// SPDX-License-Identifier: Apache-2.0

// Package monitor watches what a member needs to serve: processes, systemd units, ports, neighbours, disks, interfaces, routes, files,
// nftables, and anything that a script can tell. Each monitor is a task with its interval; what it finds becomes the status of a
// critical device by the rules of package verdict. Where the kernel or systemd say that something changed, a check follows at once and
// nothing is polled for it.
//
// A check never holds up another one. One that does not return (a file server that hangs) counts as failed at each interval until it
// does. Scripts run in a sandbox, see Command.
//
// The package knows neither the cluster's configuration nor its state machine: the node translates both ways.
package monitor
