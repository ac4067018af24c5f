// SPDX-License-Identifier: Apache-2.0

package keepalived

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Options say how keepalived is configured.
type Options struct {
	// Name is the system's name in reports; "" makes keepalived-default or keepalived-ADVERT.
	Name string
	// Dir is an existing directory for configurations, logs and FIFOs.
	Dir string
	// Advert is the advertisement interval; 0 leaves keepalived's own, 1 s. It counts in units of 10 ms.
	Advert time.Duration
	// RealTime gives it its real-time scheduling and memory locking.
	RealTime bool
	// Notify returns the command that a member's keepalived runs when its sync group has got a new state, with one more word for it:
	// primary, backup or fault. nil runs none.
	Notify func(member string) string
	// Shares makes a sync group for every member's share of the load, in place of one for the gateway: its member is its master, and becomes it again
	// returnAfter after it came back; the others are its backups. Its virtual addresses are link-local ones of IPv4 that nobody uses: who holds a share
	// does with it what Follow does.
	Shares bool
	// Follow returns the command, of a single word, that a member's keepalived runs all the time and that reads from a FIFO, whose path is its argument,
	// lines like: GROUP "share1" MASTER 200. nil runs none.
	Follow func(member string) string
	// Beside starts what else runs on a machine, each time that it has booted, before keepalived starts there. nil starts nothing.
	Beside func(ctx context.Context, m *machine.Machine) error
}

// gateway is the name of the sync group of members one of which serves.
const gateway = "gateway"

// ShareGroup is the name of the sync group of the share of the member with an index.
func ShareGroup(index int) string { return fmt.Sprintf("share%d", index+1) }

// returnAfter is how long a member that came back leaves its share to others: what they know of its connections must reach it first.
const returnAfter = 2 * time.Second

// Of VRRP: the priority of the first member, and by how much the next one's is lower.
const (
	firstPriority = 200
	priorityStep  = 20
)

// maxAdvertised is how many addresses fit into an advertisement; further ones are "excluded", kept but not advertised.
const maxAdvertised = 20

func (o Options) path(member, file string) string { return filepath.Join(o.Dir, member, file) }

// Config is a member's keepalived.conf.
func Config(lab *topology.Lab, o Options, n *topology.Node) string {
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	line("global_defs {")
	line("  router_id %s", n.Name)
	line("  vrrp_version 3")
	line("  vrrp_notify_fifo %s", o.path(n.Name, "notify.fifo"))
	if o.RealTime {
		line("  vrrp_rt_priority 50")
		line("  vrrp_no_swap")
	}
	if o.Follow != nil {
		line("  notify_fifo %s", o.path(n.Name, "follow.fifo"))
		line("  notify_fifo_script %s", o.Follow(n.Name))
	}
	if o.Notify != nil || o.Follow != nil {
		line("  script_user root")
	}
	line("}")
	var instances strings.Builder
	for _, g := range groups(lab, o, n) {
		line("vrrp_sync_group %s {", g.name)
		line("  group {")
		for i, p := range n.Ports {
			plan := lab.Spec.Net(i)
			if len(plan.VIPs) == 0 {
				continue
			}
			for _, r := range g.routers {
				name := fmt.Sprintf("%s%d", p.Segment, r.id)
				line("    %s", name)
				instance(&instances, o, p, plan, name, g.priority, r)
			}
		}
		line("  }")
		if o.Notify != nil {
			for _, word := range [][2]string{{"notify_master", "primary"}, {"notify_backup", "backup"}, {"notify_fault", "fault"}} {
				line("  %s %q", word[0], o.Notify(n.Name)+" "+word[1])
			}
		}
		line("}")
	}
	b.WriteString(instances.String())
	return b.String()
}

// syncGroup is the virtual routers that change their state together.
type syncGroup struct {
	name     string
	priority int
	routers  []router // on each segment that carries virtual addresses
}

// router is a virtual router of a segment: its number there, and the family of its virtual addresses, 0 if it stands for a share.
type router struct{ id, family int }

// addresses are the virtual ones of a segment, and the length of their prefix. VRRP demands one.
func (r router) addresses(p *topology.Port, plan topology.Net) (vips []netip.Addr, bits int) {
	switch r.family {
	case 4:
		return ofFamily(plan.VIPs, 4), plan.V4.Bits()
	case 6:
		// VRRP for IPv6 advertises a link-local address first (RFC 5798, section 5.2.9).
		return append([]netip.Addr{plan.LinkLocal}, ofFamily(plan.VIPs, 6)...), plan.V6.Bits()
	default:
		return []netip.Addr{netip.AddrFrom4([4]byte{169, 254, byte(p.Slot + 1), byte(r.id)})}, 32
	}
}

// groups lists a member's sync groups.
func groups(lab *topology.Lab, o Options, n *topology.Node) []syncGroup {
	if !o.Shares {
		return []syncGroup{{name: gateway, priority: firstPriority - priorityStep*n.Index, routers: []router{{4, 4}, {6, 6}}}}
	}
	var out []syncGroup
	count := len(lab.OfKind(topology.Member))
	for i := range count {
		behind := (n.Index - i + count) % count
		out = append(out, syncGroup{name: ShareGroup(i), priority: firstPriority - priorityStep*behind, routers: []router{{id: i + 1}}})
	}
	return out
}

func instance(b *strings.Builder, o Options, p *topology.Port, plan topology.Net, name string, priority int, r router) {
	line := func(format string, a ...any) { fmt.Fprintf(b, format+"\n", a...) }
	line("vrrp_instance %s {", name)
	line("  interface %s", p.Device)
	line("  state BACKUP")
	if o.Shares {
		line("  preempt_delay %.0f", returnAfter.Seconds())
	} else {
		line("  nopreempt")
	}
	line("  virtual_router_id %d", 10*(p.Slot+1)+r.id)
	line("  priority %d", priority)
	if o.Advert > 0 {
		line("  advert_int %.2f", o.Advert.Seconds())
	}
	vips, bits := r.addresses(p, plan)
	for block, list := range map[string][]netip.Addr{
		"virtual_ipaddress":          vips[:min(maxAdvertised, len(vips))],
		"virtual_ipaddress_excluded": vips[min(maxAdvertised, len(vips)):],
	} {
		if len(list) == 0 {
			continue
		}
		line("  %s {", block)
		for _, v := range list {
			line("    %s/%d dev %s", v, bits, p.Device)
		}
		line("  }")
	}
	line("}")
}

func ofFamily(all []netip.Addr, family int) []netip.Addr {
	var out []netip.Addr
	for _, a := range all {
		if a.Is4() == (family == 4) {
			out = append(out, a)
		}
	}
	return out
}
