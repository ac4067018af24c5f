// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	neturl "net/url"
	"time"

	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
)

// Kind says why management cannot be reached, or does not do what is asked.
type Kind string

// The kinds.
const (
	NotEnrolled Kind = "not-enrolled" // there is no certificate
	Unreachable Kind = "unreachable"  // no answer, or the connection is refused
	Untrusted   Kind = "untrusted"    // the server is not certified by the authority that this member knows
	Clock       Kind = "clock"        // a certificate is not valid yet by this machine's clock, or by the server's
	Expired     Kind = "expired"      // a certificate is not valid any more
	Revoked     Kind = "revoked"      // management took this member's certificate back
	Token       Kind = "token"        // the one-time token is unknown, used, expired or revoked
	Declined    Kind = "declined"     // the server refuses for another reason
)

// Error says what is wrong with the way to management.
type Error struct {
	Kind   Kind
	URL    string // "" if it is not about one
	WayOut string
	Err    error
}

// Error implements error.
func (e *Error) Error() string {
	text := string(e.Kind)
	if e.Err != nil {
		text = e.Err.Error()
	}
	if e.URL != "" {
		text = e.URL + ": " + text
	}
	if e.WayOut != "" {
		text += ": " + e.WayOut
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of the Error that err wraps; "" if it wraps none.
func KindOf(err error) Kind {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// classify says what an error of a request means.
func classify(url string, err error, now time.Time) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var request *neturl.Error
	if errors.As(err, &request) { // the address is said once
		err = request.Err
	}
	e := &Error{Kind: Unreachable, URL: url, Err: err}
	var refused *api.Error
	var invalid x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &refused):
		// Its text has the way out already.
		e.Kind = kindOf(refused.Code)
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.WayOut, e.Err = NotEnrolled, "holdfast enroll with a token of management's", errors.New("not enrolled")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.Kind = Expired
		if now.Before(invalid.Cert.NotBefore) {
			e.Kind = Clock
			e.Err = fmt.Errorf("the server's certificate is not valid before %s, and here it is %s", stamp(invalid.Cert.NotBefore), stamp(now))
			e.WayOut = "set the clock"
		} else {
			e.Err = fmt.Errorf("the server's certificate ended at %s, and here it is %s", stamp(invalid.Cert.NotAfter), stamp(now))
			e.WayOut = "renew it, or set the clock"
		}
	case errors.Is(err, pki.ErrEarly): // while enrolling
		e.Kind, e.WayOut = Clock, "set the clock"
	case errors.Is(err, pki.ErrExpired):
		e.Kind, e.WayOut = Expired, "renew the server's certificate, or set the clock"
	case errors.Is(err, pki.ErrAuthority):
		e.Kind, e.WayOut = Untrusted, "check the address and the token"
	case errors.As(err, &verification):
		e.Kind, e.WayOut = Untrusted, "check the address, or enrol again with a token of that server"
	case errors.Is(err, context.DeadlineExceeded):
		e.Err = errors.New("no answer")
	}
	return e
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func kindOf(c api.Code) Kind {
	switch c {
	case api.CodeCertificateEarly:
		return Clock
	case api.CodeCertificateExpired:
		return Expired
	case api.CodeCertificateRevoked:
		return Revoked
	case api.CodeCertificateUnknown, api.CodeCertificateRequired:
		return Untrusted
	case api.CodeTokenRequired, api.CodeTokenUnknown, api.CodeTokenUsed, api.CodeTokenExpired, api.CodeTokenRevoked:
		return Token
	case api.CodeUnavailable:
		return Unreachable
	}
	return Declined
}
