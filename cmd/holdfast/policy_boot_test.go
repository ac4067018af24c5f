// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/config"
)

// withPolicy is a cluster.yaml with a section policy.
func withPolicy(t *testing.T, section string) (dir string) {
	t.Helper()
	dir = policyDir(t)
	path := filepath.Join(dir, "cluster.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, []byte("\n"+section+"\n")...), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBootFilter(t *testing.T) {
	for _, tc := range []struct {
		name, section, line string
		code                int
		out, errs           []string
	}{
		{"as configured", `policy: {ssh-from: [192.0.2.0/24], management: ["https://198.51.100.9:8443", "https://mgmt:8443"]}`, "holdfast policy boot-filter --config ./cluster.yaml --print", 0,
			[]string{"table inet holdfast_boot", "ip saddr 192.0.2.0/24 tcp dport 22 accept", "ip daddr 198.51.100.9 tcp dport 8443 accept"}, nil},
		{"no section", "", "holdfast policy boot-filter --config ./cluster.yaml", 0, []string{"nothing to load", "has no section policy"}, nil},
		{"broken", "policy: {ssh-from: [office]}", "holdfast policy boot-filter --config ./cluster.yaml --print", 1,
			[]string{"ip saddr 0.0.0.0/0 tcp dport 22 accept", "hook forward"}, []string{"policy.ssh-from[0]: office"}},
		{"missing", "", "holdfast policy boot-filter --config ./none.yaml --print", 1, []string{"hook forward"}, []string{"no such file"}},
		{"both", "", "holdfast policy boot-filter --print --remove", 2, nil, []string{"choose one"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, errs, code := inDir(t, withPolicy(t, tc.section), strings.Fields(tc.line)...)
			if code != tc.code {
				t.Errorf("exit code %d", code)
			}
			for _, w := range tc.out {
				if !strings.Contains(out, w) {
					t.Errorf("%q is not in\n%s", w, out)
				}
			}
			for _, w := range tc.errs {
				if !strings.Contains(errs, w) {
					t.Errorf("%q is not in\n%s", w, errs)
				}
			}
		})
	}
}

// TestEnrollRefusals: what is wrong is said before anything is asked of anybody.
func TestEnrollRefusals(t *testing.T) {
	for _, tc := range []struct {
		name, section, line, errs string
		code                      int
	}{
		{"no token", "", "holdfast enroll --config ./cluster.yaml --member gw-a", `enroll with no argument; write: holdfast enroll TOKEN`, 2},
		{"no section", "", "holdfast enroll --config ./cluster.yaml --member gw-a x", "has no section policy", 1},
		{"no server", "policy:", "holdfast enroll --config ./cluster.yaml --member gw-a x", "names no management server", 1},
		{"no such member", "policy:", "holdfast enroll --config ./cluster.yaml --member gw-x --url https://192.0.2.1:1 x", `member "gw-x" is not in`, 1},
		{"no input", "policy:", "holdfast enroll --config ./cluster.yaml --member gw-a --url https://192.0.2.1:1 -", "there is no standard input", 1},
		{"no grant", "policy:", "holdfast enroll --config ./cluster.yaml --member gw-a --url https://192.0.2.1:1 x", "token", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, errs, code := inDir(t, withPolicy(t, tc.section), strings.Fields(tc.line)...)
			if code != tc.code || !strings.Contains(errs, tc.errs) {
				t.Errorf("exit code %d: %s", code, errs)
			}
		})
	}
}

// TestKeepPolicyKeys: management's keys are written where there are none, and replace nothing.
func TestKeepPolicyKeys(t *testing.T) {
	dir := withPolicy(t, "policy: {keys: keys.pub}")
	file := filepath.Join(dir, "cluster.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(file, text)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ keys, said string }{
		{"", ""}, {"one\n", "wrote management's public keys"}, {"one", ""}, {"two\n", "has other keys than management"},
	} {
		said, err := keepPolicyKeys(c, file, []byte(tc.keys))
		if err != nil || !strings.Contains(strings.Join(said, ""), tc.said) || tc.said == "" && said != nil {
			t.Errorf("%q: %q, %v", tc.keys, said, err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, "keys.pub")); err != nil || string(got) != "one\n" {
		t.Errorf("%q, %v", got, err)
	}
}
