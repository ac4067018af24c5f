// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
)

// What can be wrong with a bundle. Errors of this package wrap one of them, so that callers can tell damage from forgery from a mistake.
var (
	// ErrTruncated: the file ends in the middle.
	ErrTruncated = errors.New("the bundle is cut off")
	// ErrMagic: it is no bundle, or was changed by a transfer in text mode.
	ErrMagic = errors.New("not a policy bundle")
	// ErrVersion: the format is newer than this program.
	ErrVersion = errors.New("unknown format version")
	// ErrTrailing: something follows the last piece.
	ErrTrailing = errors.New("bytes after the end")
	// ErrOversized: a size or a count is above its bound. Nothing of that size is allocated before it is found.
	ErrOversized = errors.New("too large")
	// ErrSection: an unknown, repeated, empty or misplaced section of the body.
	ErrSection = errors.New("malformed section")
	// ErrContent: a value that is not allowed: a name, a text, a rule.
	ErrContent = errors.New("value not allowed")
	// ErrDigest: the content is not what its head says; damage, or somebody changed it.
	ErrDigest = errors.New("digest does not match")
	// ErrKey: signed by a key that is not trusted here.
	ErrKey = errors.New("signed by an unknown key")
	// ErrSignature: the signature is not that of the key that the bundle names.
	ErrSignature = errors.New("signature does not match")
	// ErrCluster: it is another cluster's.
	ErrCluster = errors.New("policy of another cluster")
	// ErrOlder: a generation below the one that must not be gone below; a replay, if nobody asked for it.
	ErrOlder = errors.New("older generation")
	// ErrConflict: two bundles with the same generation and different digests.
	ErrConflict = errors.New("same generation, different digests")
	// ErrIncomplete: pieces are missing.
	ErrIncomplete = errors.New("pieces are missing")
)

// FormatError says where in a bundle something is wrong.
type FormatError struct {
	What   string // the part: "head", "piece 3", "section 5"
	Detail string // what was found and what is allowed
	Err    error  // one of the sentinels
}

// Error implements error.
func (e *FormatError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("policy: %s: %v", e.What, e.Err)
	}
	return fmt.Sprintf("policy: %s: %v: %s", e.What, e.Err, e.Detail)
}

// Unwrap gives the sentinel.
func (e *FormatError) Unwrap() error { return e.Err }

func bad(err error, what, format string, args ...any) error {
	return &FormatError{What: what, Detail: fmt.Sprintf(format, args...), Err: err}
}

// ConflictError names two bundles that cannot both be generation Generation of a cluster: two management servers numbered on their
// own, or one lost its memory. No member decides that by itself.
type ConflictError struct {
	Generation uint64
	A, B       Offer
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("policy: generation %d is %s with %s and %s with %s; install a newer generation from management to end this",
		e.Generation, e.A.Digest.Short(), e.A.Source, e.B.Digest.Short(), e.B.Source)
}

// Unwrap gives ErrConflict.
func (e *ConflictError) Unwrap() error { return ErrConflict }
