// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// ssh puts a connection to an address into a member's table, as packets of its own would.
func (m *member) ssh(to string) {
	m.t.Helper()
	m.tool("-I", "-p", "tcp", "-s", "203.0.113.5", "-d", to, "--sport", "40000", "--dport", "22", "--state", "ESTABLISHED", "-t", "600", "-u", "ASSURED")
}

func (m *member) has(to string) bool {
	return slices.ContainsFunc(m.list(), func(line string) bool { return strings.Contains(line, "dst="+to) })
}

// TestHostAddresses: what begins or ends at an address of a member's host that no configuration lists is the member's own: marks and
// repairs leave it alone, wherever else it is seen, and that it is there is no difference.
func TestHostAddresses(t *testing.T) {
	t.Parallel()
	const own, docker, late = "192.0.2.77", "172.17.0.1", "192.0.2.88"
	local := func(list ...string) (all []ccp.SyncAddress) {
		for _, a := range list {
			all = append(all, ccp.SyncAddress{Addr: netip.MustParseAddr(a)})
		}
		return all
	}
	w := newWorld(t, 2, 1, func(c *Config) {
		c.Local = local(docker)
		if c.Self == 1 {
			c.Local = local(docker, own)
		}
	})
	a, b := w.members[0], w.members[1]
	w.ready()
	b.halt()
	a.flows(record.OpNew, 0, 2000)
	b.ssh(own)
	b.ssh(docker)
	b.start()
	w.hello()
	w.eventually("the joiner has the owner's table", 10*time.Second, w.equal(2000))
	w.ready()
	if !b.has(own) || !b.has(docker) {
		t.Fatal("a full sync has deleted the joiner's own connections")
	}
	// The gateway forwards one to the other member's host, and has one of its own.
	repairs := b.plane.Stats().Repairs
	a.ssh(own)
	a.ssh(docker)
	a.flows(record.OpNew, 2000, 2100)
	w.eventually("only what passes the gateway counts", 3*time.Second, w.equal(2100))
	<-time.After(1500 * time.Millisecond) // a mark
	if n := b.plane.Stats().Repairs; n != repairs || !w.equal(2100)() {
		t.Fatalf("%d repairs, there were %d", n, repairs)
	}
	w.verified(0, 1)

	// An address comes while there are connections to it on both, and goes.
	a.ssh(late)
	w.eventually("it is no member's yet", 3*time.Second, w.equal(2101))
	c := b.cfg
	c.Local = local(docker, own, late)
	must(t, b.plane.Reconfigure(c))
	w.eventually("it is the member's own", 5*time.Second, w.equal(2100))
	b.tool("-D", "-p", "udp", "-s", "10.0.0.1") // a repair of some bucket
	w.eventually("repaired", 8*time.Second, func() bool { return w.equal(2100)() && b.plane.Stats().Repairs > repairs })
	if !b.has(late) || !b.has(own) {
		t.Fatal("a repair has deleted the copy's own connections")
	}
	must(t, b.plane.Reconfigure(b.cfg))
	w.eventually("it passes the gateway again", 5*time.Second, w.equal(2101))
	w.verified(1, 0)
}

// TestSharedAddresses: what several members have, or what is on a loopback device, may move.
func TestSharedAddresses(t *testing.T) {
	p := &Plane{}
	at := func(s string, shared bool) ccp.SyncAddress {
		return ccp.SyncAddress{Addr: netip.MustParseAddr(s), Shared: shared}
	}
	p.cfg.Local = []ccp.SyncAddress{at("192.0.2.1", false), at("192.0.2.2", true), at("192.0.2.3", false)}
	p.peers[3].addresses = []ccp.SyncAddress{at("192.0.2.3", false), at("192.0.2.4", false)}
	own, shared := p.hostAddresses()
	slices.SortFunc(own, netip.Addr.Compare)
	slices.SortFunc(shared, netip.Addr.Compare)
	if !slices.Equal(own, []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.4")}) ||
		!slices.Equal(shared, []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")}) {
		t.Errorf("own %v, shared %v", own, shared)
	}
}
