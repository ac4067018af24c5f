// SPDX-License-Identifier: Apache-2.0

// Package reference holds the documentation to its word: what it tells people to type has to exist. It is for tests only, and knows
// nothing of the commands that it is given.
package reference

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

var (
	fenced = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	inline = regexp.MustCompile("`[^`\n]+`")
	word   = regexp.MustCompile(`^[a-z][a-z-]*$`)
	begins = regexp.MustCompile(`^([#$;|]|--|&&|.*=.*)$`) // what a command may follow
	flag   = regexp.MustCompile(`^\[?--?([a-zA-Z][a-z-]*)`)
)

// Check returns what the files that match the patterns tell people to type of root and it does not know, each with its file. It looks at
// code, between lines of words and within them. commands counts the command lines that it has looked at.
func Check(root *cobra.Command, patterns ...string) (commands int, unknown []string, err error) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			return commands, unknown, fmt.Errorf("%s: no files: %w", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return commands, unknown, err
			}
			for _, line := range typed(string(text), root.Name()) {
				commands++
				if why := judge(root, line); why != "" {
					unknown = append(unknown, fmt.Sprintf("%s: %s %s: %s", filepath.Base(file), root.Name(), strings.Join(line, " "), why))
				}
			}
		}
	}
	return commands, unknown, nil
}

// typed returns the words after each occurrence of a program's name where code is.
func typed(text, program string) (lines [][]string) {
	var code []string
	for _, block := range fenced.FindAllString(text, -1) {
		code = append(code, strings.Split(block, "\n")...)
	}
	for _, span := range inline.FindAllString(fenced.ReplaceAllString(text, ""), -1) {
		code = append(code, strings.Trim(span, "`"))
	}
	for _, line := range code {
		words := strings.Fields(strings.NewReplacer(`\|`, "|", ";", " ; ").Replace(line))
		for i, w := range words {
			if i > 0 && w == "#" {
				break // a comment
			}
			if filepath.Base(w) != program || strings.HasPrefix(w, "cmd/") || i > 0 && !begins.MatchString(words[i-1]) {
				continue
			}
			rest := words[i+1:]
			for j, w := range rest {
				if strings.ContainsAny(w[:1], "#;|>&()") {
					rest = rest[:j]
					break
				}
			}
			lines = append(lines, rest)
		}
	}
	return lines
}

// judge says what root does not know of a command line, "" if it knows all.
func judge(root *cobra.Command, line []string) string {
	cmd, arguments := root, false
	for _, w := range line {
		if m := flag.FindStringSubmatch(w); m != nil {
			if !cmd.DisableFlagParsing && !has(cmd, m[1]) {
				return "no flag " + w
			}
			continue
		}
		if arguments {
			continue
		}
		next, _, err := cmd.Find([]string{strings.Trim(w, "[],.:'\"")})
		switch {
		case err == nil && next != cmd:
			cmd = next
		case cmd.HasAvailableSubCommands() && word.MatchString(w):
			return "no command " + w
		default:
			arguments = true
		}
	}
	return ""
}

func has(cmd *cobra.Command, name string) bool {
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	if len(name) == 1 {
		return cmd.Flags().ShorthandLookup(name) != nil || cmd.InheritedFlags().ShorthandLookup(name) != nil
	}
	return cmd.Flag(name) != nil || cmd.InheritedFlags().Lookup(name) != nil
}
