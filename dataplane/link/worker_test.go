// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

func TestQueueKeepsTheNewest(t *testing.T) {
	var q queue
	q.apply(Desired{NAPIPriority: 1})
	q.setServing(1, true)
	q.setServing(0, true)
	q.apply(Desired{NAPIPriority: 2})
	q.setServing(1, false)
	for _, index := range []int{4, 3, 4} {
		q.query(index)
	}
	var got []job
	for c, ok := q.nextChange(); ok; c, ok = q.nextChange() {
		got = append(got, c)
	}
	if len(got) != 3 || got[0].servingChange != (servingChange{1, false}) || got[1].servingChange != (servingChange{0, true}) ||
		got[2].op != OpApply || got[2].desired.NAPIPriority != 2 {
		t.Errorf("changes %+v", got)
	}
	var asked []int
	for index, ok := q.nextQuery(); ok; index, ok = q.nextQuery() {
		asked = append(asked, index)
	}
	if !slices.Equal(asked, []int{4, 3}) {
		t.Errorf("queries %v, want each index once", asked)
	}
}

// busyHost is a host whose Apply and whose queries end when told.
type busyHost struct {
	applying, asking chan int
	release, answer  chan error
}

func (b *busyHost) worker() *Worker {
	b.applying, b.asking = make(chan int, 8), make(chan int, 8)
	b.release, b.answer = make(chan error), make(chan error)
	ask := func(index int) (State, error) {
		b.asking <- index
		return State{Index: index}, <-b.answer
	}
	apply := func(d Desired) error {
		b.applying <- d.NAPIPriority
		return <-b.release
	}
	open := func() (func(int) (State, error), func(), error) { return ask, func() {}, nil }
	return newWorker(apply, func(uint8, bool) error { return nil }, open, nil)
}

func serve(t *testing.T, w *Worker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Serve(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestWorkerDoesNotWait: while an Apply hangs in the kernel callers return, the newest Apply waits alone, and queries are answered.
func TestWorkerDoesNotWait(t *testing.T) {
	var b busyHost
	w := b.worker()
	stop := serve(t, w)
	w.Apply(Desired{NAPIPriority: 1})
	<-b.applying
	for p := 2; p < 1000; p++ {
		w.Apply(Desired{NAPIPriority: p})
		w.SetServing(0, p%2 == 0)
	}
	w.Query(3)
	<-b.asking
	for range 1000 {
		w.Query(3) // one more answer: this one may be from before what makes us ask
	}
	for range 2 {
		b.answer <- nil
		if r := <-w.Results(); r.Op != OpQuery || r.Index != 3 || r.State.Index != 3 {
			t.Errorf("%+v while an Apply hangs", r)
		}
	}
	wrong := errors.New("wrong")
	b.release <- wrong
	if r := <-w.Results(); r.Op != OpApply || !errors.Is(r.Err, wrong) {
		t.Errorf("%+v", r)
	}
	if r := <-w.Results(); r.Op != OpServing || r.Group != 0 {
		t.Errorf("%+v", r)
	}
	if p := <-b.applying; p != 999 {
		t.Errorf("Apply number %d came next, want the newest", p)
	}
	b.release <- nil
	<-w.Results()
	stop()
	if len(w.Results()) != 0 || len(b.asking) != 1 || len(b.applying) != 0 {
		t.Errorf("%d results, %d queries, %d Applies too many", len(w.Results()), len(b.asking)-1, len(b.applying))
	}
}

// TestWorkerEndsWithoutAReader: nobody reads the results any more when the node stops.
func TestWorkerEndsWithoutAReader(t *testing.T) {
	var b busyHost
	w := b.worker()
	for index := range resultBuffer + 8 {
		w.Query(index)
	}
	stop := serve(t, w)
	for range resultBuffer + 1 {
		<-b.asking
		b.answer <- nil
	}
	stop()
}

func TestWorkerOnAHost(t *testing.T) {
	member, _ := segment(t)
	index := member.Index("e0")
	var h *Host
	member.Do(func() (err error) {
		h, err = OpenHost(filepath.Join(t.TempDir(), "host.json"), nil)
		return err
	})
	defer restore(t, member, h)
	w := NewWorker(h, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := member.Go(func() error { return w.Serve(ctx) })
	w.Apply(desired())
	w.Query(index)
	w.Query(index + 1000)
	for range 3 {
		r := result(t, w)
		switch {
		case r.Op == OpQuery && r.Index != index:
			if r.Err == nil {
				t.Error("an interface that does not exist was found")
			}
		case r.Err != nil:
			t.Errorf("%+v", r)
		case r.Op == OpQuery && (r.State.Name != "e0" || !r.State.Carrier || r.State.MAC != member.MAC("e0")):
			t.Errorf("%+v", r)
		}
	}
	mustContain(t, "lo", member.Run("ip", "addr", "show", "dev", "lo"), "10.0.0.100/32")
	if !ownRuleThere(member) {
		t.Error("the rule is missing though nobody serves")
	}
	w.SetServing(0, true)
	if r := result(t, w); r.Op != OpServing || r.Err != nil {
		t.Errorf("%+v", r)
	}
	if ownRuleThere(member) {
		t.Error("the rule is there while the group is served")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func ownRuleThere(n *linktest.Namespace) bool {
	return contains(n.Run("ip", "rule"), "iif lo lookup 18502")
}

func result(t *testing.T, w *Worker) Result {
	t.Helper()
	select {
	case r := <-w.Results():
		return r
	case <-time.After(10 * time.Second):
		t.Fatal("no result")
		return Result{}
	}
}
