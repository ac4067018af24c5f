// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/lab/report"
)

func TestAgain(t *testing.T) {
	passed := func(name string) report.Result {
		return report.Result{Name: name, Checks: []report.Check{{Passed: true}, {Passed: true, Never: true}}}
	}
	missed := func(name string) report.Result {
		return report.Result{Name: name, Checks: []report.Check{{Text: "gap <= 50ms"}, {Passed: true, Never: true}}}
	}
	stuck := func(name string) report.Result { return report.Result{Name: name, Err: "did not come true"} }
	two := func(name string) report.Result {
		return report.Result{Name: name, Checks: []report.Check{{Text: "answers-by-two == 0", Never: true}}}
	}
	type list = []report.Result
	for name, c := range map[string]struct {
		results list
		later   list // what the runs after that come to, in their order
		ran     []string
		failed  int
	}{
		"all passed":               {results: list{passed("a"), passed("b")}},
		"one missed, then passes":  {list{passed("a"), missed("b")}, list{passed("b"), passed("b")}, []string{"b", "b"}, 0},
		"one stuck, then passes":   {list{stuck("a"), passed("b")}, list{passed("a"), passed("a")}, []string{"a", "a"}, 0},
		"one passes only once":     {list{missed("a")}, list{passed("a"), missed("a")}, []string{"a", "a"}, 2},
		"one fails at once again":  {list{missed("a"), missed("b")}, list{missed("a")}, []string{"a"}, 3},
		"three":                    {list{missed("a"), stuck("b"), missed("c")}, slices.Repeat(list{passed("x")}, 6), []string{"a", "a", "b", "b", "c", "c"}, 0},
		"four":                     {results: list{missed("a"), missed("b"), missed("c"), missed("d")}, failed: 4},
		"two served":               {results: list{two("a")}, failed: 1},
		"two served, another miss": {results: list{missed("a"), two("b")}, failed: 2},
	} {
		t.Run(name, func(t *testing.T) {
			var ran []string
			var out bytes.Buffer
			got := again(c.results, 2, func(name string) report.Result {
				ran = append(ran, name)
				return c.later[len(ran)-1]
			}, &out)
			failed := 0
			for _, r := range got {
				if r.Failed() {
					failed++
				}
			}
			if !slices.Equal(ran, c.ran) || failed != c.failed {
				t.Errorf("ran %q again and %d failed, want %q and %d", ran, failed, c.ran, c.failed)
			}
			if told := strings.Contains(out.String(), "UNSTEADY"); told != (len(c.later) > 0 && c.failed == 0) {
				t.Errorf("it says:\n%s", &out)
			}
		})
	}
}
