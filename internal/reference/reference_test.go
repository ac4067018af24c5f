// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestCheck: commands and flags that there are not are found, wherever code is; words are left alone.
func TestCheck(t *testing.T) {
	root := &cobra.Command{Use: "tool"}
	root.PersistentFlags().StringP("output", "o", "", "")
	look := &cobra.Command{Use: "look", RunE: func(*cobra.Command, []string) error { return nil }}
	look.Flags().Bool("long", false, "")
	root.AddCommand(look)
	file := filepath.Join(t.TempDir(), "x.md")
	text := "The tool walks. `tool look --long FILE`, `tool walk`, `tool look -x`, `tool look [--long\\|--short] -o json`.\n\n```\n$ bin/tool look --wide # tool dances\ntool look this --far; tool fly\nmake tool or\nlab -- tool run\n```\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n, unknown, err := Check(root, file)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(unknown, "\n")
	want := "x.md: tool look --wide: no flag --wide\nx.md: tool look this --far: no flag --far\nx.md: tool fly: no command fly\nx.md: tool run: no command run\n" +
		"x.md: tool walk: no command walk\nx.md: tool look -x: no flag -x"
	if n != 8 || got != want {
		t.Errorf("%d command lines:\n%s\nwant\n%s", n, got, want)
	}
}
