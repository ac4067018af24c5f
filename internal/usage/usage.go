// SPDX-License-Identifier: Apache-2.0

// Package usage is what the commands say about how they are called: what was wrong with a command line and how to write it, and an
// example for each command. It knows cobra and nothing of Holdfast.
package usage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Error is a command line that was not understood.
type Error struct{ error }

// New makes an Error of err, which must not be nil.
func New(err error) *Error { return &Error{err} }

// Unwrap implements errors' chain.
func (e *Error) Unwrap() error { return e.error }

// Arguments wraps a check of the arguments so that what it refuses is an Error that shows how the command is written.
func Arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		switch {
		case err == nil:
			return nil
		case cmd.HasAvailableSubCommands() && len(args) > 0:
			return New(fmt.Errorf("unknown command %q for %q%s; it has %s", args[0], cmd.CommandPath(), meant(cmd, args[0]), strings.Join(below(cmd), ", ")))
		case len(cmd.ValidArgs) > 0 && len(args) > 0:
			return New(fmt.Errorf("%s %s: not known here; choose %s", short(cmd), strings.Join(args, " "), strings.Join(cmd.ValidArgs, ", ")))
		}
		count := fmt.Sprintf("%d arguments", len(args))
		switch len(args) {
		case 0:
			count = "no argument"
		case 1:
			count = fmt.Sprintf("one argument, %q", args[0])
		}
		return New(fmt.Errorf("%s with %s; write: %s; see %s --help", short(cmd), count, strings.TrimSuffix(cmd.UseLine(), " [flags]"), cmd.CommandPath()))
	}
}

// short is a command's path without the program's name, which the program begins all its errors with.
func short(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// meant is the command below that was likely meant by a word.
func meant(cmd *cobra.Command, typed string) string {
	if cmd.SuggestionsMinimumDistance == 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if s := cmd.SuggestionsFor(typed); len(s) > 0 {
		return ", did you mean " + strings.Join(s, " or ") + "?"
	}
	return ""
}

func below(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// Flags is for cobra's SetFlagErrorFunc: it makes an Error that says how the value is written.
func Flags(cmd *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		return New(fmt.Errorf("--%s %s: %s; see %s --help", value.GetFlag().Name, value.GetValue(), written(value), cmd.CommandPath()))
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if digits := unknown.GetSpecifiedShortnames(); strings.Trim(digits, "0123456789.") == "" && digits != "" {
			return New(fmt.Errorf("-%s: no number below 0 has a meaning here; see %s --help", digits, cmd.CommandPath()))
		}
	}
	return New(fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
}

func written(value *pflag.InvalidValueError) string {
	switch value.GetFlag().Value.Type() {
	case "duration":
		return "write a number with its unit: 500ms, 30s, 2m, 1h"
	case "uint16":
		return "write a whole number, 0 to 65535"
	case "uint32":
		return "write a whole number, 0 to 4294967295"
	case "uint", "uint64":
		return "write a whole number, 0 or more"
	case "int":
		return "write a whole number"
	}
	return value.Unwrap().Error()
}

// Examples gives commands below root their examples: the key is a command's path without root's name, each line of the value is a
// command line. A path that does not exist is an error, so that no example outlives its command.
func Examples(root *cobra.Command, examples map[string]string) error {
	for path, lines := range examples {
		cmd, rest, err := root.Find(strings.Fields(path))
		if err != nil || len(rest) > 0 || cmd == root {
			return fmt.Errorf("example of %q: no such command", path)
		}
		cmd.Example = "  " + strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\n  ")
	}
	return nil
}

// Without returns the paths of the commands below root that can be run, do more than show their help, and have no example.
func Without(root *cobra.Command) []string {
	var paths []string
	for _, c := range root.Commands() {
		if !c.IsAvailableCommand() || c.Name() == "completion" || c.Name() == "help" {
			continue
		}
		if c.Example == "" {
			paths = append(paths, c.CommandPath())
		}
		paths = append(paths, Without(c)...)
	}
	return paths
}
