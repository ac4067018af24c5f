// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
)

// Notify says who is told of events. It may differ between members.
type Notify struct {
	Journald Journald
	Syslog   []Syslog
	SNMP     *SNMP // nil: no manager is told
}

// Severity is the least severity of what a receiver is told. The zero value is invalid.
type Severity string

// Severities in ascending order.
const (
	SeverityInfo    Severity = "info"
	SeverityWarning Severity = "warning"
	SeverityError   Severity = "error"
)

// JournaldUse says whether events go to the systemd journal. The zero value is invalid.
type JournaldUse string

const (
	// JournaldAuto: if there is one; the default.
	JournaldAuto JournaldUse = "auto"
	// JournaldOn: always; one that is not there is a failure.
	JournaldOn JournaldUse = "true"
	// JournaldOff: never.
	JournaldOff JournaldUse = "false"
)

// Journald is the systemd journal of this host.
type Journald struct {
	Use      JournaldUse
	Severity Severity
}

// Syslog is one receiver of RFC 5424 messages.
type Syslog struct {
	Network  string // udp, tcp, unixgram
	Address  string // host:port, or a path
	Facility int    // 0..23, default 3 (daemon)
	Severity Severity
}

// URL is the address as in the file.
func (s Syslog) URL() string {
	if s.Network == "unixgram" {
		return "unix://" + s.Address
	}
	return s.Network + "://" + s.Address
}

// SNMP are managers that receive notifications of HOLDFAST-MIB, all in the same way.
type SNMP struct {
	Version     string   // "2c" or "3"
	Targets     []string // host:port
	Inform      bool     // ask for acknowledgements, and repeat without one
	Community   string   // of 2c; "" if the secrets file has it
	User        string   // of 3
	Auth        string   // "", SHA, SHA-224, SHA-256 (default), SHA-384, SHA-512
	Priv        string   // "", AES (default), AES-192, AES-256
	SecretsFile string   // absolute path, or relative to the directory of cluster.yaml (Load makes it absolute)
	Severity    Severity
}

// NeedsSecrets reports whether the secrets file has to be there.
func (s *SNMP) NeedsSecrets() bool {
	return s != nil && (s.Version == "2c" && s.Community == "" || s.Version == "3" && s.Auth != "")
}

func (j Journald) String() string { return fmt.Sprintf("%s from %s", j.Use, j.Severity) }

func (s Syslog) String() string {
	return fmt.Sprintf("%s %s from %s", s.URL(), facilities[s.Facility], s.Severity)
}

// String does not show the community.
func (s *SNMP) String() string {
	if s == nil {
		return "none"
	}
	text := "v" + s.Version
	if s.Inform {
		text += " inform"
	}
	if s.Version == "3" {
		text += strings.TrimRight(fmt.Sprintf(" %s %s %s", s.User, s.Auth, s.Priv), " ")
	}
	return text + " to " + strings.Join(s.Targets, ", ") + " from " + string(s.Severity)
}
