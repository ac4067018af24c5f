// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"cmp"
	"slices"
	"strings"
)

// Change is one object that differs between two rulesets.
type Change struct {
	Table string // FAMILY NAME; "" for definitions
	Kind  string // of the object
	Name  string
	// Added and Removed: the object is in one of them only; neither: it changed.
	Added, Removed bool
	Lines          []LineChange
}

// LineChange is one statement, or one element of a set, that is in one of the two only.
type LineChange struct {
	Added bool
	Line  int // in the file that has it
	Text  string
}

// Object is how people call it: "inet filter chain forward".
func (c Change) Object() string {
	return strings.TrimSpace(c.Table + " " + c.Kind + " " + c.Name)
}

type diffKey struct{ table, kind, name string }

// Diff tells two rulesets apart, object by object in the order of the new one, then what is gone. Comments, spaces and line breaks make no
// difference, nor does the order of elements; that of rules does.
func Diff(old, now *Ruleset) []Change {
	a, b := old.objects(), now.objects()
	var all []Change
	for _, k := range b.order {
		was, is := a.of[k], b.of[k]
		lines := diffLines(was, is, k.kind != "set" && k.kind != "map" && k.kind != "define")
		_, there := a.of[k]
		if !there || len(lines) > 0 {
			all = append(all, Change{Table: k.table, Kind: k.kind, Name: k.name, Added: !there, Lines: lines})
		}
	}
	for _, k := range a.order {
		if _, there := b.of[k]; !there {
			all = append(all, Change{Table: k.table, Kind: k.kind, Name: k.name, Removed: true, Lines: diffLines(a.of[k], nil, true)})
		}
	}
	return all
}

type line struct {
	text string
	at   int
}

type objects struct {
	order []diffKey
	of    map[diffKey][]line
}

func (r *Ruleset) objects() objects {
	o := objects{of: map[diffKey][]line{}}
	add := func(k diffKey, lines []line) {
		if _, there := o.of[k]; !there {
			o.order = append(o.order, k)
		}
		o.of[k] = append(o.of[k], lines...)
	}
	if len(r.Defines) > 0 {
		var lines []line
		for _, d := range r.Defines {
			lines = append(lines, line{d.String(), d.Line})
		}
		add(diffKey{"", "define", ""}, lines)
	}
	for i := range r.Tables {
		t := &r.Tables[i]
		for j := range t.Objects {
			ob := &t.Objects[j]
			var lines []line
			for _, s := range ob.Statements {
				lines = append(lines, s.lines()...)
			}
			add(diffKey{t.Family + " " + t.Name, ob.Kind, ob.Name}, lines)
		}
	}
	return o
}

// lines are the statement as one line, or an "elements" property as one for each element.
func (s Statement) lines() []line {
	if len(s.Words) < 3 || s.Words[0].Text != "elements" || s.Words[2].Text != "{" {
		return []line{{s.String(), s.Line}}
	}
	var all []line
	from, depth := 3, 0
	for i := 3; i < len(s.Words); i++ {
		switch s.Words[i].Text {
		case "{":
			depth++
		case "}":
			depth--
		}
		if s.Words[i].Text == "," && depth == 0 || depth < 0 {
			if i > from {
				all = append(all, line{"element " + join(s.Words[from:i]), s.Words[from].Line})
			}
			from = i + 1
		}
	}
	return all
}

// maxTableau bounds the comparison of what is left of two objects once equal ends are taken off, in cells.
const maxTableau = 4 << 20

func diffLines(a, b []line, ordered bool) []LineChange {
	for len(a) > 0 && len(b) > 0 && a[0].text == b[0].text {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1].text == b[len(b)-1].text {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if !ordered || len(a)*len(b) > maxTableau {
		return diffBags(a, b)
	}
	// Longest common subsequence, from the ends.
	w := len(b) + 1
	t := make([]int32, (len(a)+1)*w)
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i].text == b[j].text {
				t[i*w+j] = t[(i+1)*w+j+1] + 1
			} else {
				t[i*w+j] = max(t[(i+1)*w+j], t[i*w+j+1])
			}
		}
	}
	var out []LineChange
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i].text == b[j].text:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && t[(i+1)*w+j] >= t[i*w+j+1]:
			out = append(out, LineChange{false, a[i].at, a[i].text})
			i++
		default:
			out = append(out, LineChange{true, b[j].at, b[j].text})
			j++
		}
	}
	return out
}

// diffBags compares without order.
func diffBags(a, b []line) []LineChange {
	count := make(map[string]int, len(a))
	for _, l := range a {
		count[l.text]++
	}
	var out []LineChange
	for _, l := range b {
		if count[l.text] > 0 {
			count[l.text]--
		} else {
			out = append(out, LineChange{true, l.at, l.text})
		}
	}
	for i := len(a) - 1; i >= 0; i-- {
		if l := a[i]; count[l.text] > 0 {
			count[l.text]--
			out = append(out, LineChange{false, l.at, l.text})
		}
	}
	slices.SortStableFunc(out, func(x, y LineChange) int {
		if x.Added != y.Added {
			if y.Added {
				return -1
			}
			return 1
		}
		return cmp.Compare(x.Line, y.Line)
	})
	return out
}
