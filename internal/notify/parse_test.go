// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// syslogMessage is a message as RFC 5424 section 6 writes it.
type syslogMessage struct {
	pri, pid            int
	time                time.Time
	host, app, id, sdID string
	params              map[string]string
	text                string
	utf8                bool
}

// parseSyslog is a strict reader of the grammar, written from the RFC and not from the writer.
func parseSyslog(b []byte) (m syslogMessage, err error) {
	s := string(b)
	if len(s) < 3 || s[0] != '<' {
		return m, fmt.Errorf("no PRI in %q", s)
	}
	pri, s, ok := strings.Cut(s[1:], ">")
	if m.pri, err = strconv.Atoi(pri); err != nil || !ok || m.pri > 191 {
		return m, fmt.Errorf("PRI %q", pri)
	}
	header := strings.SplitN(s, " ", 7)
	if len(header) != 7 || header[0] != "1" {
		return m, fmt.Errorf("header %q", s)
	}
	if m.time, err = time.Parse("2006-01-02T15:04:05.999999Z07:00", header[1]); err != nil {
		return m, err
	}
	for i, limit := range []int{255, 48, 128, 32} {
		v := header[i+2]
		if v == "" || len(v) > limit || strings.ContainsFunc(v, func(r rune) bool { return r < 33 || r > 126 }) {
			return m, fmt.Errorf("header field %q", v)
		}
	}
	m.host, m.app, m.id = header[2], header[3], header[5]
	if m.pid, err = strconv.Atoi(header[4]); err != nil {
		return m, err
	}
	rest := header[6]
	if m.params, rest, err = m.structured(rest); err != nil {
		return m, err
	}
	if rest != "" {
		if rest[0] != ' ' {
			return m, fmt.Errorf("no space before MSG in %q", rest)
		}
		m.text, m.utf8 = strings.CutPrefix(rest[1:], "\ufeff")
		if !m.utf8 && strings.ContainsFunc(m.text, func(r rune) bool { return r > 126 }) {
			return m, fmt.Errorf("no BOM before %q", m.text)
		}
	}
	return m, nil
}

// structured reads one SD-ELEMENT.
func (m *syslogMessage) structured(s string) (map[string]string, string, error) {
	if !strings.HasPrefix(s, "[") {
		return nil, s, fmt.Errorf("no structured data in %q", s)
	}
	end := strings.IndexAny(s, " ]")
	m.sdID = s[1:end]
	s = s[end:]
	params := map[string]string{}
	for {
		switch {
		case strings.HasPrefix(s, "]"):
			return params, s[1:], nil
		case !strings.HasPrefix(s, " "):
			return nil, s, fmt.Errorf("SD-PARAM at %q", s)
		}
		name, rest, ok := strings.Cut(s[1:], `="`)
		if !ok || name == "" || len(name) > 32 || strings.ContainsAny(name, ` ="]`) {
			return nil, s, fmt.Errorf("PARAM-NAME %q", name)
		}
		var value strings.Builder
		i := 0
		for ; i < len(rest) && rest[i] != '"'; i++ {
			if rest[i] == ']' {
				return nil, s, fmt.Errorf("a bare ] in %q", rest)
			}
			if rest[i] == '\\' && i+1 < len(rest) && strings.IndexByte(`"\]`, rest[i+1]) >= 0 {
				i++
			}
			value.WriteByte(rest[i])
		}
		if i == len(rest) || !utf8.ValidString(value.String()) {
			return nil, s, fmt.Errorf("PARAM-VALUE %q", rest)
		}
		if _, twice := params[name]; twice {
			return nil, s, fmt.Errorf("%s is there twice", name)
		}
		params[name] = value.String()
		s = rest[i+1:]
	}
}

// parseJournal reads an entry of the journal's native protocol.
func parseJournal(b []byte) (map[string]string, error) {
	fields := map[string]string{}
	for len(b) > 0 {
		head, rest, ok := bytes.Cut(b, []byte("\n"))
		if !ok {
			return nil, fmt.Errorf("no end of line in %q", b)
		}
		name, value, short := strings.Cut(string(head), "=")
		if !short {
			if len(rest) < 9 {
				return nil, fmt.Errorf("no length after %q", head)
			}
			n := binary.LittleEndian.Uint64(rest)
			if uint64(len(rest)) < 8+n+1 || rest[8+n] != '\n' {
				return nil, fmt.Errorf("%s: length %d of %d", name, n, len(rest))
			}
			value, rest = string(rest[8:8+n]), rest[8+n+1:]
		}
		if name == "" || len(name) > 64 || name[0] == '_' || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
			return nil, fmt.Errorf("name %q", name)
		}
		fields[name], b = value, rest
	}
	return fields, nil
}
