// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/policy"
)

func TestPolicy(t *testing.T) {
	c := edit(t, "id: 7", `id: 7
policy: {keys: keys.pem, management: ["https://mgmt-a:8443", "https://[2001:db8::9]/"], enforce: true, ssh-from: [192.0.2.0/24, 10.0.0.0/8, 10.0.0.0/8]}`)
	p := c.Policy
	if p.KeysFile != "keys.pem" || !slices.Equal(p.Management, []string{"https://mgmt-a:8443", "https://[2001:db8::9]"}) || !p.Enforce ||
		prefixes(p.SSHFrom) != "10.0.0.0/8, 192.0.2.0/24" {
		t.Errorf("%+v", p)
	}
	if d := edit(t, "id: 7", "id: 7\npolicy:").Policy; d == nil || d.KeysFile != "policy.pub" || d.Enforce {
		t.Errorf("defaults: %+v", d)
	}
	if mustParse(t, sound).Policy != nil {
		t.Error("a policy without the section")
	}
}

// TestPolicyKeys: the keys are part of the digest, whatever their order and their file's name, and can follow one another live.
func TestPolicyKeys(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, text []byte, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	k, err := GenerateKey(1, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteKeys(filepath.Join(dir, "cluster.key"), []Key{k}); err != nil {
		t.Fatal(err)
	}
	var pem [2][]byte
	for i := range pem {
		if _, pem[i], err = policy.GenerateKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	load := func(section string) (*Cluster, error) {
		return Load(write("cluster.yaml", []byte(strings.Replace(sound, "id: 7", "id: 7\n"+section, 1)), 0o600))
	}
	both := func(section string) *Cluster {
		c, err := load(section)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	_, err = load("policy: {}")
	if err == nil || !strings.Contains(err.Error(), "policy.keys: ") || !strings.Contains(err.Error(), "no such file") {
		t.Error("without the file:", err)
	}
	write("policy.pub", []byte("nothing"), 0o644)
	if _, err := load("policy: {}"); err == nil || !strings.Contains(err.Error(), "policy.keys: ") {
		t.Error("a file without a key:", err)
	}
	write("policy.pub", pem[0], 0o644)
	one := both("policy: {}")
	write("policy.pub", slices.Concat(pem[0], pem[1]), 0o644)
	two := both("policy: {management: [\"https://a:1\"], ssh-from: [10.0.0.0/8]}")
	write("turned.pub", slices.Concat(pem[1], pem[0]), 0o644)
	turned := both("policy: {keys: turned.pub}")
	if one.Digest() == two.Digest() || two.Digest() != turned.Digest() || !filepath.IsAbs(two.Policy.KeysFile) {
		t.Errorf("digests %x %x %x, file %s", one.Digest(), two.Digest(), turned.Digest(), two.Policy.KeysFile)
	}
	live, refused := Diff(one, turned)
	if len(refused) > 0 || len(live) != 1 || live[0].Path != "policy.keys" || !strings.Contains(live[0].To, live[0].From) {
		t.Errorf("one key to two: %s, refused %s", text(live), text(refused))
	}
	live, refused = Diff(two, both("policy: {keys: turned.pub, enforce: true}"))
	if got := text(live); got != "policy.enforce: false -> true; policy.ssh-from: 10.0.0.0/8 -> " {
		t.Error(got)
	}
	if got := text(refused); got != "policy.management: https://a:1 -> " {
		t.Error(got)
	}
}
