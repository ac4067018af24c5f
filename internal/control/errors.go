// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"net/http"
	"syscall"
)

// Code says what kind of failure an Error is.
type Code string

const (
	// CodeInvalid says that the request itself is wrong.
	CodeInvalid Code = "invalid"
	// CodeRefused says that the request is right, but not now or not here.
	CodeRefused Code = "refused"
	// CodeNotFound says that the path, member or device does not exist.
	CodeNotFound Code = "not-found"
	// CodeUnavailable says that the member cannot answer at the moment.
	CodeUnavailable Code = "unavailable"
	// CodeInternal is a fault of the daemon.
	CodeInternal Code = "internal"
)

// Error is a failure as the API reports it.
type Error struct {
	Code   Code   `json:"error"`
	What   string `json:"what"`              // what was refused and why
	WayOut string `json:"way_out,omitempty"` // what to do instead
}

// Refused returns an Error with CodeRefused.
func Refused(what, wayOut string) *Error {
	return &Error{Code: CodeRefused, What: what, WayOut: wayOut}
}

// Invalid returns an Error with CodeInvalid.
func Invalid(what, wayOut string) *Error {
	return &Error{Code: CodeInvalid, What: what, WayOut: wayOut}
}

// NotFound returns an Error with CodeNotFound.
func NotFound(what, wayOut string) *Error {
	return &Error{Code: CodeNotFound, What: what, WayOut: wayOut}
}

// Error implements error.
func (e *Error) Error() string {
	if e.WayOut == "" {
		return e.What
	}
	return e.What + "; " + e.WayOut
}

func (e *Error) status() int {
	switch e.Code {
	case CodeInvalid:
		return http.StatusBadRequest
	case CodeRefused:
		return http.StatusConflict
	case CodeNotFound:
		return http.StatusNotFound
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// ErrNoDaemon says that no process listens on the socket.
var ErrNoDaemon = errors.New("not running")

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
