// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Versions of the packages that scripts/guest has put into the guest; the second one speaks the next version of the members' protocol.
const (
	packages       = "/holdfast/packages"
	oldVersion     = "1.0.1"
	newVersion     = "1.0.2"
	memberPackage  = "holdfast"
	serverPackage  = "holdfast-mgmt"
	memberUnits    = "holdfastd holdfastd-leave holdfastd-boot-filter"
	operatorsFiles = "/etc/holdfast /etc/holdfast/cluster.key /etc/holdfast/cluster.yaml /etc/holdfast/fw2.yaml"
)

// archive is the file of a package.
func (c *cluster) archive(name, version string) string {
	c.t.Helper()
	all, err := filepath.Glob(filepath.Join(packages, name+"_"+version+"_*.deb"))
	if err != nil || len(all) != 1 {
		c.t.Fatalf("%s %s in %s: %v, %v", name, version, packages, all, err)
	}
	return all[0]
}

// installed makes the first version's packages be there, as they are after an installation.
func (c *cluster) installed() {
	c.t.Helper()
	var missing []string
	for _, name := range []string{memberPackage, serverPackage} {
		out, _ := exec.Command("/usr/bin/dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name).Output()
		if string(out) != "installed "+oldVersion {
			missing = append(missing, c.archive(name, oldVersion))
		}
	}
	if len(missing) > 0 {
		c.debian("/usr/bin/dpkg", append([]string{"-i"}, missing...)...)
	}
}

// debian runs one of Debian's programs, which must succeed, and returns what it says.
func (c *cluster) debian(program string, args ...string) string {
	c.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// tree is what a package could leave behind: all files where packages and their scripts write, but for dpkg's, apt's and the journal's own.
func tree(t *testing.T) []string {
	t.Helper()
	skip := []string{"/var/lib/dpkg", "/var/lib/apt", "/var/lib/systemd", "/var/cache", "/var/log", "/var/tmp", "/usr/lib/modules"}
	var all []string
	for _, root := range []string{"/etc", "/usr", "/var"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || slices.Contains(skip, path) {
				return fs.SkipDir
			}
			all = append(all, path)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// host is what a member has set on the guest, in words.
func (c *cluster) host() string {
	c.t.Helper()
	var b strings.Builder
	for _, name := range []string{"ipv4/conf/all/arp_ignore", "ipv4/conf/all/arp_announce", "ipv4/conf/all/send_redirects", "netfilter/nf_conntrack_tcp_loose"} {
		text, _ := os.ReadFile("/proc/sys/net/" + name)
		b.WriteString(name + " " + string(text))
	}
	b.WriteString(c.debian("/usr/sbin/ip", "-o", "address", "show", "dev", "lo"))
	b.WriteString(c.debian("/usr/sbin/ip", "rule"))
	for _, line := range strings.Split(c.debian("/usr/sbin/bpftool", "net"), "\n") {
		if strings.Contains(line, "holdfast") {
			b.WriteString(line + "\n")
		}
	}
	pinned, _ := filepath.Glob("/sys/fs/bpf/holdfast/*-" + first)
	b.WriteString(strings.Join(pinned, "\n"))
	return b.String()
}

// unit is a property of a unit.
func (c *cluster) unit(name, property string) string {
	c.t.Helper()
	return c.systemctl("show", "--property", property, "--value", name)
}

// enabled says how systemd would start a unit.
func enabled(name string) string {
	out, _ := exec.Command("/usr/bin/systemctl", "is-enabled", name).CombinedOutput()
	return strings.TrimSpace(string(out))
}

// TestPackage lives through what an operator does with the packages: installation, configuration, upgrade member by member, removal, purge.
func TestPackage(t *testing.T) {
	requireGuest(t)
	c := &cluster{t: t}
	before := map[string]bool{}
	for _, path := range tree(t) {
		before[path] = true
	}
	if list := c.debian("/usr/bin/dpkg-query", "-W", "-f", "${Package} "); strings.Contains(list, memberPackage) {
		t.Fatalf("packages are installed already: %s", list)
	}
	c.debian("/usr/bin/apt-get", "-q", "-y", "install", c.archive(memberPackage, oldVersion), c.archive(serverPackage, oldVersion))
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := exec.Command("/usr/bin/journalctl", "-u", "holdfastd*", "-o", "short-precise", "--no-pager").CombinedOutput()
			t.Logf("fw1 said:\n%s", log)
		}
	})
	t.Run("nothing starts by itself", func(t *testing.T) {
		for _, u := range strings.Fields(memberUnits + " holdfast-mgmt") {
			if state, on := c.unit(u, "ActiveState"), enabled(u); state != "inactive" || on != "disabled" {
				t.Errorf("%s is %s and %s", u, state, on)
			}
		}
		if out := c.debian("/usr/bin/dpkg", "--verify", memberPackage, serverPackage); out != "" {
			t.Errorf("not as packed:\n%s", out)
		}
		if info, err := os.Stat("/etc/holdfast"); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("/etc/holdfast: %v, %v", info, err)
		}
	})
	t.Run("without a configuration the daemon says what it lacks", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if out, err := exec.CommandContext(ctx, "/usr/bin/systemctl", "start", "holdfastd").CombinedOutput(); err == nil || ctx.Err() != nil {
			t.Errorf("it started, or nobody is told that it does not: %v, %s", err, out)
		}
		log := c.debian("/usr/bin/journalctl", "-u", "holdfastd", "-p", "err", "-o", "cat", "--no-pager", "_COMM=holdfastd")
		if !strings.Contains(log, "/etc/holdfast/cluster.yaml") {
			t.Errorf("the journal does not say why:\n%s", log)
		}
		c.systemctl("stop", "holdfastd")
	})

	c = newCluster(t)
	t.Run("units", c.units)
	c.debian("/usr/sbin/modprobe", "nf_conntrack")
	c.must(os.WriteFile("/run/systemd/system/application.service", []byte("[Service]\nExecStart=/usr/bin/sleep infinity\n"), 0o644))
	c.systemctl("daemon-reload")
	c.systemctl("start", "application")
	t.Cleanup(func() { c.systemctl("stop", "application") })
	c.must(os.Remove("/etc/holdfast/cluster.key"))
	c.do("holdfast", "key", "generate", "/etc/holdfast/cluster.key")
	c.do("holdfast", "config", "check", "/etc/holdfast/cluster.yaml")
	untouched := c.host()
	c.systemctl("enable", "-q", "--now", "holdfastd", "holdfastd-leave")
	c.await("fw1 serves", func() bool { return c.state(first) == "ACTIVE" })
	if strings.Contains(untouched, "holdfast") || c.host() == untouched {
		t.Fatalf("a member that serves has set nothing on this host:\n%s", c.host())
	}
	endSecond := c.startSecond()
	c.awaitStates("ACTIVE", "STANDBY")
	c.send()
	c.awaitTraffic()

	t.Run("an upgrade, member by member", func(t *testing.T) {
		c.serveFrom(second)
		pid, from := c.mainPID(), time.Now()
		said := c.debian("/usr/bin/dpkg", "-i", c.archive(memberPackage, newVersion))
		if !strings.Contains(said, "the daemon of version "+oldVersion+" runs on") || c.mainPID() != pid || enabled("holdfastd") != "enabled" {
			t.Errorf("process %d became %d, the unit is %s:\n%s", pid, c.mainPID(), enabled("holdfastd"), said)
		}
		c.awaitOneActive()
		t.Logf("%d packets lost while the package was replaced", c.lost(from))
		c.serveFrom(second)
		c.systemctl("restart", "holdfastd")
		c.awaitStates("READY", "ACTIVE") // it is newer than the one that serves
		if v := c.version(first); v != "v"+newVersion {
			t.Errorf("fw1 runs %s", v)
		}
		c.twoProcesses(t)
		// The last one of the old version: the newer one takes over from it.
		endSecond()
		c.await("fw1 serves", func() bool { return c.state(first) == "ACTIVE" })
		c.startSecond()
		c.awaitStates("ACTIVE", "STANDBY")
		if v := c.version(second); v != "v"+newVersion {
			t.Errorf("fw2 runs %s", v)
		}
		c.awaitTraffic()
	})
	t.Run("a removal hands over and leaves nothing", func(t *testing.T) {
		c.debian("/usr/bin/apt-get", "-q", "-y", "remove", memberPackage)
		c.await("fw2 serves", func() bool { return c.state(second) == "ACTIVE" })
		c.awaitTraffic()
		if now := c.host(); now != untouched {
			t.Errorf("before the first start:\n%s\nafter the removal:\n%s", untouched, now)
		}
		for _, kept := range []string{"/etc/holdfast/cluster.yaml", "/etc/holdfast/cluster.key", "/var/lib/holdfast/history.jsonl"} {
			if _, err := os.Stat(kept); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("a removal after a stop that left the gate", func(t *testing.T) {
		c.debian("/usr/bin/dpkg", "-i", c.archive(memberPackage, newVersion))
		if on := enabled("holdfastd"); on != "disabled" {
			t.Errorf("after a new installation holdfastd is %s", on)
		}
		c.systemctl("start", "holdfastd")
		c.awaitStates("STANDBY", "ACTIVE")
		c.systemctl("stop", "holdfastd")
		if c.host() == untouched {
			t.Error("systemctl stop took everything back: the handbook says otherwise")
		}
		c.debian("/usr/bin/dpkg", "-r", memberPackage)
		if now := c.host(); now != untouched {
			t.Errorf("before the first start:\n%s\nafter the removal:\n%s", untouched, now)
		}
	})
	t.Run("a purge leaves what is the operator's", func(t *testing.T) {
		c.debian("/usr/bin/dpkg", "-P", memberPackage, serverPackage)
		left := slices.DeleteFunc(tree(t), func(path string) bool {
			return before[path] || strings.HasPrefix(path, "/var/lib/holdfast-fw2") || strings.HasSuffix(path, "-") // the last: /etc/passwd-
		})
		if want := strings.Fields(operatorsFiles); !slices.Equal(left, want) {
			t.Errorf("left behind: %q, want %q", left, want)
		}
	})
}

// units are read by systemd without a complaint, confine what they start, and come up in the order that they should.
func (c *cluster) units(t *testing.T) {
	all := strings.Fields(memberUnits + " holdfast-mgmt")
	for i, u := range all {
		all[i] = u + ".service"
	}
	if out, err := exec.Command("/usr/bin/systemd-analyze", append([]string{"verify", "--man=no"}, all...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	for u, most := range map[string]float64{"holdfastd": 5, "holdfastd-leave": 4, "holdfastd-boot-filter": 4, "holdfast-mgmt": 2.5} {
		out, _ := exec.Command("/usr/bin/systemd-analyze", "security", "--no-pager", u+".service").Output()
		_, last, _ := strings.Cut(string(out), "Overall exposure level for "+u+".service: ")
		if v, err := strconv.ParseFloat(strings.Fields(last + " none")[0], 64); err != nil || v > most {
			t.Errorf("%s: exposure %v, want at most %v (%v)", u, v, most, err)
		}
	}
	// The filter comes before the network, by nothing but being enabled.
	key := filepath.Join(t.TempDir(), "mgmt.key")
	c.do("holdfast", "policy", "keygen", key)
	c.configure(strings.Replace(clusterYAML, "monitors:", "policy: {keys: "+key+".pub, ssh-from: [10.100.0.0/24]}\nmonitors:", 1))
	defer c.configure(clusterYAML)
	c.systemctl("enable", "-q", "holdfastd-boot-filter")
	c.systemctl("start", "sysinit.target")
	c.await("the boot filter holds", func() bool {
		return c.unit("holdfastd-boot-filter", "ActiveState") == "active" && c.table("holdfast_boot")
	})
	if before := c.unit("holdfastd-boot-filter", "Before"); !strings.Contains(before, "network-pre.target") {
		t.Errorf("the boot filter comes before %q", before)
	}
	c.systemctl("disable", "-q", "--now", "holdfastd-boot-filter")
	c.do("holdfast", "policy", "boot-filter", "--remove")
}

// version is what a member says that it runs.
func (c *cluster) version(member string) string {
	c.t.Helper()
	s, err := c.clients[member].State(c.t.Context())
	c.must(err)
	return s.Version
}

// twoProcesses: the unit has the daemon and its pulse, and nothing of an earlier life.
func (c *cluster) twoProcesses(t *testing.T) {
	t.Helper()
	group := filepath.Join("/sys/fs/cgroup", c.unit("holdfastd", "ControlGroup"))
	var pids []string
	err := filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "cgroup.procs" {
			text, _ := os.ReadFile(path)
			pids = append(pids, strings.Fields(string(text))...)
		}
		return err
	})
	var programs []string
	for _, pid := range pids {
		exe, _ := os.Readlink("/proc/" + pid + "/exe")
		programs = append(programs, exe)
	}
	if want := []string{"/usr/sbin/holdfastd", "/usr/sbin/holdfastd"}; err != nil || !slices.Equal(programs, want) {
		t.Errorf("the unit's processes: %v, %v", programs, err)
	}
}
