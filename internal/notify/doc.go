// SPDX-License-Identifier: Apache-2.0

// Package notify tells others of events: the systemd journal (native protocol), syslog servers (RFC 5424 over unix datagrams, UDP or
// TCP) and SNMP managers (v2c and v3 notifications of HOLDFAST-MIB).
//
// Each receiver is a sink with a queue and a goroutine of its own. Nothing that a receiver does or does not do reaches whoever
// notifies: a full queue drops what is new and counts it. A sink that fails is said once, as is its recovery; that event goes to the
// other sinks only. The package must not know the machine or the configuration: the node translates.
package notify
