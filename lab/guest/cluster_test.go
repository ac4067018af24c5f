// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/lab/netns"
	"github.com/holdfast-project/holdfast/lab/traffic"
)

// requireGuest skips a test that would change the machine it runs on.
func requireGuest(t *testing.T) {
	t.Helper()
	if os.Getenv("HOLDFAST_GUEST") == "" {
		t.Skip("runs in the guest that scripts/guest boots")
	}
}

// The first member is the guest itself, a systemd machine the second one lives in a namespace of it. Each has a
// bond with VLANs. VLAN 100 leads to a client, VLAN 200 to a server; the switch between them knows nothing of VLANs.
const (
	first, second = "fw1", "fw2"
	firstSocket   = "/run/holdfast/control.sock"
	secondSocket  = "/run/holdfast-fw2.sock"
)

const clusterYAML = `
id: 7
name: guest
key-file: cluster.key
flap: {budget: 0}
timers: {probe: 100ms, dead: 400ms, hello: 500ms, courtesy: 400ms}
members:
  - name: fw1
    interfaces:
      outside: {device: bond0.100, addresses: [10.100.0.2/24]}
      inside: {device: bond0.200, addresses: [10.200.0.2/24]}
      sync: {device: s1, addresses: [10.9.0.2/24]}
  - name: fw2
    interfaces:
      outside: {device: bond0.100, addresses: [10.100.0.3/24]}
      inside: {device: bond0.200, addresses: [10.200.0.3/24]}
      sync: {device: s2, addresses: [10.9.0.3/24]}
interfaces:
  - {name: outside, role: cluster, vips: [10.100.0.1], neighbours: [10.100.0.10], trunk: core, vlan: 100}
  - {name: inside, role: cluster, vips: [10.200.0.1], neighbours: [10.200.0.10], trunk: core, vlan: 200}
  - {name: sync, role: sync}
trunks: [{name: core, monitor: all}]
monitors:
  - {name: application, type: systemd, unit: application.service, members: [fw1], interval: 1s}
`

// cluster is the two members, and the client and server whose traffic goes through them.
type cluster struct {
	t                        *testing.T
	sw, peer, client, server *netns.NS
	clients                  map[string]*control.Client
	yaml                     string
	run                      *traffic.Run
	clientAddr, serverAddr   netip.Addr
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	requireGuest(t)
	c := &cluster{
		t: t, yaml: clusterYAML,
		clients:    map[string]*control.Client{first: control.NewClient(firstSocket), second: control.NewClient(secondSocket)},
		clientAddr: netip.MustParseAddr("10.100.0.10"), serverAddr: netip.MustParseAddr("10.200.0.10"),
	}
	c.installed()
	c.wire()
	c.configure(c.yaml)
	return c
}

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// namespace makes one that lives as long as the test.
func (c *cluster) namespace(name string) *netns.NS {
	c.t.Helper()
	ns, err := netns.New(name)
	c.must(err)
	c.t.Cleanup(func() { _ = ns.Close() })
	return ns
}

// ip runs Debian's ip in a namespace, nil for the guest's own.
func (c *cluster) ip(ns *netns.NS, args string) {
	c.t.Helper()
	cmd := exec.Command("/usr/sbin/ip", strings.Fields(args)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var err error
	if ns == nil {
		err = cmd.Run()
	} else if err = netns.Start(netns.Place{Net: ns}, cmd); err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		c.t.Fatalf("ip %s: %v\n%s", args, err, out.String())
	}
}

// cable connects two namespaces; nil is the guest's own.
func (c *cluster) cable(a *netns.NS, nameA string, b *netns.NS, nameB string) {
	c.t.Helper()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: nameA}, PeerName: nameB}
	if b != nil {
		veth.PeerNamespace = netlink.NsFd(b.FD())
	}
	if a != nil {
		veth.Namespace = netlink.NsFd(a.FD())
	}
	c.must(netlink.LinkAdd(veth))
	if a == nil {
		c.t.Cleanup(func() { _ = netlink.LinkDel(veth) })
	}
}

// wire builds the network.
func (c *cluster) wire() {
	c.t.Helper()
	c.sw, c.peer, c.client, c.server = c.namespace("switch"), c.namespace(second), c.namespace("client"), c.namespace("server")
	c.ip(c.sw, "link add br0 type bridge")
	c.ip(c.sw, "link set br0 up")
	for _, ns := range []*netns.NS{nil, c.peer} {
		c.ip(ns, "link add bond0 type bond mode active-backup miimon 20")
	}
	c.t.Cleanup(func() { _ = exec.Command("/usr/sbin/ip", "link", "del", "bond0").Run() })
	for _, p := range []struct {
		ns   *netns.NS
		name string
	}{{nil, "e1"}, {nil, "e2"}, {c.peer, "e3"}, {c.peer, "e4"}, {c.client, "e5"}, {c.server, "e6"}} {
		c.cable(p.ns, p.name, c.sw, "p-"+p.name)
		c.ip(c.sw, "link set p-"+p.name+" master br0 up")
		if p.ns == nil || p.ns == c.peer {
			c.ip(p.ns, "link set "+p.name+" down master bond0")
		} else {
			c.ip(p.ns, "link set "+p.name+" up")
		}
	}
	c.ip(nil, "link set bond0 up")
	c.ip(c.peer, "link set bond0 up")
	c.cable(nil, "s1", c.peer, "s2")
	c.vlan(nil, "bond0", 100, "10.100.0.2")
	c.vlan(nil, "bond0", 200, "10.200.0.2")
	c.vlan(c.peer, "bond0", 100, "10.100.0.3")
	c.vlan(c.peer, "bond0", 200, "10.200.0.3")
	c.vlan(c.client, "e5", 100, "10.100.0.10")
	c.vlan(c.server, "e6", 200, "10.200.0.10")
	c.ip(c.client, "route add default via 10.100.0.1")
	c.ip(c.server, "route add default via 10.200.0.1")
	c.ip(nil, "addr add 10.9.0.2/24 dev s1")
	c.ip(nil, "link set s1 up")
	c.ip(c.peer, "addr add 10.9.0.3/24 dev s2")
	c.ip(c.peer, "link set s2 up")
	c.must(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
	c.must(c.peer.Sysctl("ipv4/ip_forward", "1"))
}

func (c *cluster) vlan(ns *netns.NS, parent string, id int, addr string) {
	c.t.Helper()
	name := fmt.Sprintf("%s.%d", parent, id)
	c.ip(ns, fmt.Sprintf("link add link %s name %s type vlan id %d", parent, name, id))
	c.ip(ns, "addr add "+addr+"/24 dev "+name)
	c.ip(ns, "link set "+name+" up")
}

// configure writes both members' files. They differ in what is a member's own.
func (c *cluster) configure(yaml string) {
	c.t.Helper()
	c.yaml = yaml
	c.must(os.MkdirAll("/etc/holdfast", 0o755))
	c.must(os.WriteFile("/etc/holdfast/cluster.key", []byte("1:"+strings.Repeat("QUJD", 10)+"QUI=\n"), 0o600))
	c.must(os.WriteFile("/etc/holdfast/cluster.yaml", []byte(yaml), 0o644))
	own := "control: {socket: " + secondSocket + "}\nstate-dir: /var/lib/holdfast-fw2\nmetrics: {listen: \"\"}\n"
	c.must(os.WriteFile("/etc/holdfast/fw2.yaml", []byte(yaml+own), 0o644))
}

// systemctl runs it and fails the test when it fails.
func (c *cluster) systemctl(args ...string) string {
	c.t.Helper()
	out, err := exec.Command("/usr/bin/systemctl", args...).CombinedOutput()
	if err != nil {
		log, _ := exec.Command("/usr/bin/journalctl", "-u", "holdfastd", "-n", "30", "--no-pager", "-o", "cat").CombinedOutput()
		c.t.Fatalf("systemctl %s: %v\n%s\n%s", strings.Join(args, " "), err, out, log)
	}
	return strings.TrimSpace(string(out))
}

// startSecond starts the member in the namespace, and returns how it leaves before the test ends.
func (c *cluster) startSecond() (end func()) {
	c.t.Helper()
	log, err := os.Create(filepath.Join(c.t.TempDir(), "fw2.log"))
	c.must(err)
	cmd := exec.Command("/usr/sbin/holdfastd", "-config", "/etc/holdfast/fw2.yaml", "-member", second)
	cmd.Stdout, cmd.Stderr = log, log
	c.must(netns.Start(netns.Place{Net: c.peer}, cmd))
	end = sync.OnceFunc(func() {
		if _, err := c.clients[second].Stop(context.Background()); err != nil {
			_ = cmd.Process.Kill()
		}
		_ = cmd.Wait()
		_ = log.Close()
	})
	c.t.Cleanup(func() {
		end()
		if c.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			c.t.Logf("fw2 said:\n%s", text)
		}
	})
	return end
}

// send starts the traffic.
func (c *cluster) send() {
	c.t.Helper()
	run, err := traffic.Start(c.t.Context(), traffic.Config{
		A:    traffic.Endpoint{Name: "client", In: c.client.Do, Addr4: c.clientAddr},
		B:    traffic.Endpoint{Name: "server", In: c.server.Do, Addr4: c.serverAddr},
		Rate: 100,
	})
	c.must(err)
	c.run = run
	c.t.Cleanup(func() { _, _ = run.Stop(0) })
}

// awaitTraffic waits until packets arrive.
func (c *cluster) awaitTraffic() {
	c.t.Helper()
	from := time.Now()
	c.await("traffic flows", func() bool {
		to := time.Now().Add(-300 * time.Millisecond) // what was sent later may still be on its way
		if !to.After(from) {
			return false
		}
		_, received, _, _, _ := c.run.Window(from, to, 0).Totals()
		return received > 0
	})
}

// lost returns how many packets were lost since from. What was sent last has had the time to arrive.
func (c *cluster) lost(from time.Time) int {
	c.t.Helper()
	to := time.Now()
	c.await("the packets of the window", func() bool { return time.Since(to) > 500*time.Millisecond })
	_, received, lost, _, _ := c.run.Window(from, to, 0).Totals()
	if received == 0 {
		c.t.Errorf("nothing got through the gateway")
	}
	return lost
}

// await waits until done, asking again and again.
func (c *cluster) await(what string, done func() bool) {
	c.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
		if done() {
			return
		}
	}
	for name, client := range c.clients {
		if w, err := client.Why(c.t.Context()); err != nil {
			c.t.Logf("%s: %v", name, err)
		} else {
			c.t.Logf("%s", w.Why)
		}
	}
	c.t.Fatalf("%s: not within 30 s", what)
}

// state returns what a member says of itself, "" if it does not answer.
func (c *cluster) state(member string) string {
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
	defer cancel()
	s, err := c.clients[member].State(ctx)
	if err != nil {
		return ""
	}
	return s.Members[s.Self].State
}

func (c *cluster) awaitStates(one, other string) {
	c.t.Helper()
	c.await(fmt.Sprintf("fw1 %s, fw2 %s", one, other), func() bool { return c.state(first) == one && c.state(second) == other })
}
