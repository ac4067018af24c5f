// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/policy"
)

// Operators' orders go to the plane, not by the loop: they may take as long as nft does.

// PolicyFetch implements control.Backend.
func (b *backend) PolicyFetch(ctx context.Context) (control.Result, error) {
	plane, err := b.policies()
	if err != nil {
		return control.Result{}, err
	}
	before := inForce(plane.Snapshot())
	if err := plane.Fetch(ctx); err != nil {
		return control.Result{}, policyError(err)
	}
	after := plane.Snapshot()
	switch now := inForce(after); {
	case now.Digest != before.Digest:
		return control.Result{Done: fmt.Sprintf("generation %d is in force", now.Generation)}, nil
	case now.None():
		return control.Result{}, control.Refused("nobody can give a policy: "+after.Reason, "holdfast policy status says what the others have")
	default:
		return control.Result{Done: fmt.Sprintf("generation %d stays: nobody has a newer one", now.Generation)}, nil
	}
}

// PolicyUnload implements control.Backend.
func (b *backend) PolicyUnload(ctx context.Context) (control.Result, error) {
	plane, err := b.policies()
	if err != nil {
		return control.Result{}, err
	}
	if err := plane.Unload(ctx); err != nil {
		return control.Result{}, policyError(err)
	}
	return control.Result{Done: "no policy is in force: the boot filter holds", Details: []string{"the member passes no traffic until: holdfast policy load"}}, nil
}

// PolicyResume implements control.Backend.
func (b *backend) PolicyResume(ctx context.Context) (control.Result, error) {
	plane, err := b.policies()
	if err != nil {
		return control.Result{}, err
	}
	if err := plane.Resume(ctx); err != nil {
		return control.Result{}, policyError(err)
	}
	s := plane.Snapshot()
	if now := inForce(s); !now.None() {
		return control.Result{Done: fmt.Sprintf("generation %d is in force", now.Generation)}, nil
	}
	return control.Result{Done: "the newest policy is put into force once it is there", Details: []string{s.Reason}}, nil
}

// PolicyLoad implements control.Backend.
func (b *backend) PolicyLoad(ctx context.Context, file []byte) (control.Result, error) {
	plane, err := b.policies()
	if err != nil {
		return control.Result{}, err
	}
	what, err := plane.Load(ctx, file)
	if err != nil {
		return control.Result{}, policyError(err)
	}
	return control.Result{Done: fmt.Sprintf("generation %d is in force, digest %s", what.Generation, what.Digest.Short()),
		Details: []string{"members that hear this one take it from here"}}, nil
}

func inForce(s *policyplane.Snapshot) policy.Offer {
	if s.InForce == nil {
		return policy.Offer{}
	}
	return s.InForce.Offer
}

// policyError says what an operator can do about a refusal.
func policyError(err error) error {
	wayOut := map[error]string{
		policy.ErrKey:       "sign it with management's key, or add its key to policy.keys",
		policy.ErrSignature: "fetch the file again: it was changed",
		policy.ErrDigest:    "fetch the file again: it is damaged",
		policy.ErrTruncated: "fetch the file again: it is cut off",
		policy.ErrCluster:   "pack it for this cluster: holdfast policy pack --cluster",
		policy.ErrOlder:     "pack it with a greater generation; --origin says whose content it has again",
		policy.ErrConflict:  "pack it with a greater generation",
	}
	var e *control.Error
	switch {
	case errors.As(err, &e), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	}
	for sentinel, way := range wayOut {
		if errors.Is(err, sentinel) {
			return control.Refused(err.Error(), way)
		}
	}
	return control.Refused(err.Error(), "holdfast policy status, and the daemon's log, say more")
}
