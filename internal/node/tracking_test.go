// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/internal/statesync"
)

// kernelHooks answers as the kernel would: one answer for each look, the last one for all that follow.
type kernelHooks struct {
	tracked    []bpf.Families
	translated bpf.Families
	err        error
}

func (h *kernelHooks) Hooked() (tracked, translated bpf.Families, err error) {
	now := h.tracked[0]
	if len(h.tracked) > 1 {
		h.tracked = h.tracked[1:]
	}
	return now, h.translated, h.err
}

func (*kernelHooks) Close() error { return nil }

const (
	untold     = " connections are not tracked any more: no rule needs it; load the ruleset again, or, if that is meant, holdfast restart"
	bothLost   = "IPv4 and IPv6" + untold
	secondLost = "IPv6" + untold
)

// TestTrackingThatEnds: what was tracked once and stays away is told, once; what never was, what comes back at once, what the kernel does not
// answer, and what is not of interest, is not. What is translated is told whatever is of interest, and what is not known may be.
func TestTrackingThatEnds(t *testing.T) {
	both, none, four := bothFamilies, bpf.Families{}, bpf.Families{Four: true}
	kernel := &kernelHooks{tracked: []bpf.Families{none}}
	w := newTracking(slog.New(slog.DiscardHandler))
	w.lasts, w.open = 0, func() (hooks, error) { return kernel, nil }
	l := trackingLook{said: w.is}
	for i, step := range []struct {
		tracked    []bpf.Families
		translated bpf.Families
		err        error
		ignored    bool
		want       trackingNews
	}{
		{tracked: []bpf.Families{none}}, // no rule has ever needed it
		{tracked: []bpf.Families{both}, translated: four, want: trackingNews{"", four}},
		{tracked: []bpf.Families{none, both}}, // a ruleset that was loaded in two steps
		{tracked: []bpf.Families{none}, err: errors.New("busy"), want: trackingNews{"", both}},
		{tracked: []bpf.Families{four}, want: trackingNews{secondLost, none}},
		{tracked: []bpf.Families{four}, err: errors.New("busy"), want: trackingNews{secondLost, both}},
		{tracked: []bpf.Families{none}, want: trackingNews{bothLost, none}},
		{tracked: []bpf.Families{none}, translated: four, ignored: true, want: trackingNews{"", four}},
		{tracked: []bpf.Families{none}}, // forgotten meanwhile
		{tracked: []bpf.Families{both}},
	} {
		kernel.tracked, kernel.translated, kernel.err = step.tracked, step.translated, step.err
		if l.said = w.look(t.Context(), &l, !step.ignored); l.said != step.want {
			t.Errorf("step %d: %+v, want %+v", i, l.said, step.want)
		}
	}
	w.open = func() (hooks, error) { return nil, errors.New("no BTF") }
	if got := w.look(t.Context(), &trackingLook{}, true); got != (trackingNews{"", both}) {
		t.Errorf("on a kernel that cannot be asked: %+v", got)
	}
}

// TestTrackingIsToldOnce: what is told ends when nobody wants to know any more, and what was before is then forgotten.
func TestTrackingIsToldOnce(t *testing.T) {
	kernel := &kernelHooks{tracked: []bpf.Families{bothFamilies, {}}, translated: bothFamilies}
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
		if news := <-w.found; news.lost != step.why {
			t.Errorf("step %d: told %q, want %q", i, news.lost, step.why)
		}
	}
	w.ask <- true
	w.ask <- true
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	select {
	case news := <-w.found:
		t.Errorf("told %+v of what was never seen", news)
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
