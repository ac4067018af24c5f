// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// compareSlack is by how many ms expiries may differ beside what is not told of them: owners read once a second, and the two sides are
// not read in the same moment.
const compareSlack = 3000

// List reads all sets and calls each with a record of every element, good until it returns. A set that is not there has none. It is for a
// Reader that does nothing else.
func (r *Reader) List(each func(record.Record)) error {
	_ = r.Poll(0, true, func(c Change) { each(c.Record) }) // the errors are those of the sets
	var failed error
	for _, s := range r.sets {
		if !errors.Is(s.problem, ErrAbsent) {
			failed = errors.Join(failed, s.problem)
		}
	}
	return failed
}

// Listing is what one member's sets hold.
type Listing struct {
	sets     []Set
	elements map[listed]element
	timeouts map[Set]uint64
}

// listed is an element's set and identity.
type listed struct {
	set Set
	id  string
}

// NewListing makes an empty Listing of some sets.
func NewListing(sets []Set) *Listing {
	return &Listing{sets: sets, elements: map[listed]element{}, timeouts: map[Set]uint64{}}
}

// Read puts in what a Reader of the same sets lists.
func (l *Listing) Read(r *Reader) error {
	err := r.List(func(rec record.Record) { l.Add(rec) })
	for _, s := range r.sets {
		l.timeouts[s.set] = s.timeout
	}
	return err
}

// Add puts in the element of a record. One of another set is left out, and so is the end of a round; another reason than ReasonNone is for a
// record that no honest member makes.
func (l *Listing) Add(r record.Record) Reason {
	i, reason := parse(r)
	if reason != ReasonNone || i.ends || !slices.Contains(l.sets, i.set) {
		return reason
	}
	l.elements[listed{i.set, i.elem.identity()}] = i.elem.clone()
	return ReasonNone
}

// Len is how many elements there are.
func (l *Listing) Len() int { return len(l.elements) }

// DifferenceKind says how two members' sets differ in an element.
type DifferenceKind uint8

// The kinds.
const (
	// OnlyHere and OnlyThere: one side has it.
	OnlyHere DifferenceKind = iota
	OnlyThere
	// Otherwise: both have it, with other values, or times that are further apart than what is told of them explains.
	Otherwise
)

// Difference is an element in which they differ.
type Difference struct {
	Kind DifferenceKind
	key  listed
	// Text shows it.
	Text string
}

// Compare returns in what two Listings differ, local one's own, from Reader; of what was found before only what still differs in the same way
// counts, unless first.
func Compare(local, remote *Listing, before []Difference, first bool) []Difference {
	was := map[listed]DifferenceKind{}
	for _, d := range before {
		was[d.key] = d.Kind
	}
	var found []Difference
	note := func(kind DifferenceKind, key listed, text string) {
		if k, ok := was[key]; first || ok && k == kind {
			found = append(found, Difference{kind, key, key.set.String() + ": " + text})
		}
	}
	for key, e := range local.elements {
		o, ok := remote.elements[key]
		switch {
		case !ok:
			note(OnlyHere, key, e.text())
		case !alike(&e, &o, local.timeouts[key.set]):
			note(Otherwise, key, e.text()+" | "+o.text())
		}
	}
	for key, e := range remote.elements {
		if _, ok := local.elements[key]; !ok {
			note(OnlyThere, key, e.text())
		}
	}
	slices.SortFunc(found, func(a, b Difference) int { return bytes.Compare([]byte(a.Text), []byte(b.Text)) })
	return found
}

// alike compares two members' values of one element of a set whose default time-out is given in ms.
func alike(a, b *element, timeout uint64) bool {
	ofA, ofB := timeout, timeout
	if a.hasTimeout {
		ofA = a.timeout
	}
	if b.hasTimeout {
		ofB = b.timeout
	}
	apart := max(a.expires, b.expires) - min(a.expires, b.expires)
	return bytes.Equal(a.data, b.data) && bytes.Equal(a.objref, b.objref) && bytes.Equal(a.user, b.user) && a.flags == b.flags && ofA == ofB &&
		(a.expires == 0) == (b.expires == 0) && apart <= ofA/8+compareSlack && (a.exprs == nil) == (b.exprs == nil)
}

// text shows an element: its key as it is, and as the address that it may be.
func (e *element) text() string {
	text := keyText(e.key)
	if e.flags&flagCatchall != 0 {
		text = "*"
	}
	if end := keyText(e.keyEnd) + keyText(e.end); end != "" {
		text += " to " + end
	}
	if e.data != nil {
		text += " : " + keyText(e.data)
	}
	if e.expires != 0 {
		text += fmt.Sprintf(" expires in %v", (time.Duration(e.expires) * time.Millisecond).Round(time.Second)) //nolint:gosec // checked where it came from
	}
	return text
}

func keyText(attribute []byte) string {
	if attribute == nil {
		return ""
	}
	typ, v, _, err := nextAttr(attribute)
	if err != nil || typ != 1 {
		return fmt.Sprintf("%x", attribute)
	}
	if a, ok := netip.AddrFromSlice(v); ok {
		return fmt.Sprintf("0x%x (%v)", v, a)
	}
	return fmt.Sprintf("0x%x", v)
}
