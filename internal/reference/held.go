// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
)

// Commands fails tb unless what README.md, docs and the commented reference tell people to type of root exists, in so many command lines at
// least. It is for tests in a folder two below the repository's.
func Commands(tb testing.TB, root *cobra.Command, least int) {
	tb.Helper()
	n, unknown, err := Check(root, "../../README.md", "../../docs/*.md", "../../docs/benchmarks/*.md", "../../deploy/cluster.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	if n < least {
		tb.Errorf("only %d command lines were found", n)
	}
	for _, u := range unknown {
		tb.Error(u)
	}
}

// Examples fails tb unless what the examples show of root exists, in as many command lines at least.
func Examples(tb testing.TB, root *cobra.Command, examples map[string]string) {
	tb.Helper()
	text := "```\n"
	for _, lines := range examples {
		text += lines + "\n"
	}
	file := filepath.Join(tb.TempDir(), "examples.md")
	if err := os.WriteFile(file, []byte(text+"```\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	n, unknown, err := Check(root, file)
	if err != nil || n < len(examples) {
		tb.Errorf("%d command lines in %d examples: %v", n, len(examples), err)
	}
	for _, u := range unknown {
		tb.Error(u)
	}
}

// Page fails tb unless the manual page in a file says what root's help does. With update it writes the page first.
func Page(tb testing.TB, file string, update bool, root *cobra.Command, more ...Section) {
	tb.Helper()
	got := Manual(root, more...)
	if update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || got != string(want) {
		tb.Errorf("%s is not what the program says (%v): run go test ./cmd/... -run TestManual -update", file, err)
	}
}
