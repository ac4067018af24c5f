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
	// Beside starts what else runs on a machine, each time that it has booted, before keepalived starts there. nil starts nothing.
	Beside func(ctx context.Context, m *machine.Machine) error
}

// group is the name of the sync group.
const group = "gateway"

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
	if o.Notify != nil {
		line("  script_user root")
	}
	line("}")
	var names []string
	var instances strings.Builder
	for i, p := range n.Ports {
		plan := lab.Spec.Net(i)
		if len(plan.VIPs) == 0 {
			continue
		}
		for _, family := range []int{4, 6} {
			name := fmt.Sprintf("%s%d", p.Segment, family)
			names = append(names, name)
			instance(&instances, o, n, p, plan, family, name)
		}
	}
	line("vrrp_sync_group %s {", group)
	line("  group {")
	for _, name := range names {
		line("    %s", name)
	}
	line("  }")
	if o.Notify != nil {
		for _, word := range [][2]string{{"notify_master", "primary"}, {"notify_backup", "backup"}, {"notify_fault", "fault"}} {
			line("  %s %q", word[0], o.Notify(n.Name)+" "+word[1])
		}
	}
	line("}")
	b.WriteString(instances.String())
	return b.String()
}

func instance(b *strings.Builder, o Options, n *topology.Node, p *topology.Port, plan topology.Net, family int, name string) {
	line := func(format string, a ...any) { fmt.Fprintf(b, format+"\n", a...) }
	vips, bits := ofFamily(plan.VIPs, family), plan.V4.Bits()
	if family == 6 {
		// VRRP for IPv6 advertises a link-local address first (RFC 5798, section 5.2.9).
		vips, bits = append([]netip.Addr{plan.LinkLocal}, vips...), plan.V6.Bits()
	}
	line("vrrp_instance %s {", name)
	line("  interface %s", p.Device)
	line("  state BACKUP")
	line("  nopreempt")
	line("  virtual_router_id %d", 10*(p.Slot+1)+family)
	line("  priority %d", firstPriority-priorityStep*n.Index)
	if o.Advert > 0 {
		line("  advert_int %.2f", o.Advert.Seconds())
	}
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
