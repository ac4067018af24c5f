// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// Ruleset is one that was read. Treat it as immutable; it is safe for concurrent use.
type Ruleset struct {
	File    string
	Tables  []Table // in the order of the file; a table may come in several blocks
	Defines []Statement

	text  string
	words []Word
}

// Table is one block of a table.
type Table struct {
	Family, Name string
	Line         int
	Objects      []Object
	// Dormant is for who reads a listing of the kernel's: a policy's own text does not say it.
	Dormant bool

	name, open int // offsets of the name and of the opening brace
}

// Object is what a table consists of: a chain, a set, a map, a counter, a helper.
type Object struct {
	Kind string // "chain", "set", "ct helper", "define", ...
	Name string
	Line int
	// Statements are the rules of a chain, with its type and policy, and the properties of others.
	Statements []Statement
}

// Statement is one statement: a rule, a property, a definition.
type Statement struct {
	Line  int
	Words []Word
}

// String is the statement on one line, its words a space apart.
func (s Statement) String() string { return join(s.Words) }

const (
	maxTables = 64
	maxErrors = 20
)

var (
	families  = []string{"ip", "ip6", "inet", "arp", "bridge", "netdev"}
	tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,127}$`)
	ownName   = regexp.MustCompile(`\.g[0-9]+$`)
	// kinds of objects; those of "ct" have two words.
	kinds = []string{"chain", "set", "map", "counter", "quota", "limit", "secmark", "synproxy", "flowtable", "ct", "define", "redefine", "undefine"}
)

// Parse reads a ruleset; file is used in messages. The error joins up to 20 values of type *Error.
func Parse(file, text string) (*Ruleset, error) {
	words, err := lex(file, text)
	if err != nil {
		return nil, err
	}
	p := &parser{r: &Ruleset{File: file, text: text, words: words}}
	p.top(words)
	if len(p.errs) == 0 && len(p.r.Tables) == 0 {
		p.bad(1, "no table", "a policy without rules would let everything pass; write table inet filter { ... }")
	}
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return p.r, nil
}

type parser struct {
	r    *Ruleset
	errs []error
}

func (p *parser) bad(line int, what, wayOut string) {
	if len(p.errs) < maxErrors {
		p.errs = append(p.errs, &Error{p.r.File, line, what, wayOut})
	}
}

// statements splits words at separators outside braces, and gives each statement to f. Objects may follow each other on a line.
func (p *parser) statements(words []Word, objects bool, f func([]Word)) {
	depth, from := 0, 0
	flush := func(to int) {
		if to > from {
			f(words[from:to])
		}
		from = to + 1
	}
	for i, w := range words {
		switch w.Text {
		case "{":
			depth++
		case "}":
			if depth--; depth < 0 {
				p.bad(w.Line, "a } without its {", "remove it, or write the {")
				return
			}
			// "chain a { } chain b { }" on one line: nft takes it.
			if objects && depth == 0 && i+1 < len(words) && slices.Contains(kinds, words[i+1].Text) {
				flush(i + 1)
				from = i + 1
			}
		case separator:
			if depth == 0 {
				flush(i)
			}
		}
	}
	if depth > 0 {
		p.bad(words[from].Line, "a { without its }", "write the }")
		return
	}
	flush(len(words))
}

func (p *parser) top(words []Word) {
	p.statements(words, false, func(s []Word) {
		switch s[0].Text {
		case "define", "redefine", "undefine":
			p.r.Defines = append(p.r.Defines, Statement{s[0].Line, s})
		case "table":
			p.table(s)
		case "include":
			p.bad(s[0].Line, "include: a policy is one file, so that what is signed is what is loaded", "write the included rules here")
		case "flush", "delete", "destroy":
			p.bad(s[0].Line, s[0].Text+": a policy replaces its own tables and leaves those of others alone", "remove the line")
		default:
			p.bad(s[0].Line, s[0].Text+": not a table nor a definition", "write its content into table FAMILY NAME { ... }")
		}
	})
}

func (p *parser) table(s []Word) {
	t := Table{Family: "ip", Line: s[0].Line}
	rest := s[1:]
	if len(rest) > 0 && slices.Contains(families, rest[0].Text) {
		t.Family, rest = rest[0].Text, rest[1:]
	}
	if len(rest) < 3 || rest[1].Text != "{" || rest[len(rest)-1].Text != "}" || closing(rest, 1) != len(rest)-1 {
		p.bad(t.Line, "a table without its content", "write table FAMILY NAME { ... }")
		return
	}
	t.Name, t.name, t.open = rest[0].Text, rest[0].at, rest[1].at
	switch {
	case !tableName.MatchString(t.Name):
		p.bad(t.Line, "table name "+t.Name, "use letters, digits, _ . -, at most 128, a letter first")
	case ownName.MatchString(t.Name):
		p.bad(t.Line, "table name "+t.Name+": .g and a number at the end is what Holdfast adds", "choose another name")
	case len(p.r.Tables) == maxTables:
		p.bad(t.Line, "too many tables", "at most 64")
	}
	p.statements(rest[2:len(rest)-1], true, func(o []Word) { p.object(&t, o) })
	p.r.Tables = append(p.r.Tables, t)
}

func (p *parser) object(t *Table, s []Word) {
	o := Object{Kind: s[0].Text, Line: s[0].Line}
	rest := s[1:]
	switch {
	case o.Kind == "flags" || o.Kind == "comment":
		p.bad(o.Line, "the "+o.Kind+" of a table", "remove the line: it is Holdfast's")
		return
	case o.Kind == "include":
		p.bad(o.Line, "include: a policy is one file, so that what is signed is what is loaded", "write the included rules here")
		return
	case !slices.Contains(kinds, o.Kind):
		p.bad(o.Line, o.Kind+": not a part of a table", "write a chain, a set, a map or another object of nftables")
		return
	case o.Kind == "ct" && len(rest) > 0:
		o.Kind, rest = "ct "+rest[0].Text, rest[1:]
	}
	if len(rest) == 0 {
		p.bad(o.Line, o.Kind+" without a name", "write "+o.Kind+" NAME { ... }")
		return
	}
	o.Name, rest = rest[0].Text, rest[1:]
	if len(rest) > 0 && rest[0].Text == "{" {
		end := closing(rest, 0)
		if end != len(rest)-1 {
			p.bad(o.Line, o.Kind+" "+o.Name+": something follows its }", "write one object a line")
			return
		}
		p.statements(rest[1:end], false, func(w []Word) { o.Statements = append(o.Statements, Statement{w[0].Line, w}) })
	} else if len(rest) > 0 {
		o.Statements = []Statement{{o.Line, rest}}
	}
	t.Objects = append(t.Objects, o)
}

// Text is the ruleset as it was written.
func (r *Ruleset) Text() string { return r.text }

// Has reports whether the ruleset has a set or map of that name.
func (r *Ruleset) Has(family, table, name string) bool {
	for i := range r.Tables {
		t := &r.Tables[i]
		if t.Family == family && t.Name == table && slices.ContainsFunc(t.Objects, func(o Object) bool {
			return (o.Kind == "set" || o.Kind == "map") && o.Name == name
		}) {
			return true
		}
	}
	return false
}

// Hook is what a base chain says of itself; Type is "" for others.
type Hook struct {
	Type, Hook, Policy string
}

// Hook reads the declaration of a base chain.
func (o *Object) Hook() Hook {
	var h Hook
	for _, s := range o.Statements {
		for i := 0; i+1 < len(s.Words); i++ {
			switch s.Words[0].Text {
			case "type":
				switch s.Words[i].Text {
				case "type":
					h.Type = s.Words[i+1].Text
				case "hook":
					h.Hook = s.Words[i+1].Text
				case "policy":
					h.Policy = s.Words[i+1].Text
				}
			case "policy":
				h.Policy = s.Words[1].Text
			}
		}
	}
	switch {
	case h.Hook == "": // "type" is that of a set or a helper
		return Hook{}
	case h.Policy == "":
		h.Policy = "accept"
	}
	return h
}

// Uses are those of the definitions that the ruleset uses, in their order: members for which these are the same load the same.
func (r *Ruleset) Uses(definitions []Definition) (used []Definition) {
	names := map[string]bool{}
	r.variables(func(name string, _ int) { names[name] = true })
	for _, d := range definitions {
		if names[d.Name] {
			used = append(used, d)
		}
	}
	return used
}

// variables calls f for each use of a variable.
func (r *Ruleset) variables(f func(name string, line int)) {
	for _, w := range r.words {
		if len(w.Text) == 0 || w.Text[0] == '"' || !strings.Contains(w.Text, "$") {
			continue
		}
		for _, part := range strings.Split(w.Text, "$")[1:] {
			end := strings.IndexFunc(part, func(c rune) bool {
				return !strings.ContainsRune("/\\_.-", c) && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
			})
			if end >= 0 {
				part = part[:end]
			}
			f(part, w.Line)
		}
	}
}
