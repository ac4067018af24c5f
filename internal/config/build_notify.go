// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// defaultSecretsFile lies beside cluster.yaml.
const defaultSecretsFile = "notify.secrets"

// maxReceivers bounds the syslog servers, and the SNMP managers.
const maxReceivers = 8

// facilities are RFC 5424's, by number, in the words that syslog daemons use.
var facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit",
	"alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

const facilityDaemon = 3

func (b *builder) notify() {
	r := b.raw.Notify
	b.c.Notify = Notify{
		Journald: Journald{Use: choice(b, r.Journald.Use, JournaldAuto, JournaldAuto, JournaldOn, JournaldOff), Severity: b.severity(r.Journald.Severity)},
	}
	if len(r.Syslog) > maxReceivers {
		b.at(r.Syslog[maxReceivers].Line, "notify.syslog", "let one of them pass messages on", "%d receivers, more than %d", len(r.Syslog), maxReceivers)
		r.Syslog = r.Syslog[:maxReceivers]
	}
	seen := map[string]bool{}
	for i, raw := range r.Syslog {
		if raw.Line == 0 {
			continue // reported
		}
		s, ok := b.syslog(raw, "notify.syslog["+strconv.Itoa(i)+"]")
		if ok && seen[s.URL()] {
			b.add(raw.Address, "give it once", "the address of another receiver too")
		}
		seen[s.URL()] = ok
		b.c.Notify.Syslog = append(b.c.Notify.Syslog, s)
	}
	if r.SNMP.Line != 0 {
		b.c.Notify.SNMP = b.snmp(r.SNMP)
	}
}

func (b *builder) severity(s scalar) Severity {
	return choice(b, s, SeverityInfo, SeverityInfo, SeverityWarning, SeverityError)
}

func (b *builder) syslog(r rawSyslog, path string) (s Syslog, ok bool) {
	const form = "write udp://192.0.2.9:514, tcp://[2001:db8::9]:601 or unix:///dev/log"
	facility := choice(b, r.Facility, facilities[facilityDaemon], facilities...)
	s = Syslog{Facility: slices.Index(facilities, facility), Severity: b.severity(r.Severity)}
	if !r.Address.set {
		b.at(r.Line, path+".address", form, "missing")
		return s, false
	}
	scheme, rest, ok := strings.Cut(r.Address.text, "://")
	s.Address = rest
	switch {
	case ok && scheme == "unix":
		s.Network = "unixgram"
		if !filepath.IsAbs(rest) || len(rest) > 107 || strings.ContainsRune(rest, 0) {
			b.add(r.Address, form, "not the path of a socket")
			return s, false
		}
	case ok && (scheme == "udp" || scheme == "tcp"):
		s.Network = scheme
		if !hostPort(rest) {
			b.add(r.Address, form, "not a host and a port")
			return s, false
		}
	default:
		b.add(r.Address, form, "not an address of a syslog server")
		return s, false
	}
	return s, true
}

// hostPort reports whether text is an address or a name, and a port.
func hostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	n, e := strconv.ParseUint(port, 10, 16)
	return err == nil && e == nil && n != 0 && host != "" && len(host) <= 253 &&
		!strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`/@[]"'`, r) })
}

func (b *builder) snmp(r rawSNMP) *SNMP {
	s := &SNMP{
		Version: choice(b, r.Version, "", "2c", "3"), Inform: b.flag(r.Inform, false), Severity: b.severity(r.Severity),
		SecretsFile: defaultSecretsFile, Community: r.Community.text, User: r.User.text,
		Auth: choice(b, r.Auth, "SHA-256", "none", "SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"),
		Priv: choice(b, r.Priv, "AES", "none", "AES", "AES-192", "AES-256"),
	}
	if !r.Version.set {
		b.at(r.Line, "notify.snmp.version", "write 3, or 2c", "missing")
	}
	if r.SecretsFile.set {
		if s.SecretsFile = r.SecretsFile.text; s.SecretsFile == "" || strings.ContainsRune(s.SecretsFile, 0) {
			b.add(r.SecretsFile, "name the file with the passphrases", "not a path")
		}
	}
	b.snmpTargets(r, s)
	switch s.Version {
	case "2c":
		for _, k := range []scalar{r.User, r.Auth, r.Priv} {
			if k.set {
				b.add(k, "write version: 3, or remove it", "version 2c has no users")
			}
		}
		s.Auth, s.Priv = "", ""
		if r.Community.set && (s.Community == "" || len(s.Community) > 255) {
			b.add(r.Community, "write the community that the managers accept, or put it into the secrets file", "not a community")
		}
	case "3":
		if r.Community.set {
			b.add(r.Community, "remove it, or write version: 2c", "version 3 has no communities")
		}
		if s.User == "" || len(s.User) > 32 {
			b.add(orAt(r.User, r.Line, "notify.snmp.user"), "name the user that the managers know, at most 32 characters", "no user")
		}
		s.Auth, s.Priv = strings.TrimPrefix(s.Auth, "none"), strings.TrimPrefix(s.Priv, "none")
		if s.Auth == "" && s.Priv != "" {
			b.add(orAt(r.Auth, r.Line, "notify.snmp.auth"), "write auth: SHA-256, or priv: none", "no privacy without authentication")
		}
	}
	return s
}

func (b *builder) snmpTargets(r rawSNMP, s *SNMP) {
	switch n := len(r.Targets); {
	case n == 0:
		b.at(r.Line, "notify.snmp.targets", `list the managers: ["192.0.2.9:162"]`, "missing")
	case n > maxReceivers:
		b.add(r.Targets[maxReceivers], "let one of them pass notifications on", "%d managers, more than %d", n, maxReceivers)
		return
	}
	for _, t := range r.Targets {
		switch {
		case !hostPort(t.text):
			b.add(t, "write 192.0.2.9:162 or [2001:db8::9]:162", "not a host and a port")
		case slices.Contains(s.Targets, t.text):
			b.add(t, "give it once", "is there twice")
		default:
			s.Targets = append(s.Targets, t.text)
		}
	}
}

// orAt is s or, if it is not set, the place where it is missing.
func orAt(s scalar, line int, path string) scalar {
	if s.set {
		return s
	}
	return scalar{line: line, path: path}
}
