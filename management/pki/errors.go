// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"errors"
	"fmt"
	"time"
)

// What can be wrong with a certificate, a request for one, or a file. Errors of this package wrap one of them.
var (
	// ErrNone: there is no certificate.
	ErrNone = errors.New("no certificate was shown")
	// ErrExpired: its time is over.
	ErrExpired = errors.New("the certificate has expired")
	// ErrEarly: its time has not begun; the clock here, or that of the authority, is wrong.
	ErrEarly = errors.New("the certificate is not valid yet")
	// ErrAuthority: another authority issued it, or somebody who claims to be this one.
	ErrAuthority = errors.New("the certificate is not of this authority")
	// ErrIdentity: it does not say whose it is, or is not for this use.
	ErrIdentity = errors.New("the certificate is for something else")
	// ErrRequest: a request for a certificate that cannot be granted.
	ErrRequest = errors.New("bad certificate request")
	// ErrFile: a file that holds no key, or no authority.
	ErrFile = errors.New("not the expected PEM")
)

// TimeError says by how much a certificate is out of its time. It wraps ErrExpired or ErrEarly.
type TimeError struct {
	Serial string
	Bound  time.Time // that was passed, or not reached
	Now    time.Time // by the clock here
	Err    error
}

// Error implements error.
func (e *TimeError) Error() string {
	if errors.Is(e.Err, ErrEarly) {
		return fmt.Sprintf("certificate %s: %v: it begins at %s, and the clock here says %s", e.Serial, e.Err,
			e.Bound.UTC().Format(time.RFC3339), e.Now.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("certificate %s: %v at %s", e.Serial, e.Err, e.Bound.UTC().Format(time.RFC3339))
}

// Unwrap gives ErrExpired or ErrEarly.
func (e *TimeError) Unwrap() error { return e.Err }
