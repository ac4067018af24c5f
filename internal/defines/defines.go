// SPDX-License-Identifier: Apache-2.0

package defines

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/holdfast-project/holdfast/internal/config"
)

// Prefix begins all names.
const Prefix = "holdfast_"

// Text is the content of the file on member self of cluster c, which shares the load; "" if it does not.
func Text(c *config.Cluster, self config.Member) string {
	l := c.LoadSharing
	if l == nil {
		return ""
	}
	w := &writer{used: make(map[string]bool)}
	fmt.Fprintf(&w.b, "# Written by Holdfast for member %s of cluster %s; a change here does not last.\n\n", self.Name, c.Name)
	n := len(c.Members)
	w.define("member", strconv.Itoa(int(self.ID)), "number of this member")
	w.define("members", strconv.Itoa(n), "how many there are")
	w.define("snat_ports", l.SNATPorts.Part(int(self.ID), n).String(), "ports that this member may translate to, and no others")
	w.define("snat_all", l.SNATPorts.String(), "those of all members together")
	w.addresses("published", l.Published, "servers that connections to virtual addresses are led to")
	var all []netip.Prefix
	for _, i := range c.Interfaces {
		for _, v := range i.VIPs {
			all = append(all, host(v.Addr))
		}
	}
	w.addresses("vips", all, "all virtual addresses")
	for _, i := range c.Interfaces {
		name := identifier(i.Name)
		if w.used["dev_"+name] {
			name += "_" + strconv.Itoa(int(i.Slot)) // two names that differ in what nft does not take
		}
		w.b.WriteByte('\n')
		w.define("dev_"+name, strconv.Quote(self.Interfaces[i.Name].Device), "interface "+i.Name)
		var vips []netip.Prefix
		for _, v := range i.VIPs {
			vips = append(vips, host(v.Addr))
		}
		for _, f := range families {
			if first := f.of(vips); len(first) > 0 {
				w.define("vip"+f.suffix+"_"+name, first[0].Addr().String(), "its first virtual address")
			}
		}
		w.addresses("vips", vips, "all of them", name)
	}
	return w.b.String()
}

type writer struct {
	b    strings.Builder
	used map[string]bool
}

// define writes one definition, with what it means behind it.
func (w *writer) define(name, value, meaning string) {
	w.used[name] = true
	fmt.Fprintf(&w.b, "define %s%s = %s # %s\n", Prefix, name, value, meaning)
}

// addresses writes a set for each family that has some: nft knows no empty one.
func (w *writer) addresses(name string, all []netip.Prefix, meaning string, of ...string) {
	for _, f := range families {
		var words []string
		for _, p := range f.of(all) {
			if p.IsSingleIP() {
				words = append(words, p.Addr().String())
			} else {
				words = append(words, p.String())
			}
		}
		if len(words) > 0 {
			w.define(strings.Join(append([]string{name + f.suffix}, of...), "_"), "{ "+strings.Join(words, ", ")+" }", meaning)
		}
	}
}

type family struct {
	suffix string
	is     func(netip.Addr) bool
}

var families = []family{{"4", netip.Addr.Is4}, {"6", netip.Addr.Is6}}

// of returns those of a family.
func (f family) of(all []netip.Prefix) []netip.Prefix {
	var some []netip.Prefix
	for _, p := range all {
		if f.is(p.Addr()) {
			some = append(some, p)
		}
	}
	return some
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// identifier is a name as nft takes it in the name of a definition.
func identifier(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '.' {
			return '_'
		}
		return r
	}, name)
}
