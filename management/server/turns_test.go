// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management/api"
)

func TestTurns(t *testing.T) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	two := newTurns(2)
	first, ok1 := two.take(t.Context(), "a")
	second, ok2 := two.take(t.Context(), "a")
	if _, ok := two.take(now, "a"); !ok1 || !ok2 || ok {
		t.Error("a third has a place, or the first two have none")
	}
	other, ok := two.take(t.Context(), "b")
	if !ok {
		t.Error("another client has to wait")
	}
	first()
	if third, ok := two.take(t.Context(), "a"); !ok {
		t.Error("a place that was given back is not there")
	} else {
		third()
	}
	second()
	second()
	other()
	if len(two.all) != 0 {
		t.Errorf("%d clients are remembered", len(two.all))
	}
}

func TestFilesAreShared(t *testing.T) {
	f := newFiles()
	loads := 0
	load := func(context.Context) ([]byte, error) {
		loads++
		return make([]byte, 10), nil
	}
	key := fileKey{"edge", 1}
	a, giveA, err := f.get(t.Context(), key, maxFileBytes, load)
	must(t, err)
	b, giveB, err := f.get(t.Context(), key, maxFileBytes, load)
	must(t, err)
	if loads != 1 || &a[0] != &b[0] {
		t.Errorf("%d copies of one file", loads)
	}
	giveA()
	giveA()
	within, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := f.reserve(within, 1); api.CodeOf(err) != api.CodeTooMany {
		t.Errorf("beyond the bound: %v", err)
	}
	giveB()
	give, err := f.reserve(t.Context(), maxFileBytes)
	must(t, err)
	give()
	if len(f.all) != 0 {
		t.Error("a file stays that nobody takes")
	}
}
