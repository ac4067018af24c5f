// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/coordinator"
	"github.com/holdfast-project/holdfast/management/pki"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/rollout"
	"github.com/holdfast-project/holdfast/management/store"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/nft"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

func invalid(what, wayOut string) *api.Error {
	return &api.Error{Code: api.CodeInvalid, What: what, WayOut: wayOut}
}

func forbidden(what, wayOut string) *api.Error {
	return &api.Error{Code: api.CodeForbidden, What: what, WayOut: wayOut}
}

var errNone = records.ErrNone

// kinds translates errors of the packages behind the API. The first that matches counts.
var kinds = []struct {
	is     error
	code   api.Code
	wayOut string
}{
	{pki.ErrNone, api.CodeCertificateRequired, "connect with the certificate that management issued"},
	{pki.ErrExpired, api.CodeCertificateExpired, "enrol again"},
	{pki.ErrEarly, api.CodeCertificateEarly, "compare the clocks here and on the management server"},
	{pki.ErrAuthority, api.CodeCertificateUnknown, "enrol with this management"},
	{pki.ErrIdentity, api.CodeForbidden, "enrol with this management"},
	{pki.ErrRequest, api.CodeInvalid, "make an ECDSA key on P-256 and a PKCS #10 request with it"},
	{management.ErrRevoked, api.CodeCertificateRevoked, "enrol again with a new token, if that is meant to be"},
	{records.ErrMember, api.CodeNotFound, "compare the cluster's cluster.yaml"},
	{management.ErrTokenUnknown, api.CodeTokenUnknown, "ask for a new one"},
	{management.ErrTokenUsed, api.CodeTokenUsed, "ask for a new one; if you have not used it, somebody else has"},
	{management.ErrTokenExpired, api.CodeTokenExpired, "ask for a new one"},
	{management.ErrTokenRevoked, api.CodeTokenRevoked, "ask for a new one"},
	{management.ErrNumbersUnsure, api.CodeNumbersUnsure, ""},
	{management.ErrDecided, api.CodeRefused, ""},
	{management.ErrValue, api.CodeInvalid, ""},
	{records.ErrBusy, api.CodeInstallRunning, "wait for it, or cancel it"},
	{records.ErrDeclined, api.CodeRefused, "install its content as a new generation"},
	{records.ErrKind, api.CodeForbidden, "ask an administrator"},
	{records.ErrOften, api.CodeTooMany, "wait a few seconds"},
	{records.ErrLastAdmin, api.CodeRefused, "make somebody else an administrator before"},
	{records.ErrExists, api.CodeRefused, ""},
	{records.ErrNone, api.CodeNotFound, "look at what there is: holdfast-mgmt cluster list, for instance"},
	{store.ErrUnavailable, api.CodeUnavailable, "try again, or ask another server"},
	{store.ErrUnknown, api.CodeUnavailable, "look whether it was done before you do it again"},
	{store.ErrRestoring, api.CodeUnavailable, "restore the backup again"},
	{store.ErrClosed, api.CodeUnavailable, "ask another server"},
	{store.ErrTooLarge, api.CodeTooLarge, ""},
	{store.ErrKey, api.CodeInvalid, "no name has such characters"},
	{policy.ErrOversized, api.CodeTooLarge, ""},
	{policy.ErrOlder, api.CodeRefused, ""},
	{policy.ErrContent, api.CodeInvalid, ""},
	{coordinator.ErrStopped, api.CodeUnavailable, ""},
	{context.Canceled, api.CodeUnavailable, "the server is stopping: ask another one, or again"},
	{context.DeadlineExceeded, api.CodeUnavailable, "try again"},
}

// explain makes what the client is told of any error. What is not known stays in the log: it may name what clients have no business with.
func (s *Server) explain(err error) *api.Error {
	if e := (*api.Error)(nil); errors.As(err, &e) {
		return e
	}
	if e := (*nft.RulesetError)(nil); errors.As(err, &e) {
		out := &api.Error{Code: api.CodeRuleset, What: "the ruleset cannot be loaded", WayOut: "mend it, and install again"}
		for _, p := range e.Problems {
			out.Details = append(out.Details, p.String())
		}
		return out
	}
	if problems := rulesetErrors(err); len(problems) > 0 {
		return &api.Error{Code: api.CodeRuleset, What: "the ruleset has what a policy must not have", WayOut: "mend it, and install again", Details: problems}
	}
	if problems := config.Problems(err); len(problems) > 0 {
		out := &api.Error{Code: api.CodeInvalid, What: "cluster.yaml is not right", WayOut: "mend it: holdfast config check shows the same"}
		for _, p := range problems {
			out.Details = append(out.Details, p.Error())
		}
		return out
	}
	if e := (*rollout.OverError)(nil); errors.As(err, &e) {
		return &api.Error{Code: api.CodeRefused, What: e.Error()}
	}
	if e := (*rollout.NotWellError)(nil); errors.As(err, &e) {
		return &api.Error{Code: api.CodeRefused, What: e.Error()}
	}
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			return &api.Error{Code: k.code, What: err.Error(), WayOut: k.wayOut}
		}
	}
	s.o.Log.Error("a request failed", "error", err)
	return &api.Error{Code: api.CodeInternal, What: "a fault of the server", WayOut: "its log says more"}
}

// rulesetErrors are the ruleset's errors that err joins.
func rulesetErrors(err error) (all []string) {
	switch e := err.(type) { //nolint:errorlint // the tree is walked here
	case *ruleset.Error:
		return []string{e.Error()}
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			all = append(all, rulesetErrors(one)...)
		}
	case interface{ Unwrap() error }:
		return rulesetErrors(e.Unwrap())
	}
	return all
}
