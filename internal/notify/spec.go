// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"crypto/sha256"
)

// Kind is the protocol that a receiver speaks. The zero value is invalid.
type Kind uint8

const (
	_ Kind = iota
	// Journald is the systemd journal's native protocol.
	Journald
	// Syslog is RFC 5424.
	Syslog
	// SNMP are v2c and v3 notifications.
	SNMP
)

// Severity is the least severity of what a receiver is told. The zero value is "info": everything.
type Severity uint8

// Severities in ascending order.
const (
	Info Severity = iota
	Warning
	Error
)

// SeverityOf reads the word of an event; what is unknown is worth telling.
func SeverityOf(word string) Severity {
	switch word {
	case "info":
		return Info
	case "warning":
		return Warning
	}
	return Error
}

// priority is the severity in syslog's and the journal's numbers.
func (s Severity) priority() int {
	switch s {
	case Info:
		return 6
	case Warning:
		return 4
	}
	return 3
}

// Spec is one receiver. Two of one name are the same receiver: it keeps its queue, whatever else changes.
type Spec struct {
	Name     string // as in metrics and events; different from all others'
	Kind     Kind
	Severity Severity

	Network string // Journald: "unixgram". Syslog: "unixgram", "udp", "tcp". SNMP: "udp"
	Address string // a path, or host:port

	Facility int     // Syslog: 0..23. Journald: shown as SYSLOG_FACILITY
	Manager  Manager // SNMP
}

// Manager is how an SNMP manager wants to be spoken to.
type Manager struct {
	Version   string // "2c" or "3"
	Inform    bool   // ask for an acknowledgement, and repeat without one
	Community string // 2c

	User           string // 3
	Auth           string // "", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"
	AuthPassphrase string
	Priv           string // "", "AES", "AES-192", "AES-256"
	PrivPassphrase string
}

// enterprise is the number that stands for "an example" (RFC 5612): Holdfast has none of its own.
const enterprise = 32473

// EngineID is the SNMPv3 engine id of a member: 80007ed9, then 04 and the text CLUSTER/MEMBER or, if that has more than 27 bytes, 05 and the
// first 16 bytes of its SHA-256. It says who sends a trap, so managers have to know it; it never changes while the names do not.
func EngineID(cluster, member string) []byte {
	id := []byte{0x80 | enterprise>>24&0xff, enterprise >> 16 & 0xff, enterprise >> 8 & 0xff, enterprise & 0xff}
	text := cluster + "/" + member
	if len(text) <= 27 {
		return append(append(id, 4), text...)
	}
	sum := sha256.Sum256([]byte(text))
	return append(append(id, 5), sum[:16]...)
}
