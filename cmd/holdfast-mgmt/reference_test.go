// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-project/holdfast/internal/reference"
	"github.com/holdfast-project/holdfast/internal/usage"
)

var update = flag.Bool("update", false, "write the manual page")

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

// TestExamples: every command has an example, and what it shows exists.
func TestExamples(t *testing.T) {
	root := newRoot(environment{getenv: func(string) string { return "" }})
	for _, path := range usage.Without(root) {
		t.Errorf("%s --help has no example", path)
	}
	text := "```\n"
	for _, lines := range examples {
		text += lines + "\n"
	}
	file := filepath.Join(t.TempDir(), "examples.md")
	if err := os.WriteFile(file, []byte(text+"```\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, unknown, err := reference.Check(root, file)
	if err != nil || n < len(examples) {
		t.Errorf("%d command lines in %d examples: %v", n, len(examples), err)
	}
	for _, u := range unknown {
		t.Error(u)
	}
}

// TestManual: the manual page says what the program's help does.
func TestManual(t *testing.T) {
	const page = "../../docs/man/holdfast-mgmt.8"
	got := reference.Manual(newRoot(environment{getenv: func(string) string { return "" }}),
		reference.Section{Title: "EXIT STATUS", Items: [][2]string{
			{"0", "It is done."},
			{"1", "It was refused, or failed."},
			{"2", "The command line was not understood."},
		}},
		reference.Section{Title: "ENVIRONMENT", Items: [][2]string{
			{"HOLDFAST_MGMT_PROFILE", "Directory with who you are, as --profile."},
		}},
		reference.Section{Title: "FILES", Items: [][2]string{
			{"~/.config/holdfast-mgmt", "The profile: certificate, key and token of a person, and the server's address and authority."},
			{"/var/lib/holdfast-mgmt/keys", "The server's authority and the key that signs policies. No backup has them: copy them to a safe place."},
			{"/var/lib/holdfast-mgmt", "The server's store, unless --store says otherwise."},
		}},
		reference.Section{Title: "SEE ALSO", Items: [][2]string{{"", "holdfast(8), holdfastd(8)"}}})
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(page); err != nil || got != string(want) {
		t.Errorf("%s is not what the program says (%v): run go test ./cmd/... -run TestManual -update", page, err)
	}
}
