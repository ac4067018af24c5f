// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/holdfast-project/holdfast/internal/statesync"
)

// tracked answers as the kernel would: one answer for each look, the last one for all that follow.
type tracked struct {
	answers []families
	err     error
}

func (h *tracked) Hooked() (four, six bool, err error) {
	now := h.answers[0]
	if len(h.answers) > 1 {
		h.answers = h.answers[1:]
	}
	return now.four, now.six, h.err
}

func (*tracked) Close() error { return nil }

const (
	untold     = " connections are not tracked any more: no rule needs it; load the ruleset again, or, if that is meant, holdfast restart"
	bothLost   = "IPv4 and IPv6" + untold
	secondLost = "IPv6" + untold
)

// TestTrackingThatEnds: what was tracked once and stays away is told, once; what never was, what comes back at once, what the kernel does not
// answer, and what is not of interest, is not.
func TestTrackingThatEnds(t *testing.T) {
	both, none := families{true, true}, families{}
	kernel := &tracked{answers: []families{none}}
	w := newTracking(slog.New(slog.DiscardHandler))
	w.lasts, w.open = 0, func() (hooks, error) { return kernel, nil }
	var l trackingLook
	for i, step := range []struct {
		answers []families
		err     error
		why     string
		known   bool
	}{
		{[]families{none}, nil, "", true}, // no rule has ever needed it
		{[]families{both}, nil, "", true},
		{[]families{none, both}, nil, "", true}, // a ruleset that was loaded in two steps
		{[]families{none}, errors.New("busy"), "", false},
		{[]families{{four: true}}, nil, secondLost, true},
		{[]families{none}, nil, bothLost, true},
		{[]families{both}, nil, "", true},
	} {
		kernel.answers, kernel.err = step.answers, step.err
		if why, known := w.look(t.Context(), &l); why != step.why || known != step.known {
			t.Errorf("step %d: %q, %t; want %q, %t", i, why, known, step.why, step.known)
		}
	}
	w.open = func() (hooks, error) { return nil, errors.New("no BTF") }
	if why, known := w.look(t.Context(), &trackingLook{}); why != "" || known {
		t.Errorf("on a kernel that cannot be asked: %q, %t", why, known)
	}
}

// TestTrackingIsToldOnce: what is told ends when nobody wants to know any more, and what was before is then forgotten.
func TestTrackingIsToldOnce(t *testing.T) {
	kernel := &tracked{answers: []families{{four: true, six: true}, {}}}
	w := newTracking(slog.New(slog.DiscardHandler))
	w.lasts, w.open = 0, func() (hooks, error) { return kernel, nil }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.serve(ctx) }()
	for i, step := range []struct {
		matters bool
		why     string
	}{{true, bothLost}, {false, ""}} {
		w.ask <- true // the first time all is well, later it is known already
		w.ask <- step.matters
		if why := <-w.found; why != step.why {
			t.Errorf("step %d: told %q, want %q", i, why, step.why)
		}
	}
	w.ask <- true
	w.ask <- true
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	select {
	case why := <-w.found:
		t.Errorf("told %q of what was never seen", why)
	default:
	}
}

// TestUntrackedIsAtRisk: state synchronisation that tells of no new connections is no longer well, and one that is off stays so.
func TestUntrackedIsAtRisk(t *testing.T) {
	for _, k := range []struct {
		is   statesync.Status
		says string
		why  string
		want statesync.Status
		then string
	}{
		{statesync.StatusOK, "", "", statesync.StatusOK, ""},
		{statesync.StatusOK, "", "gone", statesync.StatusAtRisk, "gone"},
		{statesync.StatusAtRisk, "full sync running", "gone", statesync.StatusAtRisk, "gone; full sync running"},
		{statesync.StatusOff, "alone", "gone", statesync.StatusOff, "alone"},
	} {
		if got := untracked(statesync.State{Status: k.is, Reason: k.says}, k.why); got.Status != k.want || got.Reason != k.then {
			t.Errorf("%v %q with %q: %v %q, want %v %q", k.is, k.says, k.why, got.Status, got.Reason, k.want, k.then)
		}
	}
}
