// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-project/holdfast/internal/control"
)

// origin is who tells.
type origin struct {
	cluster, member string // this member
	host            string
	pid             int
}

// message is an event on its way to a receiver.
type message struct {
	control.Event
	origin
}

// pair is a field of an event, by its name in structured data.
type pair struct{ name, value string }

// fields are the set fields of the event, in a fixed order. Their names are part of the product: docs/EVENTS.md lists them.
func (m *message) fields() []pair {
	all := []pair{
		{"cluster", m.cluster}, {"reporter", m.origin.member},
		{"code", strconv.Itoa(int(m.Number))}, {"event", m.Code}, {"severity", m.Severity},
		{"member", m.Member}, {"peer", m.Peer}, {"interface", m.Interface}, {"device", m.Device},
		{"from", m.From}, {"to", m.To}, {"term", ""}, {"gap_ms", ""},
	}
	if m.Term != 0 {
		all[len(all)-2].value = strconv.FormatUint(uint64(m.Term), 10)
	}
	if m.GapMs != 0 {
		all[len(all)-1].value = strconv.FormatFloat(m.GapMs, 'f', -1, 64)
	}
	kept := all[:0]
	for _, p := range all {
		if p.value != "" {
			kept = append(kept, p)
		}
	}
	return kept
}

// text is the event in one line for people.
func (m *message) text() string {
	var b strings.Builder
	b.WriteString(m.Code)
	b.WriteString(":")
	for _, w := range []string{m.Member, m.Interface, m.Device} {
		if w != "" {
			b.WriteString(" " + w)
		}
	}
	if m.From != m.To {
		b.WriteString(" " + m.From + " -> " + m.To)
	}
	if m.Reason != "" {
		b.WriteString(": " + m.Reason)
	}
	return line(b.String())
}

// line keeps a text on one line and valid UTF-8.
func line(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// clip shortens s to n bytes and does not cut a character in two.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
