// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/xtcluster"
)

// otherBuild ends the names of systems that are clusters of another build.
const otherBuild = "-other"

// LoadSystems are all that can be measured, those of the comparison first; binary is the path of holdfastd, "" looks for it, and other that of another
// build, "" if there is none to compare with.
func LoadSystems(binary, other string) []LoadSystem {
	all := loadSystems(binary)
	if other == "" {
		return all
	}
	for _, s := range loadSystems(other) {
		if strings.HasPrefix(s.Name, "holdfast-") {
			s.Name, s.Named = s.Name+otherBuild, true
			all = append(all, s)
		}
	}
	return all
}

func loadSystems(binary string) []LoadSystem {
	with := func(o members.Options) func(*topology.Lab, string) (Gateway, error) {
		return func(lab *topology.Lab, dir string) (Gateway, error) {
			o := o
			o.Binary, o.Dir = binary, dir
			c, err := members.New(lab, o)
			return holdfast{c}, err
		}
	}
	cluster := func(attach, method string) func(*topology.Lab, string) (Gateway, error) {
		return with(members.Options{Attach: attach, Method: method})
	}
	return []LoadSystem{
		{Name: systemGenerator, Members: 1},
		{Name: systemKernel, Members: 1, Router: topology.MemberName(0), New: bare(func(*topology.Lab) error { return nil })},
		{Name: "holdfast-ha", Members: 2, Synced: true, New: cluster("tcx", "")},
		{Name: "holdfast-multicast-2", Members: 2, Synced: true, New: cluster("tcx", methodMulticast)},
		{Name: "holdfast-multicast-3", Members: 3, Synced: true, New: cluster("tcx", methodMulticast)},
		{Name: "holdfast-unicast-2", Members: 2, Synced: true, New: cluster("tcx", methodUnicast)},
		{Name: "holdfast-unicast-3", Members: 3, Synced: true, New: cluster("tcx", methodUnicast)},
		{Name: "xt-cluster-2", Members: 2, New: bare(xtcluster.Setup)},
		{Name: "xt-cluster-2-sync", Named: true, Members: 2, Synced: true, New: synced(syncedAdvert)},
		// What helps to understand the others.
		{Name: "kernel-rules", Members: 1, Router: topology.MemberName(0), New: bare(moveLocalRule)},
		{Name: "kernel-events", Members: 1, Router: topology.MemberName(0), New: bare(reportConnections)},
		{Name: "kernel-events-hooks", Named: true, Members: 1, Router: topology.MemberName(0), New: onFloor(reportConnections, func(int) asm.Instructions { return goOn() })},
		{Name: "kernel-multicast-2", Named: true, Members: 2, New: onFloor(flooded(false), evenOdd)},
		{Name: "kernel-multicast-2-events", Named: true, Members: 2, New: onFloor(flooded(true), evenOdd)},
		{Name: systemGeneratorMany2, Members: 2, Flooded: true},
		{Name: systemGeneratorMany3, Members: 3, Flooded: true},
		{Name: "holdfast-ha-no-sync", Named: true, Members: 2, New: with(members.Options{Attach: "tcx", Extra: "sync: {enabled: false}\n"})},
		{Name: "holdfast-ha-xdp", Named: true, Members: 2, Synced: true, New: cluster("xdp", "")},
		{Name: "holdfast-multicast-2-xdp", Named: true, Members: 2, Synced: true, New: cluster("xdp", methodMulticast)},
		{Name: "holdfast-unicast-2-xdp", Named: true, Members: 2, Synced: true, New: cluster("xdp", methodUnicast)},
	}
}

// syncedAdvert is the interval at which keepalived advertises beside xt_cluster: a member is dead after some 33 ms, Holdfast's after 30.
const syncedAdvert = 10 * time.Millisecond

// synced is xt_cluster with conntrackd and keepalived.
func synced(advert time.Duration) func(*topology.Lab, string) (Gateway, error) {
	return func(lab *topology.Lab, dir string) (Gateway, error) {
		return xtcluster.NewSynced(lab, xtcluster.SyncedOptions{Name: "xt-cluster-2-sync", Dir: dir, Advert: advert})
	}
}

// PickLoad returns the systems of these names; without names, all that need not be named.
func PickLoad(systems []LoadSystem, names []string) ([]LoadSystem, error) {
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(systems), func(s LoadSystem) bool { return s.Named }), nil
	}
	return Pick(systems, func(s LoadSystem) string { return s.Name }, names)
}

// Pick returns the systems of these names, in their own order. The error is that a name is none of theirs.
func Pick[S any](systems []S, nameOf func(S) string, names []string) ([]S, error) {
	var out []S
	var all []string
	for _, s := range systems {
		all = append(all, nameOf(s))
		if slices.Contains(names, nameOf(s)) {
			out = append(out, s)
		}
	}
	for _, n := range names {
		if !slices.Contains(all, n) {
			return nil, fmt.Errorf("system %q: there are %v", n, all)
		}
	}
	return out, nil
}

// Methods of load sharing, in the words of the configuration.
const (
	methodMulticast = "multicast"
	methodUnicast   = "unicast"
)

// bareKernel is a gateway that is nothing but a configuration of the kernel, which goes with the topology.
type bareKernel struct{}

func bare(setup func(*topology.Lab) error) func(*topology.Lab, string) (Gateway, error) {
	return func(lab *topology.Lab, _ string) (Gateway, error) { return bareKernel{}, setup(lab) }
}

// moveLocalRule moves the rule of the local table from priority 0 to 1, as members with `own-traffic: to-server` do (docs/decisions/016). The kernel has a
// shortcut for route lookups without rules of anybody's own, and never takes it again.
func moveLocalRule(lab *topology.Lab) error {
	for _, n := range lab.OfKind(topology.Member) {
		h, err := n.NS.Handle()
		if err != nil {
			return err
		}
		defer h.Close()
		rule := netlink.NewRule()
		rule.Family, rule.Table, rule.Priority = netlink.FAMILY_V4, unix.RT_TABLE_LOCAL, 1
		if err := h.RuleAdd(rule); err != nil {
			return fmt.Errorf("%s: rule of the local table: %w", n.Name, err)
		}
		rule.Priority = 0
		if err := h.RuleDel(rule); err != nil {
			return fmt.Errorf("%s: rule of the local table: %w", n.Name, err)
		}
	}
	return nil
}

// reportConnections has the kernel note with every connection what it could report of it, as members do that synchronise (package conntrack).
func reportConnections(lab *topology.Lab) error {
	for _, n := range lab.OfKind(topology.Member) {
		if err := n.NS.Sysctl("netfilter/nf_conntrack_events", "1"); err != nil {
			return err
		}
	}
	return nil
}

func (bareKernel) Boot(context.Context) error   { return nil }
func (bareKernel) Ready(context.Context) error  { return nil }
func (bareKernel) Machines() []*machine.Machine { return nil }
func (bareKernel) Close() error                 { return nil }

// holdfast is a cluster as a gateway.
type holdfast struct{ *members.Cluster }

// Close ends it. There is none when it could not be prepared.
func (h holdfast) Close() error {
	if h.Cluster == nil {
		return nil
	}
	return h.Cluster.Close()
}

// Machines are its members'.
func (h holdfast) Machines() []*machine.Machine {
	var out []*machine.Machine
	for _, m := range h.Members() {
		out = append(out, m.Machine())
	}
	return out
}

// askEvery is how often a cluster that is waited for is asked.
const askEvery = 100 * time.Millisecond

// Ready waits until the cluster is at rest: in mode ha one member serves and the others stand by, in load sharing every member
// takes its share.
func (h holdfast) Ready(ctx context.Context) error {
	for {
		reason := h.unready(ctx)
		if reason == nil {
			return nil
		}
		if err := wait(ctx, askEvery); err != nil {
			return errors.Join(err, reason)
		}
	}
}

// unready says why the cluster is not ready; nil: it is.
func (h holdfast) unready(ctx context.Context) error {
	all, serving := h.Members(), h.Serving(ctx)
	if len(serving) != 1 {
		return fmt.Errorf("serving: %v", serving)
	}
	for _, m := range all {
		found, err := listening(m.Machine().Node())
		if found && err == nil {
			err = errors.New("it asks for neighbours")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name(), err)
		}
	}
	if h.Options().Method != "" {
		for _, m := range all {
			load, err := m.Client().Load(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", m.Name(), err)
			}
			if err := unshared(load, len(all)); err != nil {
				return fmt.Errorf("%s: %w", m.Name(), err)
			}
		}
		return nil
	}
	standby := 0
	states := h.States(ctx)
	for _, m := range all {
		for _, s := range states[m.Name()].Members {
			if s.Local && s.State == "STANDBY" {
				standby++
			}
		}
	}
	if standby != len(all)-1 {
		return fmt.Errorf("%d of %d members stand by", standby, len(all)-1)
	}
	return nil
}

// listening tells whether a member looks at IPv4 packets, as it does for some seconds after it has asked whether a neighbour answers:
// every packet waits for that.
func listening(m *topology.Node) (found bool, err error) {
	err = m.NS.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/packet")
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line) // sk, references, type, protocol in hexadecimal digits
			found = found || len(f) > 3 && f[3] == "0800"
		}
		return err
	})
	return found, err
}

// unshared says what keeps a table of slots from being in force, as one of count members sees it.
func unshared(l control.Load, count int) error {
	if !l.Table.Settled {
		return fmt.Errorf("table %d.%d (%s) is not settled: %d slots moving, %d nobody's", l.Table.Term, l.Table.Number, l.Table.Phase, l.Table.Moving, l.Table.Nobody)
	}
	sharing := 0
	for _, m := range l.Members {
		if m.Slots > 0 && m.Open {
			sharing++
		}
	}
	if sharing != count {
		return fmt.Errorf("%d of %d members share the load", sharing, count)
	}
	return nil
}
