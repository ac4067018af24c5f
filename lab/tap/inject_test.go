// SPDX-License-Identifier: Apache-2.0

package tap_test

import (
	"os"
	"testing"

	"github.com/holdfast-project/holdfast/lab/tap"
)

// TestClosedTwice: what has got the number of a closed descriptor is left alone.
func TestClosedTwice(t *testing.T) {
	ns := cable(t)
	out, err := tap.Inject(ns.Do, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	var files [8]*os.File // one of them has the number
	for i := range files {
		if files[i], err = os.Open(os.DevNull); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Error(err)
	}
	for _, f := range files {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
