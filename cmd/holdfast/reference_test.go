// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-project/holdfast/internal/reference"
	"github.com/holdfast-project/holdfast/internal/usage"
)

// TestDocumentedCommands: what the documentation tells people to type exists.
func TestDocumentedCommands(t *testing.T) {
	n, unknown, err := reference.Check(newRoot(environment{getenv: func(string) string { return "" }}), "../../README.md", "../../docs/*.md", "../../docs/benchmarks/*.md", "../../deploy/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n < 60 {
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
	const page = "../../docs/man/holdfast.8"
	got := reference.Manual(newRoot(environment{getenv: func(string) string { return "" }}),
		reference.Section{Title: "EXIT STATUS", Items: [][2]string{
			{"0", "It is done."},
			{"1", "It was refused, or failed, or what was asked is not so: a file with problems, tables or policies that differ."},
			{"2", "The command line was not understood."},
		}},
		reference.Section{Title: "ENVIRONMENT", Items: [][2]string{
			{"HOLDFAST_SOCKET", "Control socket of the member, as --socket."},
			{"HOLDFAST_MEMBER", "Name of the member for config defines and enroll."},
			{"NO_COLOR", "No colours on a terminal."},
		}},
		reference.Section{Title: "FILES", Items: [][2]string{
			{"/etc/holdfast/cluster.yaml", "The configuration, the same on all members. The commented reference is installed with the documentation."},
			{"/etc/holdfast/cluster.key", "The cluster's key, mode 0600, the same on all members."},
			{"/run/holdfast/control.sock", "The daemon's control socket: HTTP with JSON, see API.md."},
			{"/var/lib/holdfast", "Terms, history, policies, and what was changed on this host."},
		}},
		reference.Section{Title: "SEE ALSO", Items: [][2]string{{"", "holdfastd(8), holdfast-mgmt(8), nft(8), conntrack(8)"}}})
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(page); err != nil || got != string(want) {
		t.Errorf("%s is not what the program says (%v): run go test ./cmd/... -run TestManual -update", page, err)
	}
}
