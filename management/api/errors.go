// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"net/http"
)

// Code says what kind of failure an Error is.
type Code string

// The codes. A program may rely on them; the words beside them are for people.
const (
	CodeInvalid             Code = "invalid"              // the request itself is wrong
	CodeNotFound            Code = "not-found"            // no such path, cluster, member, policy, ...
	CodeRefused             Code = "refused"              // the request is right, but not now
	CodeForbidden           Code = "forbidden"            // the certificate's owner may not do that, or the role is too low
	CodeCertificateRequired Code = "certificate-required" // the connection has no client certificate
	CodeCertificateRevoked  Code = "certificate-revoked"
	CodeCertificateExpired  Code = "certificate-expired"
	CodeCertificateEarly    Code = "certificate-not-yet-valid" // somebody's clock is wrong
	CodeCertificateUnknown  Code = "certificate-unknown"       // of another authority, or not one that management issued
	CodeTokenRequired       Code = "token-required"
	CodeTokenUnknown        Code = "token-unknown"
	CodeTokenUsed           Code = "token-used"
	CodeTokenExpired        Code = "token-expired"
	CodeTokenRevoked        Code = "token-revoked"
	CodeRuleset             Code = "ruleset"        // the ruleset cannot be loaded on some member: Details say where
	CodeNumbersUnsure       Code = "numbers-unsure" // restored from a backup: members have to report first
	CodeInstallRunning      Code = "install-running"
	CodeTooLarge            Code = "too-large"
	CodeTooMany             Code = "too-many" // requests of this client: wait
	CodeMethod              Code = "method"
	CodeUnavailable         Code = "unavailable" // the store does not answer: try again, or another server
	CodeInternal            Code = "internal"    // a fault of the server
)

var statuses = map[Code]int{
	CodeInvalid: http.StatusBadRequest, CodeNotFound: http.StatusNotFound, CodeRefused: http.StatusConflict, CodeForbidden: http.StatusForbidden,
	CodeCertificateRequired: http.StatusUnauthorized, CodeCertificateRevoked: http.StatusForbidden, CodeCertificateExpired: http.StatusForbidden,
	CodeCertificateEarly: http.StatusForbidden, CodeCertificateUnknown: http.StatusForbidden,
	CodeTokenRequired: http.StatusUnauthorized, CodeTokenUnknown: http.StatusUnauthorized, CodeTokenUsed: http.StatusUnauthorized,
	CodeTokenExpired: http.StatusUnauthorized, CodeTokenRevoked: http.StatusUnauthorized,
	CodeRuleset: http.StatusUnprocessableEntity, CodeNumbersUnsure: http.StatusConflict, CodeInstallRunning: http.StatusConflict,
	CodeTooLarge: http.StatusRequestEntityTooLarge, CodeTooMany: http.StatusTooManyRequests, CodeMethod: http.StatusMethodNotAllowed,
	CodeUnavailable: http.StatusServiceUnavailable, CodeInternal: http.StatusInternalServerError,
}

// Error is a failure as the API reports it.
type Error struct {
	Code    Code     `json:"error"`
	What    string   `json:"what"`              // what was refused and why
	WayOut  string   `json:"way_out,omitempty"` // what to do instead
	Details []string `json:"details,omitempty"` // one thing each: FILE:LINE: what
}

// Error implements error.
func (e *Error) Error() string {
	if e.WayOut == "" {
		return e.What
	}
	return e.What + "; " + e.WayOut
}

// Status is the HTTP status that e travels with.
func (e *Error) Status() int {
	if s, ok := statuses[e.Code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// CodeOf is the code of the Error that err wraps; "" if it wraps none.
func CodeOf(err error) Code {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return ""
}
