// SPDX-License-Identifier: Apache-2.0

// Package audit is a log in which each entry holds the hash of the one before it, so that no entry can be changed, removed, put in or
// reordered without changing every hash after it. It makes entries and checks them, and keeps none.
//
// A chain proves nothing about its own end: who may write the store can cut entries off, or write the whole chain anew. Against that
// there are anchors: the number and hash of an entry, noted where the store's owner does not reach (a log host, paper, a backup). Verify says
// whether a chain still holds the entry of an anchor.
//
// The package is pure and imports policy only, for digests.
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-project/holdfast/policy"
)

// What can be wrong with a chain.
var (
	// ErrBroken: an entry is not the one that was written, or not where it was.
	ErrBroken = errors.New("the audit log has been changed")
	// ErrAnchor: the text of an anchor cannot be read.
	ErrAnchor = errors.New("not an anchor")
)

// MaxBody is the longest body of an entry, in bytes.
const MaxBody = 16 << 10

// context keeps hashes of this log from being those of anything else.
const context = "holdfast audit log, version 1\x00"

// Anchor is what a chain ends with, or has held: the number of an entry and its hash. The zero value is the beginning.
type Anchor struct {
	Number uint64        `json:"number"`
	Hash   policy.Digest `json:"hash"`
}

// String is the form that people note: NUMBER:HASH.
func (a Anchor) String() string { return fmt.Sprintf("%d:%s", a.Number, a.Hash) }

// ParseAnchor reads String's form.
func ParseAnchor(text string) (a Anchor, err error) {
	number, hash, ok := strings.Cut(text, ":")
	if ok {
		a.Number, err = strconv.ParseUint(number, 10, 64)
	}
	if ok && err == nil {
		a.Hash, err = policy.ParseDigest(hash)
	}
	if !ok || err != nil || a.Number == 0 {
		return Anchor{}, fmt.Errorf("%w: %q: it is NUMBER:HASH, 64 hexadecimal digits", ErrAnchor, text)
	}
	return a, nil
}

// Entry is one of the log's. Numbers begin with 1 and have no gaps.
type Entry struct {
	Number   uint64          `json:"number"`
	Previous policy.Digest   `json:"previous"` // hash of the entry before; of the first, zero
	Body     json.RawMessage `json:"body"`     // a management.Event; the hash is over these very bytes
	Hash     policy.Digest   `json:"hash"`
}

// Anchor is the entry's.
func (e Entry) Anchor() Anchor { return Anchor{e.Number, e.Hash} }

// Append makes the entry that follows last. body is JSON; it is compacted, since storing and showing it must not change its bytes.
func Append(last Anchor, body []byte) (Entry, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, body); err != nil {
		return Entry{}, fmt.Errorf("audit: entry %d: %w", last.Number+1, err)
	}
	if compact.Len() > MaxBody {
		return Entry{}, fmt.Errorf("audit: entry %d of %d bytes: at most %d", last.Number+1, compact.Len(), MaxBody)
	}
	e := Entry{Number: last.Number + 1, Previous: last.Hash, Body: compact.Bytes()}
	e.Hash = e.sum()
	return e, nil
}

// sum is over all that the entry says, each part at a fixed place or with its length before it.
func (e Entry) sum() policy.Digest {
	b := make([]byte, 0, len(context)+8+len(e.Previous)+8+len(e.Body))
	b = append(b, context...)
	b = binary.BigEndian.AppendUint64(b, e.Number)
	b = append(b, e.Previous[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(e.Body)))
	return sha256.Sum256(append(b, e.Body...))
}

// BrokenError says at which entry a chain is broken: those before it are as they were written. It wraps ErrBroken.
type BrokenError struct {
	Number uint64 // of the entry that is missing or wrong
	What   string
}

// Error implements error.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("%v at entry %d: %s; what is before it is whole: compare what follows with a backup or a log host", ErrBroken, e.Number, e.What)
}

// Unwrap gives ErrBroken.
func (e *BrokenError) Unwrap() error { return ErrBroken }

// Verifier checks a chain entry by entry. The zero value expects the first entry; not safe for concurrent use.
type Verifier struct {
	last    Anchor
	anchors map[uint64]policy.Digest
}

// NewVerifier makes one that also expects the entries of anchors. after is where to begin: the zero Anchor for a whole chain.
func NewVerifier(after Anchor, anchors ...Anchor) *Verifier {
	v := &Verifier{last: after, anchors: map[uint64]policy.Digest{}}
	for _, a := range anchors {
		v.anchors[a.Number] = a.Hash
	}
	return v
}

// Next takes the next entry. The error is a *BrokenError, after which the chain need not be read further.
func (v *Verifier) Next(e Entry) error {
	want := v.last.Number + 1
	switch {
	case e.Number != want:
		return &BrokenError{want, fmt.Sprintf("entry %d is in its place", e.Number)}
	case e.Previous != v.last.Hash:
		return &BrokenError{want, fmt.Sprintf("it follows an entry with hash %s, and the one before it has %s", e.Previous.Short(), v.last.Hash.Short())}
	case e.sum() != e.Hash:
		return &BrokenError{want, fmt.Sprintf("its hash is %s, and it says %s", e.sum().Short(), e.Hash.Short())}
	}
	if hash, ok := v.anchors[e.Number]; ok && hash != e.Hash {
		return &BrokenError{want, fmt.Sprintf("its hash is %s, and was noted as %s: the log was written anew from here or before", e.Hash.Short(), hash.Short())}
	}
	v.last = e.Anchor()
	return nil
}

// End says that there are no more entries, and that the chain's keeper holds that it ends with head. It returns what it does end with.
func (v *Verifier) End(head Anchor) (Anchor, error) {
	if v.last != head {
		return v.last, &BrokenError{v.last.Number + 1, fmt.Sprintf("the log ends at %d and should end at %d (%s)", v.last.Number, head.Number, head.Hash.Short())}
	}
	for number := range v.anchors {
		if number > v.last.Number {
			return v.last, &BrokenError{v.last.Number + 1, fmt.Sprintf("the log ends at %d, and entry %d was noted: its end was cut off, or it is an older copy", v.last.Number, number)}
		}
	}
	return v.last, nil
}
