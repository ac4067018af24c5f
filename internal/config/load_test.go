// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func key(n byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{n}, KeySize)) }

// install writes the sound file and a key file with a mode, and returns the path of the former.
func install(t *testing.T, keyText string, mode fs.FileMode) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "cluster.yaml")
	if err := os.WriteFile(path, []byte(sound), 0o644); err != nil {
		t.Fatal(err)
	}
	if keyText != "" {
		name := filepath.Join(dir, "cluster.key")
		if err := os.WriteFile(name, []byte(keyText), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestLoad(t *testing.T) {
	path := install(t, "1:"+key(1)+"\n", 0o600)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(filepath.Dir(path), "cluster.key"); c.KeyFile != want {
		t.Errorf("key file %s, want %s", c.KeyFile, want)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// TestLoadNeverWaits: whatever stands where a file should be, it is said, at once.
func TestLoadNeverWaits(t *testing.T) {
	sections := map[string]string{
		"cluster.yaml":   "",
		"cluster.key":    "",
		"notify.secrets": "notify: {snmp: {version: 2c, targets: [\"192.0.2.9:162\"], secrets-file: notify.secrets}}\n",
		"policy.pub":     "policy: {keys: policy.pub}\n",
	}
	for name, section := range sections {
		for what, put := range map[string]func(path string) error{
			"not a regular file": func(path string) error { return unix.Mkfifo(path, 0o600) },
			"a regular file":     func(path string) error { return os.Mkdir(path, 0o700) },
			"more than":          func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40)) },
		} {
			path := install(t, "1:"+key(1)+"\n", 0o600)
			if err := os.WriteFile(path, []byte(sound+section), 0o600); err != nil {
				t.Fatal(err)
			}
			odd := filepath.Join(filepath.Dir(path), name)
			if err := os.Remove(odd); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if err := put(odd); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(path); err == nil || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), odd) {
				t.Errorf("%s: %v, want %q", name, err, what)
			}
		}
	}
}

func TestLoadRefusesKeys(t *testing.T) {
	for _, k := range []struct {
		name, text string
		mode       fs.FileMode
		says       string
	}{
		{"missing", "", 0, "no such file; copy it from another member, or make it: holdfast key generate "},
		{"readable by others", "1:" + key(1), 0o644, "mode 0644: others than its owner can use it; chmod 0600 "},
		{"readable by group", "1:" + key(1), 0o640, "mode 0640"},
		{"empty", "# nothing\n", 0o600, "no key; write one or two lines"},
		{"no number", key(1), 0o600, "line 1: no key number"},
		{"number zero", "0:" + key(1), 0o600, "line 1: no key number"},
		{"big number", "256:" + key(1), 0o600, "line 1: no key number"},
		{"not base64", "1:!!", 0o600, "line 1: not base64"},
		{"short", "1:QUJD", 0o600, "line 1: 3 bytes, not 32"},
		{"zeros", "1:" + key(0), 0o600, "line 1: a key of zeros"},
		{"same slot", "1:" + key(1) + "\n5:" + key(2), 0o600, "numbers 1 and 5 are the same modulo 4; number the new key 2"},
		{"three", "1:" + key(1) + "\n2:" + key(2) + "\n3:" + key(3), 0o600, "line 3: a third key"},
	} {
		_, err := Load(install(t, k.text, k.mode))
		if err == nil || !strings.Contains(err.Error(), "cluster.yaml:1: key-file: ") || !strings.Contains(err.Error(), k.says) {
			t.Errorf("%s: %v", k.name, err)
		}
		if err != nil && strings.Contains(err.Error(), key(1)) {
			t.Errorf("%s: the error shows the key", k.name)
		}
	}
}

func TestKeysRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	want := []Key{{Number: 3, Secret: [KeySize]byte{1}}, {Number: 4, Secret: [KeySize]byte{2}}}
	if err := WriteKeys(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := LoadKey(path)
	if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v %v", got, err)
	}
	if _, err := LoadKey(filepath.Dir(path)); err == nil {
		t.Error("a directory was read as a key")
	}
	if err := WriteKeys(filepath.Join(path, "below"), want); err == nil {
		t.Error("a key file below a file was written")
	}
}
