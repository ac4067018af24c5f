// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	_ "embed"
	"strings"
)

//go:embed doc.go
var doc string

// Help is what this package's comment says of the steps and conditions of scenarios, for those who have no source at hand.
func Help() string {
	_, text, _ := strings.Cut(doc, "// # Steps\n")
	text, _, _ = strings.Cut(text, "// The package sees everything")
	var out strings.Builder
	out.WriteString("Steps\n")
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "//"), " "), "# ")
		out.WriteString(strings.Replace(line, "\t", "  ", 1))
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}
