// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"strings"

	"github.com/holdfast-project/holdfast/internal/terminal"
	"github.com/holdfast-project/holdfast/lab/report"
)

// styleOf is coloured, and as wide as it is, on a terminal.
func styleOf(out io.Writer) report.Style {
	f, ok := out.(*os.File)
	if !ok || !report.Terminal(f) {
		return report.Style{}
	}
	return report.Style{Color: true, Columns: terminal.Width(f)}
}

// tail returns the last lines of a file, indented.
func tail(path string, lines int) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "     " + err.Error() + "\n"
	}
	all := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	var b strings.Builder
	for _, l := range all[max(0, len(all)-lines):] {
		b.WriteString("     " + l + "\n")
	}
	return b.String()
}
