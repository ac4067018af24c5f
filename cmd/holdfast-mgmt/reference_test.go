// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/holdfast-project/holdfast/internal/reference"
)

// TestDocumentedCommands: what the documentation tells people to type exists.
func TestDocumentedCommands(t *testing.T) {
	n, unknown, err := reference.Check(newRoot(environment{getenv: func(string) string { return "" }}), "../../README.md", "../../docs/*.md", "../../docs/benchmarks/*.md", "../../deploy/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n < 10 {
		t.Errorf("only %d command lines were found", n)
	}
	for _, u := range unknown {
		t.Error(u)
	}
}
