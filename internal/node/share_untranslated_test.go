// SPDX-License-Identifier: Apache-2.0

package node

import (
	"testing"

	"github.com/holdfast-project/holdfast/bpf"
)

// TestUntranslated: a family is looked up while a rule may translate it, or a connection is.
func TestUntranslated(t *testing.T) {
	four, six, both, none := bpf.Families{Four: true}, bpf.Families{Six: true}, bpf.Families{Four: true, Six: true}, bpf.Families{}
	for _, k := range []struct{ rules, known, want bpf.Families }{
		{none, none, both}, {four, none, six}, {none, four, six}, {six, four, none}, {none, both, none}, {both, none, none}, {six, six, four},
	} {
		if got := untranslated(k.rules, k.known); got != k.want {
			t.Errorf("rules %+v, known %+v: %+v, want %+v", k.rules, k.known, got, k.want)
		}
	}
}
