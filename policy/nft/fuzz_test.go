// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"errors"
	"testing"
)

// FuzzElement: what the kernel tells of elements is read without trust in its lengths, and joined to intervals without loss of a part.
func FuzzElement(f *testing.F) {
	f.Add(attribute(attribute(nil, elementKey, []byte{8, 0, 1, 0, 10, 0, 0, 1}), elementFlags, []byte{0, 0, 0, 1}))
	f.Add([]byte{4, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseElement(b)
		if err != nil {
			return
		}
		n := 0
		for _, p := range pair([]element{e, e, {key: "k\x00a", whole: [][]byte{nil}}, {key: "k\x00A", whole: [][]byte{nil}}}) {
			n += len(p.whole)
		}
		if n > 4 {
			t.Fatalf("%d parts of 4", n)
		}
		comment(b)
	})
}

// FuzzProblems: whatever nft complains of becomes at least one problem, and at most twenty.
func FuzzProblems(f *testing.F) {
	f.Add("/dev/stdin:3:2-10: Error: syntax error\ntcp dprt\n    ^^^^\n", 2)
	f.Add("netlink: Error: cache initialization failed", 0)
	f.Fuzz(func(t *testing.T, text string, lines int) {
		var e *RulesetError
		if err := problems("edge.nft", lines, []string{"a"}, &toldError{text, errors.New("exit status 1")}); !errors.As(err, &e) || len(e.Problems) == 0 || len(e.Problems) > maxProblems {
			t.Fatalf("%v", err)
		}
	})
}
