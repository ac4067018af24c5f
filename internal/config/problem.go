// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a file. As text it is "file:line: path: value: problem; way out".
type Problem struct {
	File   string // as given, without its directory in the text
	Line   int    // from 1; 0 if the problem has no place in the file
	Path   string // keys and indices: interfaces[1].vips[0]; "" for the file as a whole
	Value  string // as written; "" if something is missing
	What   string // what is wrong
	WayOut string // what to write instead
}

// Error implements error.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(filepath.Base(p.File))
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	for _, part := range []string{p.Path, p.Value, p.What} {
		if part != "" {
			b.WriteString(": ")
			b.WriteString(part)
		}
	}
	if p.WayOut != "" {
		b.WriteString("; ")
		b.WriteString(p.WayOut)
	}
	return b.String()
}

// Problems returns the problems that an error of Load or Parse joins, in the order of their lines; nil for any other error.
func Problems(err error) []*Problem {
	var p *Problem
	if errors.As(err, &p) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			var all []*Problem
			for _, e := range joined.Unwrap() {
				if q := (*Problem)(nil); errors.As(e, &q) {
					all = append(all, q)
				}
			}
			return all
		}
		return []*Problem{p}
	}
	return nil
}

// problems collects what is wrong while a file is read.
type problems struct {
	file string
	all  []*Problem
	seen map[string]bool
}

// add reports a problem of the value s. The first problem of a key is its cause; what follows from it is not reported.
func (p *problems) add(s scalar, wayOut, format string, args ...any) {
	switch s.path {
	case "", "interfaces", "members": // may have several
	default:
		if p.seen[s.path] {
			return
		}
		if p.seen == nil {
			p.seen = make(map[string]bool)
		}
		p.seen[s.path] = true
	}
	p.all = append(p.all, &Problem{File: p.file, Line: s.line, Path: s.path, Value: shorten(s.text),
		What: fmt.Sprintf(format, args...), WayOut: wayOut})
}

// at reports a problem of a place that has no single value.
func (p *problems) at(line int, path, wayOut, format string, args ...any) {
	p.add(scalar{line: line, path: path}, wayOut, format, args...)
}

func (p *problems) err() error {
	if len(p.all) == 0 {
		return nil
	}
	slices.SortStableFunc(p.all, func(a, b *Problem) int { return cmp.Compare(a.Line, b.Line) })
	errs := make([]error, len(p.all))
	for i, q := range p.all {
		errs[i] = q
	}
	return errors.Join(errs...)
}

// shorten keeps a value on one readable line of a message.
func shorten(s string) string {
	const limit = 60
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "..."
	}
	return s
}
