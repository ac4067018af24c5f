// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"testing"

	"github.com/holdfast-project/holdfast/internal/reference"
	"github.com/holdfast-project/holdfast/internal/usage"
)

var update = flag.Bool("update", false, "write the manual page")

// TestDocumentedCommands: what the documentation tells people to type exists.
func TestDocumentedCommands(t *testing.T) {
	reference.Commands(t, newRoot(environment{getenv: func(string) string { return "" }}), 10)
}

// TestExamples: every command has an example, and what it shows exists.
func TestExamples(t *testing.T) {
	root := newRoot(environment{getenv: func(string) string { return "" }})
	for _, path := range usage.Without(root) {
		t.Errorf("%s --help has no example", path)
	}
	reference.Examples(t, root, examples)
}

// TestManual: the manual page says what the program's help does.
func TestManual(t *testing.T) {
	reference.Page(t, "../../docs/man/holdfast-mgmt.8", *update, newRoot(environment{getenv: func(string) string { return "" }}),
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
}
