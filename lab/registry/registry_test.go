// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestOpenSweepsKilledOnly(t *testing.T) {
	root := t.TempDir()
	own, err := Open(root, "mine")
	if err != nil {
		t.Fatal(err)
	}
	// A record of this process's number but another start is of a process that is gone.
	killed := own.Record
	killed.ID, killed.Start = "hfl1", own.Start+1
	text, err := json.Marshal(killed)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"hfl1.json": string(text), "hfl2.json": "{half"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "hfl1", "fw1", "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	swept, err := Sweep(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(swept) != 2 {
		t.Errorf("swept %+v, want hfl1 and hfl2", swept)
	}
	left, err := List(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 || left[0].ID != own.ID || !left[0].Running {
		t.Errorf("left are %+v, want this process's only", left)
	}
	if err := own.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 0 {
		t.Errorf("left in %s: %v", root, entries)
	}
}
