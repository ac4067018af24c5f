// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/holdfast-project/holdfast/internal/reference"
	"github.com/holdfast-project/holdfast/internal/usage"
)

// TestDocumentedCommands: what the documentation tells people to type exists.
func TestDocumentedCommands(t *testing.T) {
	reference.Commands(t, newRoot(environment{getenv: func(string) string { return "" }}), 60)
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
	reference.Page(t, "../../docs/man/holdfast.8", *update, newRoot(environment{getenv: func(string) string { return "" }}),
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
}
