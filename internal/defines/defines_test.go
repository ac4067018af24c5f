// SPDX-License-Identifier: Apache-2.0

package defines

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

func cluster(t *testing.T, mode string) *config.Cluster {
	t.Helper()
	c, err := config.Parse("cluster.yaml", []byte(`id: 7
name: edge
`+mode+`
members:
  - name: gw-a
    interfaces:
      isp-1: {device: eth0, addresses: [192.0.2.2/24, "2001:db8::2/64"]}
      isp.1: {device: eth1, addresses: [10.0.0.2/24]}
      sync: {device: eth2, addresses: [10.99.0.2/24]}
  - name: gw-b
    interfaces:
      isp-1: {device: ens0, addresses: [192.0.2.3/24, "2001:db8::3/64"]}
      isp.1: {device: ens1, addresses: [10.0.0.3/24]}
      sync: {device: ens2, addresses: [10.99.0.3/24]}
interfaces:
  - {name: isp-1, role: cluster, vips: [192.0.2.1, 192.0.2.9, "2001:db8::1"]}
  - {name: isp.1, role: cluster, vips: [10.0.0.1]}
  - {name: sync, role: sync}
`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const sharing = "mode: load-sharing\nload-sharing: {published: [10.0.0.80, 10.1.0.0/24]}"

func TestText(t *testing.T) {
	c := cluster(t, sharing)
	const want = `# Written by Holdfast for member gw-b of cluster edge; a change here does not last.

define holdfast_member = 1 # number of this member
define holdfast_members = 2 # how many there are
define holdfast_snat_ports = 49152-65535 # ports that this member may translate to, and no others
define holdfast_snat_all = 32768-65535 # those of all members together
define holdfast_published4 = { 10.0.0.80, 10.1.0.0/24 } # servers that connections to virtual addresses are led to
define holdfast_vips4 = { 192.0.2.1, 192.0.2.9, 10.0.0.1 } # all virtual addresses
define holdfast_vips6 = { 2001:db8::1 } # all virtual addresses

define holdfast_dev_isp_1 = "ens0" # interface isp-1
define holdfast_vip4_isp_1 = 192.0.2.1 # its first virtual address
define holdfast_vip6_isp_1 = 2001:db8::1 # its first virtual address
define holdfast_vips4_isp_1 = { 192.0.2.1, 192.0.2.9 } # all of them
define holdfast_vips6_isp_1 = { 2001:db8::1 } # all of them

define holdfast_dev_isp_1_1 = "ens1" # interface isp.1
define holdfast_vip4_isp_1_1 = 10.0.0.1 # its first virtual address
define holdfast_vips4_isp_1_1 = { 10.0.0.1 } # all of them

define holdfast_dev_sync = "ens2" # interface sync
`
	if got := Text(c, c.Members[1]); got != want {
		t.Errorf("got:\n%s", got)
	}
	if got := Text(cluster(t, "mode: ha"), c.Members[0]); got != "" {
		t.Errorf("without load sharing:\n%s", got)
	}
}

// TestNftTakesThem: the ruleset that the operator's guide shows loads with the definitions of either member.
func TestNftTakesThem(t *testing.T) {
	labtest.Require(t)
	guide, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, ruleset, found := strings.Cut(string(guide), "include \"/run/holdfast/edge/gw-a/defines.nft\"\n")
	ruleset, _, _ = strings.Cut(ruleset, "```")
	if !found || !strings.Contains(ruleset, "$holdfast_snat_ports") {
		t.Fatal("docs/OPERATIONS.md shows no ruleset with the definitions")
	}
	ruleset = strings.NewReplacer("outside", "isp_1", "inside", "isp_1_1").Replace(ruleset)
	c := cluster(t, sharing)
	for _, m := range c.Members {
		path := filepath.Join(t.TempDir(), m.Name, "defines.nft")
		if changed, err := Write(path, Text(c, m)); err != nil || !changed {
			t.Fatal(changed, err)
		}
		whole := filepath.Join(t.TempDir(), "ruleset.nft")
		if err := os.WriteFile(whole, []byte("include \""+path+"\"\n"+ruleset), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("unshare", "-n", "sh", "-c", "nft -f "+whole+" && nft list ruleset").CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s\nof\n%s", m.Name, err, out, ruleset)
		}
		if part := c.LoadSharing.SNATPorts.Part(int(m.ID), 2).String(); !strings.Contains(string(out), ":"+part) {
			t.Errorf("%s does not translate to %s:\n%s", m.Name, part, out)
		}
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "edge", "gw-a", "defines.nft")
	for _, k := range []struct {
		text    string
		changed bool
	}{{"a\n", true}, {"a\n", false}, {"b\n", true}} {
		changed, err := Write(path, k.text)
		got, readErr := os.ReadFile(path)
		if err != nil || readErr != nil || changed != k.changed || string(got) != k.text {
			t.Errorf("%q: changed %v, %q, %v, %v", k.text, changed, got, err, readErr)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".defines-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for range 2 {
		if err := Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "edge")); err == nil {
		t.Error("empty directories are left")
	}
	if _, err := Write("/proc/none/defines.nft", "a"); err == nil || !strings.HasPrefix(err.Error(), "definitions for rulesets: ") {
		t.Errorf("an impossible place: %v", err)
	}
	if got := Path("edge", "gw-a"); got != "/run/holdfast/edge/gw-a/defines.nft" {
		t.Error(got)
	}
}
