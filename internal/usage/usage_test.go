// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// tree is a program with a command that looks, one that has commands below it, and one with a choice.
func tree() *cobra.Command {
	root := &cobra.Command{Use: "prog", SilenceErrors: true, SilenceUsage: true}
	root.SetFlagErrorFunc(Flags)
	run := func(*cobra.Command, []string) error { return nil }
	look := &cobra.Command{Use: "look", Args: Arguments(cobra.NoArgs), RunE: run}
	group := &cobra.Command{Use: "group", Args: Arguments(cobra.NoArgs), RunE: run}
	to := &cobra.Command{Use: "to NAME", Args: Arguments(cobra.ExactArgs(1)), RunE: run}
	to.Flags().Duration("for", time.Second, "how long")
	to.Flags().Uint16("port", 0, "a port")
	to.Flags().Int("last", 0, "a number")
	to.Flags().BoolP("quiet", "q", false, "say nothing")
	reset := &cobra.Command{Use: "reset [all]", Args: Arguments(cobra.OnlyValidArgs), ValidArgs: []string{"all", "some"}, RunE: run}
	group.AddCommand(to, reset)
	root.AddCommand(look, group)
	return root
}

func TestWhatIsSaid(t *testing.T) {
	for line, want := range map[string]string{
		"look":                    "",
		"look here":               `look with one argument, "here"; write: prog look; see prog look --help`,
		"group too x":             `unknown command "too" for "prog group", did you mean to?; it has reset, to`,
		"group nonsense":          `unknown command "nonsense" for "prog group"; it has reset, to`,
		"group to":                `group to with no argument; write: prog group to NAME; see prog group to --help`,
		"group to a b":            `group to with 2 arguments; write: prog group to NAME; see prog group to --help`,
		"group to a":              "",
		"group to a --for 3":      `--for 3: write a number with its unit: 500ms, 30s, 2m, 1h; see prog group to --help`,
		"group to a --port x":     `--port x: write a whole number, 0 to 65535; see prog group to --help`,
		"group to a --port 70000": `--port 70000: write a whole number, 0 to 65535; see prog group to --help`,
		"group to a --last x":     `--last x: write a whole number; see prog group to --help`,
		"group to a -10":          `-10: no number below 0 has a meaning here; see prog group to --help`,
		"group to a -q1":          `-1: no number below 0 has a meaning here; see prog group to --help`,
		"group to a -x":           `unknown shorthand flag: 'x' in -x; see prog group to --help`,
		"group to a --fro 3":      `unknown flag: --fro; see prog group to --help`,
		"group reset none":        `group reset none: not known here; choose all, some`,
	} {
		root := tree()
		root.SetArgs(strings.Fields(line))
		root.SetOut(io.Discard)
		err := root.Execute()
		got := ""
		if err != nil {
			got = err.Error()
			var usage *Error
			if !errors.As(err, &usage) {
				t.Errorf("%s: %T is no usage error", line, err)
			}
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", line, got, want)
		}
	}
}

func TestExamples(t *testing.T) {
	root := tree()
	if got := strings.Join(Without(root), ", "); got != "prog group, prog group reset, prog group to, prog look" {
		t.Errorf("without an example: %s", got)
	}
	if err := Examples(root, map[string]string{"look": "prog look", "group": "prog group to a", "group to": "prog group to a\nprog group to b", "group reset": "prog group reset"}); err != nil {
		t.Fatal(err)
	}
	if left := Without(root); left != nil {
		t.Errorf("still without an example: %v", left)
	}
	to, _, _ := root.Find([]string{"group", "to"})
	if to.Example != "  prog group to a\n  prog group to b" {
		t.Errorf("example %q", to.Example)
	}
	for _, path := range []string{"", "group nobody", "look there"} {
		if Examples(root, map[string]string{path: "x"}) == nil {
			t.Errorf("an example of %q was taken", path)
		}
	}
}
