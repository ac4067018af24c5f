// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

func attempt(number, generation uint64, digest byte) Attempt {
	return Attempt{Number: number, Policy: policy.Offer{Generation: generation, Digest: policy.Digest{digest}}}
}

var short = Config{Doubt: time.Second, Ask: time.Second}

// tell is effects in short.
func tell(effects []Effect) string {
	var all []string
	for _, e := range effects {
		switch e := e.(type) {
		case Save:
			all = append(all, fmt.Sprintf("save %d/%d", e.Durable.InForce.Generation, e.Durable.Prepared.Number))
		case Reply:
			all = append(all, fmt.Sprint(e.Attempt.Number, " ", e.State))
		case WakeAt:
			all = append(all, fmt.Sprint("wake ", time.Duration(e.Time)))
		case Load:
			all = append(all, fmt.Sprint("load ", e.Attempt.Policy.Generation))
		case Switch:
			all = append(all, fmt.Sprint("switch ", e.Attempt.Policy.Generation))
		case Revert:
			all = append(all, fmt.Sprintf("revert %d to %d", e.Attempt.Policy.Generation, e.To.Generation))
		case Unload:
			all = append(all, fmt.Sprint("unload ", e.Attempt.Policy.Generation))
		case Tell:
			all = append(all, fmt.Sprintf("tell %s %d decision %d", e.To, e.What.InForce.Generation, e.What.Decision))
		default:
			all = append(all, strings.TrimPrefix(reflect.TypeOf(e).String(), "install."))
		}
	}
	return strings.Join(all, ", ")
}

type step struct {
	at    time.Duration
	event Event
	want  string
}

func play(t *testing.T, m *Machine, steps []step) {
	t.Helper()
	for _, s := range steps {
		if got := tell(m.Step(int64(s.at), s.event)); got != s.want {
			t.Errorf("%v %#v: %q, want %q", s.at, s.event, got, s.want)
		}
	}
}

func TestInstall(t *testing.T) {
	a, b := attempt(1, 5, 5), attempt(2, 6, 6)
	m, effects := New(short, Durable{}, policy.Offer{}, 0)
	if effects != nil {
		t.Error(tell(effects))
	}
	play(t, m, []step{
		{1 * time.Second, Prepare{a}, "load 5"},
		{1 * time.Second, Prepare{a}, ""},
		{1 * time.Second, Decided{a, Commit}, ""}, // not before its word
		{2 * time.Second, Loaded{a}, "save 0/1, 1 prepared, wake 3s"},
		{2 * time.Second, Prepare{a}, "1 prepared, wake 3s"},
		{3 * time.Second, Tick{}, "AskPeers, wake 4s"},
		{3 * time.Second, Prepare{b}, "2 refused, AskManagement, wake 4s"},
		{4 * time.Second, Tick{}, "AskManagement, wake 5s"},
		{4 * time.Second, Told{From: "x", Attempt: a}, "wake 5s"}, // as unsure as it is
		{4 * time.Second, Told{From: "x", Attempt: b, Decision: Abort}, "wake 5s"},
		{4500 * time.Millisecond, Told{From: "x", Attempt: a, InForce: a.Policy, Decision: Commit}, "switch 5, wake 5.5s"},
		{4600 * time.Millisecond, NotSwitched{a, "busy"}, "1 committing, wake 5.6s"},
		{4700 * time.Millisecond, Decided{a, Abort}, "wake 5.6s"}, // cannot be
		{5600 * time.Millisecond, Tick{}, "switch 5, wake 6.6s"},
		{6 * time.Second, Switched{a}, "save 5/0, 1 confirmed"},
		{6 * time.Second, Decided{a, Commit}, "1 confirmed"},
		{6 * time.Second, Asked{"x", a}, "tell x 5 decision 3"},
		{7 * time.Second, Prepare{attempt(3, 4, 4)}, "3 refused"},
		{7 * time.Second, Prepare{attempt(3, 5, 9)}, "3 refused"},
		{7 * time.Second, Prepare{attempt(3, 5, 5)}, "save 5/0, 3 committed"}, // the same policy again
		{8 * time.Second, Prepare{attempt(4, 6, 6)}, "load 6"},
		{8 * time.Second, NotLoaded{attempt(4, 6, 6), "no device"}, "save 5/0, 4 refused"},
		{8 * time.Second, Decided{attempt(4, 6, 6), Abort}, "4 aborted"},
		{9 * time.Second, Prepare{attempt(5, 7, 7)}, "load 7"},
		{9 * time.Second, Prepare{attempt(6, 8, 8)}, "save 5/0, unload 7, load 8"}, // no word was given
		{9 * time.Second, Loaded{attempt(5, 7, 7)}, ""},
		{9 * time.Second, Loaded{attempt(6, 8, 8)}, "save 5/6, 6 prepared, wake 10s"},
		{9 * time.Second, Decided{attempt(6, 8, 8), Abort}, "save 5/0, unload 8, 6 aborted"},
		{9 * time.Second, Asked{"x", attempt(6, 8, 8)}, "tell x 5 decision 2"},
		{9 * time.Second, Decided{attempt(7, 9, 9), Abort}, "save 5/0, 7 aborted"}, // before its prepare
		{9 * time.Second, Prepare{attempt(7, 9, 9)}, "7 aborted"},
		{9 * time.Second, Prepare{attempt(8, 10, 10)}, "load 10"},
		{9 * time.Second, Loaded{attempt(8, 10, 10)}, "save 5/8, 8 prepared, wake 10s"},
		{9 * time.Second, Replaced{attempt(0, 9, 1).Policy}, "save 9/8, wake 10s"},    // recovery, of an older one
		{9 * time.Second, Replaced{attempt(0, 11, 1).Policy}, "save 11/0, unload 10"}, // of a newer one
		{9 * time.Second, Replaced{attempt(0, 12, 1).Policy}, "save 12/0"},
		{9 * time.Second, Prepare{Attempt{}}, "0 refused"},
	})
}

// A machine that died between the kernel's commit and the disk's knows it again; one that died before keeps its word.
func TestCrash(t *testing.T) {
	a := attempt(3, 6, 6)
	d := Durable{InForce: policy.Offer{Generation: 5, Digest: policy.Digest{5}}, Prepared: a}
	m, effects := New(short, d, a.Policy, 0)
	if got := tell(effects); got != "save 6/0, 3 confirmed" || m.Durable().InForce != a.Policy {
		t.Error(got)
	}
	m, effects = New(short, d, d.InForce, 0)
	if got := tell(effects); got != "load 6" {
		t.Error(got)
	}
	if s, at := m.State(); s != Loading || at != a {
		t.Error(s, at)
	}
	play(t, m, []step{
		{time.Second, Prepare{attempt(4, 7, 7)}, "4 refused, AskManagement"},
		{2 * time.Second, NotLoaded{a, "no device"}, "3 prepared, AskPeers, wake 3s"},
		{2 * time.Second, Decided{a, Unknown}, "wake 3s"},
		{2 * time.Second, Decided{a, Commit}, "switch 6, wake 3s"},
	})
	m, _ = New(short, d, d.InForce, 0)
	play(t, m, []step{{time.Second, Loaded{a}, "AskPeers, wake 2s"}})
	if yes, _ := m.InDoubt(); !yes {
		t.Error("not in doubt")
	}
	play(t, m, []step{{time.Second, Told{From: "x", Attempt: a, Decision: Abort}, "save 5/0, unload 6, 3 aborted"}})
	for s, want := range map[State]string{Idle: "idle", Refused: "refused", RolledBack: "rolled back", 10: "state(10)"} {
		if s.String() != want {
			t.Error(s)
		}
	}
}
