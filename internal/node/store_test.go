// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := openStore(dir, nil)
	if err != nil || s.TermCeiling != 0 || s.AdminDown {
		t.Fatalf("a new member remembers %+v, %v", s.stored, err)
	}
	if err := s.reserve(7); err != nil {
		t.Fatal(err)
	}
	if err := s.setAdminDown(true); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	again, err := openStore(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again.TermCeiling <= 7 || !again.AdminDown {
		t.Errorf("after a restart: %+v", again.stored)
	}
	before, err := os.Stat(again.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.reserve(again.TermCeiling); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(again.path); err != nil || !after.ModTime().Equal(before.ModTime()) || !os.SameFile(before, after) {
		t.Error("a term below the ceiling was written to disk: a claim would wait for it")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.json.*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStoreDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "member.json"), []byte("{\"term_ceiling\": 12"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := openStore(dir, nil)
	if err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("a damaged file gave %v", err)
	}
}
