// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"testing"
)

const edge = `table inet filter {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		iifname $holdfast_dev_inside accept
	}
}
`

// do runs a program of ours, or nft, and returns what it says; it must succeed.
func (c *cluster) do(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (c *cluster) try(args ...string) (string, error) {
	out, err := exec.Command("/usr/sbin/"+args[0], args[1:]...).CombinedOutput()
	return string(out), err
}

// table reports whether nf_tables has one whose name has this in it.
func (c *cluster) table(name string) bool {
	c.t.Helper()
	return strings.Contains(c.do("nft", "list", "tables"), name)
}

// TestPolicyUnits lives through what systemd's units let policies do: the boot filter before the network, the daemon that loads, tries and watches a
// ruleset within its restrictions, and management that tries one within its own.
func TestPolicyUnits(t *testing.T) {
	c := newCluster(t)
	units := []string{"holdfastd-boot-filter.service", "holdfastd.service", "holdfast-mgmt.service"}
	if out, err := exec.Command("/usr/bin/systemd-analyze", append([]string{"verify", "--man=no"}, units...)...).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	dir := t.TempDir()
	c.do("holdfast", "policy", "keygen", dir+"/mgmt.key")
	public, err := os.ReadFile(dir + "/mgmt.key.pub")
	c.must(err)
	c.must(os.WriteFile("/etc/holdfast/policy.pub", public, 0o644))
	c.must(os.WriteFile(dir+"/edge.nft", []byte(edge), 0o600))
	c.do("holdfast", "policy", "pack", dir+"/edge.nft", dir+"/1.policy", "--cluster", "7", "--generation", "1", "--key", dir+"/mgmt.key")
	c.configure(strings.Replace(clusterYAML, "monitors:", "policy: {keys: policy.pub, ssh-from: [10.100.0.0/24]}\nmonitors:", 1))
	c.must(os.WriteFile("/run/systemd/system/application.service", []byte("[Service]\nExecStart=/usr/bin/sleep infinity\n"), 0o644))
	c.systemctl("daemon-reload")
	t.Cleanup(func() {
		if t.Failed() {
			for _, unit := range units {
				log, _ := exec.Command("/usr/bin/journalctl", "-u", unit, "-n", "60", "-o", "short-precise", "--no-pager").CombinedOutput()
				t.Logf("%s said:\n%s", unit, log)
			}
		}
		_ = exec.Command("/usr/bin/systemctl", "stop", "holdfast-mgmt").Run() // which is purged, if all went well
		c.systemctl("stop", "holdfastd", "holdfastd-boot-filter", "application")
		_, _ = c.try("nft", "flush", "ruleset")
		c.must(errors.Join(os.RemoveAll("/var/lib/holdfast"), os.RemoveAll("/var/lib/holdfast-mgmt")))
	})
	c.systemctl("start", "holdfastd-boot-filter")
	if rules := c.do("nft", "list", "table", "inet", "holdfast_boot"); !strings.Contains(rules, "10.100.0.0/24 tcp dport 22 accept") {
		t.Fatalf("the boot filter is\n%s", rules)
	}
	c.systemctl("start", "application", "holdfastd")
	c.do("holdfast", "policy", "load", dir+"/1.policy")
	c.await("the policy is in force, and the filter away", func() bool { return c.table("filter.g1") && !c.table("holdfast_boot") })
	c.await("fw1 serves", func() bool { return strings.HasPrefix(c.state(first), "ACTIVE") })

	// A restarted daemon finds out in a scratch namespace what the kernel must have.
	c.systemctl("restart", "holdfastd")
	c.do("nft", "add", "rule", "inet", "filter.g1", "forward", "tcp", "dport", "23", "accept")
	c.await("the change is told", func() bool {
		v, err := c.clients[first].Policy(t.Context())
		return err == nil && strings.Contains(strings.Join(v.Drift, "\n"), "dport 23")
	})
	c.do("holdfast", "policy", "unload")
	if !c.table("holdfast_boot") || c.table("filter.g1") {
		t.Errorf("after unload: %s", c.do("nft", "list", "tables"))
	}
	c.do("nft", "flush", "chain", "inet", "holdfast_boot", "input")
	c.await("the filter is whole again", func() bool {
		return strings.Contains(c.do("nft", "list", "table", "inet", "holdfast_boot"), "10.100.0.0/24 tcp dport 22 accept")
	})

	t.Run("management", func(t *testing.T) {
		data := "/var/lib/holdfast-mgmt"
		c.do("holdfast-mgmt", "init", "--data", data, "--server", "https://127.0.0.1:9443")
		c.systemctl("start", "holdfast-mgmt")
		c.runsAs(t, "holdfast-mgmt")
		// What root puts there later, as a restored store is, becomes the server's too.
		c.systemctl("stop", "holdfast-mgmt")
		c.must(os.Chown(data+"/store.db", 0, 0))
		c.systemctl("start", "holdfast-mgmt")
		as := func(args ...string) (string, error) {
			return c.try(append([]string{"holdfast-mgmt", "--profile", data + "/admin"}, args...)...)
		}
		if out, err := as("cluster", "add", "/etc/holdfast/cluster.yaml"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		// What the kernel alone knows: the ruleset is tried, not only read.
		c.must(os.WriteFile(dir+"/bad.nft", []byte(strings.Replace(edge, "established,related", "established,nonsense", 1)), 0o600))
		if out, err := as("policy", "install", dir+"/bad.nft", "--cluster", "guest"); err == nil || !strings.Contains(out, "bad.nft:4") {
			t.Errorf("a bad ruleset: %v\n%s", err, out)
		}
		// The good one is taken, and no member is enrolled to have it.
		if out, err := as("policy", "install", dir+"/edge.nft", "--cluster", "guest", "--prepare-within", "1s"); err == nil || strings.Contains(out, "edge.nft:") ||
			strings.Contains(out, "not permitted") {
			t.Errorf("a good ruleset: %v\n%s", err, out)
		}
		pid := c.unit("holdfast-mgmt", "MainPID")
		c.debian("/usr/bin/dpkg", "-i", c.archive(serverPackage, newVersion))
		if out, err := as("health"); err != nil || c.unit("holdfast-mgmt", "MainPID") == pid || !strings.Contains(out, newVersion) {
			t.Errorf("an upgrade does not restart the server: %v\n%s", err, out)
		}
		c.debian("/usr/bin/dpkg", "-P", serverPackage)
		if _, err := os.Stat(data + "/keys/ca.key"); err != nil || c.unit("holdfast-mgmt", "ActiveState") != "inactive" {
			t.Errorf("a purge must end the server, and keep the keys, which no backup has: %v", err)
		}
	})
}

// runsAs: a unit's main process is of its own user, not root, and of nobody's groups.
func (c *cluster) runsAs(t *testing.T, unit string) {
	t.Helper()
	who, err := user.Lookup(unit)
	c.must(err)
	status, err := os.ReadFile("/proc/" + c.unit(unit, "MainPID") + "/status")
	c.must(err)
	for _, want := range []string{"\nUid:\t" + who.Uid + "\t" + who.Uid + "\t", "\nGid:\t" + who.Gid + "\t"} {
		if who.Uid == "0" || !strings.Contains(string(status), want) {
			t.Errorf("%s does not run as %s (%s):\n%s", unit, who.Username, who.Uid, status)
		}
	}
}
