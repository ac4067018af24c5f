// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// maxSyslog is the longest message: what every receiver over UDP should take (RFC 5424 section 6.1).
const maxSyslog = 2048

// syslog writes RFC 5424 messages, over TCP with octet counting (RFC 6587).
type syslog struct {
	conn
	facility int
}

func (s *syslog) send(ctx context.Context, m *message) error {
	if m == nil {
		return s.write(ctx, nil)
	}
	text := s.encode(m)
	if s.network == "tcp" {
		text = strconv.Itoa(len(text)) + " " + text
	}
	return s.write(ctx, []byte(text))
}

func (s *syslog) encode(m *message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<%d>1 %s %s holdfastd %d %s [holdfast@%d", s.facility*8+SeverityOf(m.Severity).priority(),
		m.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), word(m.host, 255), m.pid, word(m.Code, 32), enterprise)
	for _, p := range m.fields() {
		b.WriteString(" " + p.name + `="` + escape.Replace(clip(line(p.value), 256)) + `"`)
	}
	b.WriteString("] ")
	text := m.text()
	if strings.ContainsFunc(text, func(r rune) bool { return r > 0x7e }) {
		b.WriteString("\ufeff") // says that what follows is UTF-8
	}
	b.WriteString(text)
	return clip(b.String(), maxSyslog)
}

// escape is what a value in structured data needs.
var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

// word makes a header field: printable ASCII without spaces, "-" for none.
func word(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), n)]
}
