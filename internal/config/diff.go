// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// Change is one difference between two configurations.
type Change struct {
	Path   string // as in the file, but interfaces and members by name: interfaces[outside].vips
	From   string // shown to people
	To     string
	Reason string // of a refused change: why it cannot be made live, and the way out
}

// Reasons for which a change is refused. Each says why and what to do instead.
const (
	whyCluster = "all members must change it in the same moment, or they no longer understand each other; " +
		"stop the cluster, install the file everywhere, start it"
	whyOrder = "members and slots are numbered by their place in the file, in the kernel's words and on the wire; " +
		"stop the cluster, install the file everywhere, start it"
	whySockets = "sockets and hooks are opened once, at start; restart the daemon: holdfast restart (the gate goes on serving)"
	whySync    = "what it needs is opened once, at start; restart one member after the other: holdfast restart (the gate goes on serving)"
	whyLocal   = "it is opened once, at start; restart the daemon: holdfast restart (the gate goes on serving)"
	whyName    = "it names the pinned gate and the state; holdfast stop, install the file, start"
	whyVMAC    = "switches and neighbours know the old one; restart one member after the other: holdfast restart"
)

// Diff lists what a reload from old to new would change: live what a running member can take over, refused what needs more, with
// the reason. A reload with anything refused should change nothing.
func Diff(old, new *Cluster) (live, refused []Change) {
	d := &differ{}
	d.refuse("id", old.ID, new.ID, whyCluster)
	d.refuse("name", old.Name, new.Name, whyName)
	d.refuse("mode", old.Mode, new.Mode, whyCluster)
	d.live("recovery", old.Recovery, new.Recovery)
	d.live("key-file", old.KeyFile, new.KeyFile)
	d.live("profile", old.Profile, new.Profile)
	d.timers(old, new)
	d.live("flap.budget", old.Flap.Budget, new.Flap.Budget)
	d.live("flap.window", old.Flap.Window, new.Flap.Window)
	d.live("devices.weights", weights(old.Devices.Weights), weights(new.Devices.Weights))
	d.refuse("attach", old.Attach, new.Attach, whySockets)
	d.refuse("ccp.ethertype", fmt.Sprintf("%#04x", old.CCP.EtherType), fmt.Sprintf("%#04x", new.CCP.EtherType), whyCluster)
	d.refuse("ccp.transport", old.CCP.Transport, new.CCP.Transport, whySockets)
	d.refuse("ccp.priority", old.CCP.Priority, new.CCP.Priority, whySockets)
	d.live("own-traffic", old.OwnTraffic, new.OwnTraffic)
	d.members(old, new)
	d.interfaces(old, new)
	d.live("trunks", trunks(old.Trunks), trunks(new.Trunks)) // what they change of an interface is said there
	d.live("groups", groups(old.Groups), groups(new.Groups))
	d.monitors(old, new)
	d.live("routing", old.Routing, new.Routing)
	d.refuse("sync.enabled", old.Sync.Enabled, new.Sync.Enabled, whySync)
	d.live("sync.services", words(old.Sync.Services), words(new.Sync.Services))
	d.live("sync.sets", words(old.Sync.Sets), words(new.Sync.Sets))
	d.live("sync.zones", zonesText(old.Sync.Zones), zonesText(new.Sync.Zones))
	d.live("sync.tcp-loose", old.Sync.TCPLoose, new.Sync.TCPLoose)
	d.live("sync.full-sync-rate", old.Sync.FullSyncRate, new.Sync.FullSyncRate)
	d.sharing(old, new)
	d.policy(old.Policy, new.Policy)
	d.refuse("sync.buffer", SizeText(old.Sync.Buffer), SizeText(new.Sync.Buffer), whyLocal)
	d.live("notify.journald", old.Notify.Journald, new.Notify.Journald)
	d.live("notify.syslog", receivers(old.Notify.Syslog), receivers(new.Notify.Syslog))
	d.live("notify.snmp", old.Notify.SNMP, new.Notify.SNMP)
	d.refuse("metrics.listen", old.Metrics.Listen, new.Metrics.Listen, whyLocal)
	d.refuse("control.socket", old.Control.Socket, new.Control.Socket, whyLocal)
	d.refuse("state-dir", old.StateDir, new.StateDir, whyLocal)
	d.refuse("pin-dir", old.PinDir, new.PinDir, whyName)
	d.live("log-level", old.LogLevel, new.LogLevel)
	return d.can, d.cannot
}

// sharing compares the sections of two clusters that both share the load; a change of the mode says the rest.
func (d *differ) sharing(old, new *Cluster) {
	a, b := old.LoadSharing, new.LoadSharing
	if a == nil || b == nil {
		return
	}
	d.refuse("load-sharing.method", a.Method, b.Method, whyCluster)
	d.refuse("load-sharing.key", a.Key, b.Key, whyCluster)
	d.refuse("load-sharing.snat-ports", a.SNATPorts, b.SNATPorts, whyCluster)
	d.refuse("load-sharing.multicast-mac", mac(a.MulticastMAC), mac(b.MulticastMAC), whyCluster)
	d.live("load-sharing.weights", old.weightsText(), new.weightsText())
	d.live("load-sharing.published", prefixes(a.Published), prefixes(b.Published))
	d.live("load-sharing.adaptive", a.Adaptive, b.Adaptive)
	d.live("load-sharing.adaptive-interval", a.AdaptiveInterval, b.AdaptiveInterval)
	d.live("load-sharing.block-new-at-risk", a.BlockNew, b.BlockNew)
}

type differ struct{ can, cannot []Change }

func (d *differ) live(path string, from, to any) {
	if !reflect.DeepEqual(from, to) {
		d.can = append(d.can, Change{Path: path, From: show(from), To: show(to)})
	}
}

func (d *differ) refuse(path string, from, to any, why string) {
	if !reflect.DeepEqual(from, to) {
		d.cannot = append(d.cannot, Change{Path: path, From: show(from), To: show(to), Reason: why})
	}
}

func (d *differ) timers(old, new *Cluster) {
	was, is := old.Timers.Table(old.Profile), new.Timers.Table(new.Profile)
	for i := range is {
		if is[i].Set {
			d.live("timers."+is[i].Name, was[i].Value, is[i].Value)
		}
	}
}

func (d *differ) members(old, new *Cluster) {
	was, is := memberNames(old), memberNames(new)
	if !slices.Equal(was, is) {
		d.refuse("members", strings.Join(was, ", "), strings.Join(is, ", "), whyOrder)
		return
	}
	for k, m := range new.Members {
		path := "members[" + m.Name + "]"
		d.refuse(path+".metrics.listen", listen(old.Members[k]), listen(m), whyLocal)
		for _, i := range new.Interfaces {
			a, known := old.Members[k].Interfaces[i.Name]
			b := m.Interfaces[i.Name]
			if known && !reflect.DeepEqual(a, b) {
				d.refuse(path+".interfaces."+i.Name, a, b, whySockets)
			}
		}
	}
}

func (d *differ) interfaces(old, new *Cluster) {
	was, is := interfaceNames(old), interfaceNames(new)
	if !slices.Equal(was, is) {
		d.refuse("interfaces", strings.Join(was, ", "), strings.Join(is, ", "), whyOrder)
		return
	}
	for k, b := range new.Interfaces {
		a, path := old.Interfaces[k], "interfaces["+b.Name+"]."
		d.refuse(path+"role", a.Role, b.Role, whySockets)
		d.refuse(path+"monitored", a.Monitored, b.Monitored, whySockets)
		d.refuse(path+"vmac", mac(a.VMAC), mac(b.VMAC), whyVMAC)
		d.live(path+"trunk", a.Trunk, b.Trunk)
		d.live(path+"vlan", a.VLAN, b.VLAN)
		d.live(path+"bond.min-links", a.MinLinks, b.MinLinks)
		d.live(path+"vips", vips(a.VIPs), vips(b.VIPs))
		d.live(path+"proxy-arp", addrs(a.ProxyARP), addrs(b.ProxyARP))
		d.live(path+"neighbours", addrs(a.Neighbours), addrs(b.Neighbours))
		d.live(path+"link-local", a.LinkLocal, b.LinkLocal)
		if !reflect.DeepEqual(a.RouterAdv, b.RouterAdv) {
			d.live(path+"router-advert", a.RouterAdv, b.RouterAdv)
		}
	}
}

// monitors compares them by name: each can come, go and change while the others run on.
func (d *differ) monitors(old, new *Cluster) {
	was := make(map[string]Monitor, len(old.Monitors))
	for _, m := range old.Monitors {
		was[m.Name] = m
	}
	for _, m := range new.Monitors {
		path := "monitors[" + m.Name + "]"
		if before, known := was[m.Name]; known {
			d.live(path, before, m)
		} else {
			d.can = append(d.can, Change{Path: path, From: "none", To: show(m)})
		}
		delete(was, m.Name)
	}
	for _, m := range old.Monitors {
		if _, gone := was[m.Name]; gone {
			d.can = append(d.can, Change{Path: "monitors[" + m.Name + "]", From: show(m), To: "none"})
		}
	}
}

func memberNames(c *Cluster) []string {
	names := make([]string, len(c.Members))
	for i, m := range c.Members {
		names[i] = m.Name
	}
	return names
}

func interfaceNames(c *Cluster) []string {
	names := make([]string, len(c.Interfaces))
	for i, m := range c.Interfaces {
		names[i] = m.Name
	}
	return names
}

func trunks(list []Trunk) string {
	words := make([]string, len(list))
	for i, t := range list {
		words[i] = t.Name + " " + string(t.Monitor)
		if t.Monitor == TrunkNamed {
			words[i] = t.Name + " " + strings.Join(t.Named, " ")
		}
	}
	return strings.Join(words, ", ")
}

func groups(list []Group) string {
	words := make([]string, len(list))
	for i, g := range list {
		words[i] = fmt.Sprintf("%s (%s) min %d", g.Name, strings.Join(g.Interfaces, " "), g.MinUp)
	}
	return strings.Join(words, ", ")
}

func listen(m Member) string {
	if m.Metrics == nil {
		return "(metrics.listen)"
	}
	return m.Metrics.Listen
}

func mac(m *[6]byte) string {
	if m == nil {
		return "false"
	}
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

func vips(v []VIP) string {
	words := make([]string, len(v))
	for i, a := range sortedVIPs(v) {
		words[i] = a.Addr.String()
		if a.Own {
			words[i] += " in " + a.Prefix.String()
		}
	}
	return strings.Join(words, ", ")
}

func weights(w map[string]int) string {
	words := make([]string, 0, len(w))
	for _, name := range slices.Sorted(maps.Keys(w)) {
		words = append(words, fmt.Sprintf("%s: %d", name, w[name]))
	}
	return strings.Join(words, ", ")
}

func receivers(all []Syslog) string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = s.String()
	}
	return strings.Join(words, ", ")
}

func addrs(a []netip.Addr) string {
	words := make([]string, len(a))
	for i, x := range slices.SortedFunc(slices.Values(a), netip.Addr.Compare) {
		words[i] = x.String()
	}
	return strings.Join(words, ", ")
}

func prefixes(all []netip.Prefix) string {
	words := make([]string, len(all))
	for i, p := range all {
		words[i] = p.String()
		if p.IsSingleIP() {
			words[i] = p.Addr().String()
		}
	}
	return strings.Join(words, ", ")
}

// show writes a value for people.
func show(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case MemberInterface:
		text := v.Device
		for _, a := range v.Addresses {
			text += " " + a.String()
		}
		if v.MAC != nil {
			text += " " + mac(v.MAC)
		}
		return text
	case Monitor, Routing:
		text, err := json.Marshal(v)
		if err != nil {
			return "changed"
		}
		return string(text)
	case *RouterAdv:
		if v == nil {
			return "none"
		}
		text, err := json.Marshal(v)
		if err != nil {
			return "changed"
		}
		return string(text)
	case netip.Addr:
		if !v.IsValid() {
			return "none"
		}
		return v.String()
	case fmt.Stringer:
		return v.String()
	default:
		return fmt.Sprint(v)
	}
}
