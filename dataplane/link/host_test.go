// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var vmac = [6]byte{0x02, 0x48, 0, 1, 0, 0}

// desired is a cluster interface with VIPs of every sort.
func desired() Desired {
	return Desired{Interfaces: []Interface{{
		Name:  "e0",
		VMACs: [][6]byte{vmac},
		VIPs: []VIP{
			{Addr: netip.MustParseAddr("10.0.0.100")},
			{Addr: netip.MustParseAddr("203.0.113.7")},
			{Addr: netip.MustParseAddr("2001:db8::100")},
			{Addr: netip.MustParseAddr("fe80::4846:1:0")},
		},
	}}}
}

// segment is a member with an interface e0 and a neighbour with p0 at its other end.
func segment(t *testing.T) (member, peer *linktest.Namespace) {
	t.Helper()
	t.Parallel() // the tests wait more than they work
	member, peer = linktest.New(t), linktest.New(t)
	linktest.Veth(member, "e0", peer, "p0")
	member.Addr("e0", "10.0.0.1/24")
	member.Addr("e0", "2001:db8::1/64")
	peer.Addr("p0", "10.0.0.2/24")
	peer.Addr("p0", "2001:db8::2/64")
	waitUsable(t, member, "e0")
	return member, peer
}

// waitUsable waits until no IPv6 address of the interface is tentative, so that dumps are stable.
func waitUsable(t *testing.T, n *linktest.Namespace, name string) {
	t.Helper()
	n.Run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/"+name+"/accept_dad")
	n.SetUp(name, false)
	n.SetUp(name, true)
	n.Addr(name, "2001:db8::1/64") // flushed by going down
	for range 200 {
		if !strings.Contains(n.Run("ip", "-6", "addr", "show", "dev", name), "tentative") {
			return
		}
		n.Run("sleep", "0.01")
	}
	t.Fatalf("%s: still tentative", name)
}

// dump is everything that Host may touch, from the tools' point of view.
func dump(n *linktest.Namespace) string {
	var b strings.Builder
	for _, command := range []string{
		"ip -d addr show", "ip -4 -d rule", "ip -6 -d rule", "ip -4 route show table all", "ip -6 route show table all",
		"ip maddr show", "bridge fdb show", "ip -d link show",
		"cd /proc/sys/net && grep -r . ipv4/conf ipv6/conf 2>/dev/null | grep -v stable_secret | sort",
	} {
		out := n.Run("sh", "-c", command)
		lines := strings.Split(out, "\n")
		if strings.HasPrefix(command, "bridge") || strings.HasPrefix(command, "ip maddr") {
			sort.Strings(lines) // order of joining is not state
		}
		b.WriteString("# " + command + "\n" + strings.Join(lines, "\n") + "\n")
	}
	return b.String()
}

func apply(t *testing.T, n *linktest.Namespace, path string, d Desired) *Host {
	t.Helper()
	var h *Host
	n.Do(func() error {
		var err error
		if h, err = OpenHost(path, nil); err != nil {
			return err
		}
		return h.Apply(d)
	})
	return h
}

func restore(t *testing.T, n *linktest.Namespace, h *Host) {
	t.Helper()
	n.Do(h.Restore)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustContain(t *testing.T, what, s string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(s, p) {
			t.Errorf("%s: %q is missing in\n%s", what, p, s)
		}
	}
}

func sameDump(t *testing.T, before, after string) {
	t.Helper()
	if before == after {
		return
	}
	b, a := strings.Split(before, "\n"), strings.Split(after, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("the host is not as before:\n- %s\n+ %s", b[i], a[i])
		}
	}
	t.Fatalf("the host is not as before: %d lines, then %d", len(b), len(a))
}

func TestApplyAndRestore(t *testing.T) {
	member, _ := segment(t)
	path := filepath.Join(t.TempDir(), "host.json")
	before := dump(member)
	h := apply(t, member, path, desired())

	mustContain(t, "lo", member.Run("ip", "-d", "addr", "show", "dev", "lo"),
		"inet 10.0.0.100/32 scope host", "203.0.113.7/32 scope host", "2001:db8::100/128 scope global", "deprecated")
	mustContain(t, "rules", member.Run("ip", "-d", "rule"),
		"0:\tfrom all iif lo lookup 18502 proto 72", "1:\tfrom all lookup local")
	mustContain(t, "ipv6 rules", member.Run("ip", "-6", "-d", "rule"),
		"0:\tfrom all iif lo lookup 18502 proto 72", "1:\tfrom all lookup local")
	mustContain(t, "routes", member.Run("ip", "route", "show", "table", "18502"),
		"10.0.0.100 dev e0 proto 72 scope link", "203.0.113.7 dev e0")
	mustContain(t, "groups", member.Run("ip", "maddr", "show", "dev", "e0"), "ff02::1:ff00:100", "ff02::1:ff01:0")
	mustContain(t, "filter", member.Run("bridge", "fdb", "show", "dev", "e0"), "02:48:00:01:00:00 self permanent")
	mustContain(t, "sysctls", dump(member), "ipv4/conf/e0/arp_ignore:1", "ipv4/conf/e0/arp_announce:2",
		"ipv4/conf/e0/send_redirects:0", "ipv4/conf/all/send_redirects:0")

	applied := dump(member)
	member.Do(func() error { return h.Apply(desired()) })
	sameDump(t, applied, dump(member)) // idempotent

	restore(t, member, h)
	sameDump(t, before, dump(member))
	if _, err := os.Stat(path); err == nil {
		t.Error("the record is still there")
	}
}

func TestRestoreAfterCrash(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage string // done to the host between the crash and the next start
	}{
		{name: "after apply"},
		{name: "rules half moved", damage: "ip rule add priority 0 lookup local protocol kernel"},
		{name: "rules half moved back", damage: "ip rule del priority 0 iif lo lookup 18502"},
		{name: "half applied", damage: "ip addr del 10.0.0.100/32 dev lo; ip route flush table 18502; echo 0 > /proc/sys/net/ipv4/conf/e0/arp_ignore"},
	} {
		for _, again := range []bool{true, false} {
			t.Run(tt.name, func(t *testing.T) {
				member, _ := segment(t)
				path := filepath.Join(t.TempDir(), "host.json")
				before := dump(member)
				if err := apply(t, member, path, desired()).Close(); err != nil {
					t.Fatal(err)
				}
				if tt.damage != "" {
					member.Run("sh", "-c", tt.damage)
				}
				var h *Host
				member.Do(func() (err error) { h, err = OpenHost(path, nil); return err })
				if again {
					member.Do(func() error { return h.Apply(desired()) })
					mustContain(t, "lo", member.Run("ip", "addr", "show", "dev", "lo"), "10.0.0.100/32")
					mustContain(t, "rules", member.Run("ip", "rule"), "0:\tfrom all iif lo lookup 18502", "1:\tfrom all lookup local")
				}
				restore(t, member, h)
				sameDump(t, before, dump(member))
			})
		}
	}
}

func TestWhatAUserHadSetStays(t *testing.T) {
	member, _ := segment(t)
	member.Run("sh", "-c", "ip addr add 10.0.0.100/32 dev lo; echo 1 > /proc/sys/net/ipv4/conf/e0/arp_ignore; "+
		"echo 1 > /proc/sys/net/ipv4/conf/e0/arp_announce; bridge fdb add 02:48:00:01:00:00 dev e0 self permanent")
	path := filepath.Join(t.TempDir(), "host.json")
	before := dump(member)
	h := apply(t, member, path, desired())
	restore(t, member, h)
	sameDump(t, before, dump(member))
}

func TestApplyTakesBackWhatIsNoLongerDesired(t *testing.T) {
	member, _ := segment(t)
	path := filepath.Join(t.TempDir(), "host.json")
	before := dump(member)
	h := apply(t, member, path, desired())
	less := desired()
	less.Interfaces[0].VIPs = less.Interfaces[0].VIPs[:1]
	member.Do(func() error { return h.Apply(less) })
	lo := member.Run("ip", "addr", "show", "dev", "lo")
	mustContain(t, "lo", lo, "10.0.0.100/32")
	if strings.Contains(lo, "203.0.113.7") || strings.Contains(lo, "2001:db8::100") {
		t.Errorf("VIPs that are no longer desired are still on lo:\n%s", lo)
	}
	if rules := member.Run("ip", "-6", "rule"); strings.Contains(rules, "18502") || !strings.Contains(rules, "0:\tfrom all lookup local") {
		t.Errorf("no IPv6 VIP is left, but the rules are not as before:\n%s", rules)
	}
	restore(t, member, h)
	sameDump(t, before, dump(member))
}

// TestRenamedDevice: what was set on a device stays when it is renamed, and Restore finds it there.
func TestRenamedDevice(t *testing.T) {
	member, _ := segment(t)
	path := filepath.Join(t.TempDir(), "host.json")
	rename := func(from, to string) {
		member.Run("ip", "link", "set", from, "down")
		member.Run("ip", "link", "set", from, "name", to)
		member.Run("ip", "link", "set", to, "up")
		waitUsable(t, member, to)
	}
	rename("e0", "wan0")
	before := dump(member)
	rename("wan0", "e0")
	d := desired()
	h := apply(t, member, path, d)
	rename("e0", "wan0")
	d.Interfaces[0].Name = "wan0"
	member.Do(func() error { return h.Apply(d) })
	mustContain(t, "renamed", member.Run("bridge", "fdb", "show", "dev", "wan0"), "02:48:00:01:00:00")
	if got := strings.TrimSpace(member.Run("cat", "/proc/sys/net/ipv4/conf/wan0/arp_ignore")); got != "1" {
		t.Errorf("arp_ignore of the renamed device is %s, want 1", got)
	}
	restore(t, member, h)
	if after := dump(member); after != before {
		t.Errorf("after Restore:\n%s\nbefore Apply:\n%s", after, before)
	}
}

// TestBlindApplyChangesNothing: a device that cannot be looked at, for want of files or memory, is not gone, and keeps what is set on it. One
// that is gone has lost it, which is no error.
func TestBlindApplyChangesNothing(t *testing.T) {
	member, _ := segment(t)
	d := desired()
	d.NAPIPriority, d.NAPIDevices = 20, []string{"e0"}
	h := apply(t, member, filepath.Join(t.TempDir(), "host.json"), d)
	before := dump(member)
	sight := h.index
	for _, trouble := range []error{unix.EMFILE, unix.ENOBUFS, os.ErrDeadlineExceeded} {
		h.index = func(string) (int, error) { return 0, trouble }
		member.Do(func() error {
			if err := h.Apply(d); !errors.Is(err, trouble) {
				t.Errorf("Apply: %v, want %v", err, trouble)
			}
			return nil
		})
		sameDump(t, before, dump(member))
	}
	h.index = sight
	member.Run("ip", "link", "del", "e0")
	d.Interfaces, d.NAPIDevices = nil, nil
	member.Do(func() error { return h.Apply(d) })
	restore(t, member, h)
}

// TestFullDisk: a disk that refuses the record keeps nothing from being set; it is written when that works again, and all is taken back.
func TestFullDisk(t *testing.T) {
	member, _ := segment(t)
	before := dump(member)
	path := filepath.Join(t.TempDir(), "host.json")
	if err := os.Mkdir(path+".new", 0o700); err != nil { // no file can be written there
		t.Fatal(err)
	}
	h := apply(t, member, path, desired())
	if h.Unrecorded() == "" {
		t.Error("the record could not be written, and that is not said")
	}
	mustContain(t, "addresses", member.Run("ip", "addr", "show", "dev", "lo"), "10.0.0.100/32")
	if err := os.Remove(path + ".new"); err != nil {
		t.Fatal(err)
	}
	member.Do(func() error { return h.Apply(desired()) })
	if _, err := os.Stat(path); err != nil || h.Unrecorded() != "" {
		t.Errorf("the disk works again: %v, %q", err, h.Unrecorded())
	}
	if err := os.Remove(path); err != nil { // by somebody who tidied up
		t.Fatal(err)
	}
	member.Do(func() error { return h.Apply(desired()) })
	if _, err := os.Stat(path); err != nil || h.Unrecorded() != "" {
		t.Errorf("the record was removed: %v, %q", err, h.Unrecorded())
	}
	restore(t, member, h)
	if after := dump(member); after != before {
		t.Errorf("after Restore:\n%s\nbefore Apply:\n%s", after, before)
	}
}

// TestRecordAfterAnError: what could not be looked at leaves nothing on record in memory alone, which the next Apply would take for written.
func TestRecordAfterAnError(t *testing.T) {
	member, _ := segment(t)
	const setting = "ipv4/conf/all/send_redirects"
	member.Run("sh", "-c", "echo 1 > /proc/sys/net/"+setting)
	path := filepath.Join(t.TempDir(), "host.json")
	good := Sysctl{Path: setting, Value: "0"}
	member.Do(func() error {
		h, err := OpenHost(path, nil)
		if err != nil {
			return err
		}
		defer h.Close()
		if err := h.Apply(Desired{Sysctls: []Sysctl{good, {Path: "ipv4/conf", Value: "0"}}}); err == nil { // a directory, which cannot be read
			t.Error("a setting that cannot be read is no error")
		}
		return h.Apply(Desired{Sysctls: []Sysctl{good}})
	})
	member.Do(func() error { // the daemon has crashed
		h, err := OpenHost(path, nil)
		if err != nil {
			return err
		}
		defer h.Close()
		return h.Restore()
	})
	if value := strings.TrimSpace(member.Run("cat", "/proc/sys/net/"+setting)); value != "1" {
		t.Errorf("%s is %s after Restore: it was set without being on record", setting, value)
	}
}

func TestManageForwarding(t *testing.T) {
	member, _ := segment(t)
	member.Run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/e0/forwarding")
	path := filepath.Join(t.TempDir(), "host.json")
	before := dump(member)
	d := desired()
	d.ManageForwarding = true
	h := apply(t, member, path, d)
	mustContain(t, "sysctls", dump(member), "ipv4/conf/all/forwarding:1", "ipv4/conf/e0/forwarding:1", "ipv6/conf/all/forwarding:1")
	member.Do(func() error { return h.Apply(d) })
	restore(t, member, h)
	sameDump(t, before, dump(member))
}

// TestOwnStays: where all members serve no rule is needed, and the kernel's route lookup keeps its shortcut.
func TestOwnStays(t *testing.T) {
	member, _ := segment(t)
	path := filepath.Join(t.TempDir(), "host.json")
	before, rules := dump(member), member.Run("ip", "rule")+member.Run("ip", "-6", "rule")
	d := desired()
	d.OwnStays = true
	h := apply(t, member, path, d)
	member.Do(func() error { return h.SetServing(0, true) })
	member.Do(func() error { return h.SetServing(0, false) })
	mustContain(t, "lo", member.Run("ip", "addr", "show", "dev", "lo"), "10.0.0.100/32", "2001:db8::100/128")
	if got := member.Run("ip", "rule") + member.Run("ip", "-6", "rule"); got != rules {
		t.Errorf("rules were touched:\n%s", got)
	}
	mustContain(t, "route", member.Run("ip", "route", "get", "10.0.0.100"), "local 10.0.0.100 dev lo")
	member.Do(func() error { return h.Apply(desired()) })
	mustContain(t, "rules", member.Run("ip", "rule"), "0:\tfrom all iif lo lookup 18502")
	restore(t, member, h)
	sameDump(t, before, dump(member))
}

func contains(s, part string) bool { return strings.Contains(s, part) }

// TestSysctls: settings that are no interface's, here of connection tracking, are set, and put back when they are no longer desired.
func TestSysctls(t *testing.T) {
	member, _ := segment(t)
	const path = "netfilter/nf_conntrack_tcp_loose"
	value := func() string { return strings.TrimSpace(member.Run("cat", "/proc/sys/net/"+path)) }
	member.Run("sh", "-c", "echo 1 > /proc/sys/net/"+path)
	d := desired()
	d.Sysctls = []Sysctl{{Path: path, Value: "0"}}
	h := apply(t, member, filepath.Join(t.TempDir(), "host.json"), d)
	if value() != "0" {
		t.Errorf("%s is %s after Apply", path, value())
	}
	member.Do(func() error { return h.Apply(desired()) })
	if value() != "1" {
		t.Errorf("%s is %s when it is no longer desired", path, value())
	}
	member.Do(func() error { return h.Apply(d) })
	restore(t, member, h)
	if value() != "1" {
		t.Errorf("%s is %s after Restore", path, value())
	}
}
