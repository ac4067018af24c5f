// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/policy"
)

// policyDir is a directory with a key that is always the same, so that signatures are, and with policies.
func policyDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"key":     pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		"key.pub": policy.EncodePublicKey(key.Public().(ed25519.PublicKey)),
	}
	for _, name := range []string{"edge.nft", "worse.nft", "broken.nft", "cluster.yaml"} {
		text, err := os.ReadFile(filepath.Join("testdata", "policy", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = text
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// inDir runs a command line in which a path begins with a dot and a slash.
func inDir(t *testing.T, dir string, args ...string) (out, errs string, code int) {
	t.Helper()
	for i := range args {
		if rest, ok := strings.CutPrefix(args[i], "./"); ok {
			args[i] = filepath.Join(dir, rest)
		}
	}
	out, errs, code = invoke(t.Context(), t, "/nonexistent", false, args...)
	return strings.ReplaceAll(out, dir+"/", ""), strings.ReplaceAll(errs, dir+"/", ""), code
}

// TestPolicyGolden plays a session: each command with its exit code and what it says.
func TestPolicyGolden(t *testing.T) {
	dir := policyDir(t)
	var got strings.Builder
	pack := "holdfast policy pack --cluster 7 --key ./key --created 2026-03-04T00:00:00Z "
	for _, line := range []string{
		pack + "--generation 41 --author anna --comment first|line --sync dns=never --sync http=3s --keep inet|filter|blocked ./edge.nft ./41.policy",
		pack + "--generation 42 --author ben --connections rematch ./worse.nft ./42.policy",
		pack + "--generation 43 --origin 41 --sync http=3s --sync dns=never --keep inet|filter|blocked ./edge.nft ./43.policy",
		pack + "--generation 44 ./broken.nft ./44.policy",
		pack + "--generation 41 ./edge.nft ./41.policy",
		pack + "--generation 45 --keep inet|filter|gone ./edge.nft ./45.policy",
		pack + "--generation 45 --keep blocked ./edge.nft ./45.policy",
		pack + "--generation 45 --sync dns ./edge.nft ./45.policy",
		pack + "--generation 45 --sync gopher=never ./edge.nft ./45.policy",
		pack + "--generation 0 ./edge.nft ./45.policy",
		pack + "--generation 45 ./cluster.yaml ./45.policy",
		"holdfast policy pack ./edge.nft ./45.policy",
		"holdfast policy inspect ./41.policy",
		"holdfast policy inspect ./43.policy -o json",
		"holdfast policy inspect ./edge.nft",
		"holdfast policy verify ./41.policy --key ./key.pub --config ./cluster.yaml",
		"holdfast policy verify ./42.policy --key ./key.pub --config ./cluster.yaml",
		"holdfast policy verify ./42.policy --key ./key.pub --config ./cluster.yaml --strict -o json",
		"holdfast policy verify ./44.policy --key ./key.pub --config ./cluster.yaml",
		"holdfast policy verify ./41.policy --key ./key.pub --cluster 8",
		"holdfast policy verify ./41.policy --key ./key.pub --floor 42",
		"holdfast policy verify ./41.policy --key ./key",
		"holdfast policy diff ./41.policy ./42.policy",
		"holdfast policy diff ./41.policy ./42.policy -o json",
		"holdfast policy diff ./41.policy ./43.policy",
		"holdfast policy defines --config ./cluster.yaml",
		"holdfast policy defines --config ./cluster.yaml --member gw-c",
	} {
		args := strings.Fields(line)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "|", " ")
		}
		out, errs, code := inDir(t, dir, args...)
		got.WriteString("$ " + line + "\n" + out + errs)
		if code != 0 {
			got.WriteString("exit code " + string(rune('0'+code)) + "\n")
		}
		got.WriteString("\n")
	}
	path := filepath.Join("testdata", "policy", "session.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("%s\nwant:\n%s", got.String(), want)
	}
}

func TestPolicyKeygen(t *testing.T) {
	dir := policyDir(t)
	if out, errs, code := inDir(t, dir, "holdfast", "policy", "keygen", "./mine"); code != 0 || !strings.Contains(out, "mine.pub") {
		t.Fatal(out, errs, code)
	}
	if info, err := os.Stat(filepath.Join(dir, "mine")); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	if _, errs, code := inDir(t, dir, "holdfast", "policy", "keygen", "./mine"); code != 1 || !strings.Contains(errs, "there already") {
		t.Error(errs, code)
	}
	if _, errs, code := inDir(t, dir, "holdfast", "policy", "pack", "--cluster", "7", "--generation", "1", "--key", "./mine", "./edge.nft", "./a"); code != 0 {
		t.Error(errs, code)
	}
	if out, errs, code := inDir(t, dir, "holdfast", "policy", "verify", "./a", "--key", "./mine.pub"); code != 0 {
		t.Error(out, errs, code)
	}
	if _, errs, code := inDir(t, dir, "holdfast", "policy", "verify", "./a", "--key", "./key.pub"); code != 1 || !strings.Contains(errs, "unknown key") {
		t.Error(errs, code)
	}
	out, _, code := inDir(t, dir, "holdfast", "policy", "inspect", "./a", "--ruleset")
	if want, _ := os.ReadFile(filepath.Join(dir, "edge.nft")); code != 0 || out != string(want) {
		t.Error(out)
	}
}

func TestPolicyCheck(t *testing.T) {
	labtest.Require(t, "nft")
	dir := policyDir(t)
	if _, errs, code := inDir(t, dir, "holdfast", "policy", "pack", "--cluster", "7", "--generation", "1", "--key", "./key", "--keep", "inet filter blocked", "./edge.nft", "./a"); code != 0 {
		t.Fatal(errs)
	}
	for _, k := range []struct {
		args, want string
		code       int
	}{
		{"./a --config ./cluster.yaml", "gw-a: well\ngw-b: well\n", 0},
		{"./edge.nft --config ./cluster.yaml --member gw-b", "gw-b: well\n", 0},
		{"./broken.nft --config ./cluster.yaml --member gw-a", "gw-a: cannot be loaded\n  broken.nft:13: unknown identifier 'holdfast_dev_dmz'", 1},
	} {
		out, errs, code := inDir(t, dir, append([]string{"holdfast", "policy", "check"}, strings.Fields(k.args)...)...)
		if !strings.HasPrefix(out, k.want) || code != k.code {
			t.Errorf("%s: %q %s, exit code %d", k.args, out, errs, code)
		}
	}
}
