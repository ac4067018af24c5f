// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Section is a part of a manual page beside what the commands say of themselves. Each item is a term and what it means; one without a
// term is a paragraph.
type Section struct {
	Title string
	Items [][2]string
}

// Manual is the manual page of a program, section 8 of the manual: what its --help says, of all commands in one page.
func Manual(root *cobra.Command, sections ...Section) string {
	m := &manual{}
	name := root.Name()
	m.line(`.\" SPDX-License-Identifier: Apache-2.0`)
	m.line(`.\" Made of the program's own help by its tests (go test -update); do not edit.`)
	m.line(`.TH %s 8 "" "Holdfast" "Holdfast manual"`, strings.ToUpper(roff(name)))
	m.line(".SH NAME\n%s \\- %s", roff(name), roff(lower(root.Short)))
	m.line(".SH SYNOPSIS\n.B %s\n[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]", roff(name))
	m.line(".SH DESCRIPTION")
	m.paragraphs(root.Long)
	m.line(".SH OPTIONS")
	m.flags(root.PersistentFlags())
	m.line(".SH COMMANDS")
	m.commands(root)
	for _, s := range sections {
		m.line(".SH %s", roff(s.Title))
		for _, i := range s.Items {
			if i[0] == "" {
				m.line(".PP\n%s", roff(i[1]))
				continue
			}
			m.line(".TP\n.B %s\n%s", roff(i[0]), roff(i[1]))
		}
	}
	return m.b.String()
}

type manual struct{ b strings.Builder }

func (m *manual) line(format string, args ...any) { fmt.Fprintf(&m.b, format+"\n", args...) }

func (m *manual) paragraphs(text string) {
	for _, p := range strings.Split(text, "\n\n") {
		m.line(".PP")
		for _, l := range strings.Split(p, "\n") {
			m.line("%s", roff(l))
		}
	}
}

func (m *manual) commands(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if !c.IsAvailableCommand() || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.HasAvailableSubCommands() && c.Flags().HasFlags() || c.Example != "" {
			m.line(".SS %s", roff(strings.TrimSuffix(c.UseLine(), " [flags]")))
			if c.Long == "" {
				m.line("%s.", roff(c.Short))
			} else if c.DisableFlagParsing { // its help is a table
				m.line(".EX\n%s\n.EE", roff(c.Long))
			} else {
				m.paragraphs(c.Long)
			}
			m.flags(c.LocalNonPersistentFlags())
			m.line(".PP\n.EX\n%s\n.EE", roff(c.Example))
		}
		m.commands(c)
	}
}

func (m *manual) flags(set *pflag.FlagSet) {
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		spelling := "--" + f.Name
		if f.Shorthand != "" {
			spelling = "-" + f.Shorthand + ", " + spelling
		}
		head := `\fB` + roff(spelling) + `\fR`
		if value != "" {
			head += ` \fI` + roff(value) + `\fR`
		}
		m.line(".TP\n%s\n%s", head, roff(usage+standing(f)))
	})
}

// standing says what a flag is when it is not given. What depends on the host is left out: the page is the same everywhere.
func standing(f *pflag.Flag) string {
	if strings.Contains(f.Usage, "default") || strings.Contains(f.Usage, "environment") {
		return ""
	}
	switch f.DefValue {
	case "", "0", "0s", "false", "[]":
		return ""
	}
	return " (default " + f.DefValue + ")"
}

func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// roff escapes what the formatter would take for an order of its own.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
