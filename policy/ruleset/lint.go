// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Warning is what is right on one machine and wrong, or doubtful, in a cluster.
type Warning struct {
	File string
	Line int
	// Fatal: the ruleset cannot be loaded on some member.
	Fatal  bool
	What   string
	WayOut string
}

// String is FILE:LINE: what; way out.
func (w Warning) String() string {
	return fmt.Sprintf("%s:%d: %s; %s", w.File, w.Line, w.What, w.WayOut)
}

// Lint looks for what an operator would not want in a cluster. c may be nil: then only what is wrong in any cluster is found. Warnings come in
// the order of lines.
func (r *Ruleset) Lint(c *Cluster) []Warning {
	l := &linter{r: r, c: c, said: map[string]bool{}}
	l.index()
	l.undefined()
	for i := range r.Tables {
		t := &r.Tables[i]
		for j := range t.Objects {
			o := &t.Objects[j]
			if o.Kind != "chain" {
				continue
			}
			l.chain(t, o)
		}
	}
	l.literals()
	slices.SortStableFunc(l.all, func(a, b Warning) int { return cmp.Compare(a.Line, b.Line) })
	return l.all
}

type linter struct {
	r    *Ruleset
	c    *Cluster
	all  []Warning
	said map[string]bool

	vips    map[netip.Addr]string // to the interface
	devices map[string]string     // of some member to the interface; "" if not the same on all
}

func (l *linter) warn(line int, what, wayOut string) {
	if key := fmt.Sprint(line, what); !l.said[key] {
		l.said[key] = true
		l.all = append(l.all, Warning{File: l.r.File, Line: line, What: what, WayOut: wayOut})
	}
}

func (l *linter) index() {
	l.vips, l.devices = map[netip.Addr]string{}, map[string]string{}
	if l.c == nil {
		return
	}
	for i := range l.c.Members {
		for j := range l.c.Members[i].Interfaces {
			f := &l.c.Members[i].Interfaces[j]
			for _, v := range f.VIPs {
				l.vips[v] = l.name(*f)
			}
			l.devices[f.Device] = l.name(*f)
		}
	}
}

// name is what definitions call an interface.
func (l *linter) name(f Interface) string {
	for i, g := range l.c.Members[0].Interfaces {
		if g.Name == f.Name {
			return l.c.identifier(i)
		}
	}
	return f.Name
}

// undefined finds variables that nobody defines, on the first member that lacks them.
func (l *linter) undefined() {
	own := map[string]bool{}
	add := func(s []Word) {
		if len(s) > 1 && (s[0].Text == "define" || s[0].Text == "redefine") {
			own[s[1].Text] = true
		}
	}
	for _, d := range l.r.Defines {
		add(d.Words)
	}
	for i := range l.r.Tables {
		for _, o := range l.r.Tables[i].Objects {
			if o.Kind == "define" || o.Kind == "redefine" {
				own[o.Name] = true
			}
			for _, s := range o.Statements {
				add(s.Words)
			}
		}
	}
	if l.c == nil {
		return
	}
	for i := range l.c.Members {
		supplied := map[string]bool{}
		for _, d := range l.c.Definitions(i) {
			supplied[d.Name] = true
		}
		for _, name := range sortedKeys(own) {
			if supplied[name] {
				l.warn(1, "define "+name+" hides the one that Holdfast supplies", "choose another name")
			}
		}
		l.r.variables(func(name string, line int) {
			if !own[name] && !supplied[name] {
				before := len(l.all)
				l.warn(line, "$"+name+" is not defined on "+l.c.Members[i].Name, "see holdfast policy defines for what is")
				if len(l.all) > before {
					l.all[before].Fatal = true
				}
			}
		})
	}
}

func sortedKeys(m map[string]bool) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func (l *linter) chain(t *Table, o *Object) {
	h := o.Hook()
	if h.Type == "filter" && h.Policy == "drop" {
		l.filter(t, o, h)
	}
	spared := false
	for _, s := range o.Statements {
		w := s.Words
		if verdict := w[len(w)-1].Text; (verdict == "accept" || verdict == "return") && (l.sparesOwn(w) || has(w, "fib")) {
			spared = true
		}
		switch {
		case has(w, "masquerade"):
			l.warn(s.Line, "masquerade: the source becomes the member's own address, and the connection ends at a hand-over", "write snat to $holdfast_vip4_INTERFACE")
		case has(w, "snat") && h.Type != "filter" && !spared:
			l.snat(s)
		}
		if has(w, "snat") && l.c != nil && l.c.SNATFirst != 0 && !strings.Contains(s.String(), "$holdfast_snat_ports") {
			l.warn(s.Line, "snat without ports: in load sharing the answer may come to another member", "write snat to $holdfast_vip4_INTERFACE:$holdfast_snat_ports")
		}
		for i, x := range w {
			if (x.Text == "iif" || x.Text == "oif") && i+1 < len(w) && w[i+1].Text != "lo" && w[i+1].Text != `"lo"` {
				l.warn(s.Line, x.Text+" stands for the device that has the name when the rule is loaded", "write "+x.Text+"name")
			}
		}
	}
}

func (l *linter) filter(t *Table, o *Object, h Hook) {
	established, ccp := false, false
	for _, s := range o.Statements {
		text := s.String()
		established = established || strings.Contains(text, "established") || has(s.Words, "jump") || has(s.Words, "goto") || has(s.Words, "vmap")
		ccp = ccp || strings.Contains(text, l.etherType()) || has(s.Words, "jump") || has(s.Words, "goto")
	}
	switch {
	case (t.Family == "netdev" || t.Family == "bridge") && !ccp:
		l.warn(o.Line, fmt.Sprintf("%s chain %s drops what it does not know, CCP too: the members would not hear each other", t.Family, o.Name),
			"write ether type "+l.etherType()+" accept before the other rules")
	case t.Family != "netdev" && t.Family != "bridge" && t.Family != "arp" && !established && (h.Hook == "forward" || h.Hook == "input"):
		l.warn(o.Line, "chain "+o.Name+" drops what it does not know, and no rule accepts what is established: connections would end at an install and a hand-over",
			"write ct state established,related accept")
	}
}

func (l *linter) etherType() string {
	if l.c != nil && l.c.EtherType != 0 {
		return fmt.Sprintf("0x%04x", l.c.EtherType)
	}
	return "0x88b5"
}

func has(words []Word, text string) bool {
	return slices.ContainsFunc(words, func(w Word) bool { return w.Text == text })
}

// sparesOwn reports whether a rule names the members' own addresses by their definitions.
func (l *linter) sparesOwn(words []Word) bool {
	return slices.ContainsFunc(words, func(w Word) bool {
		return strings.HasPrefix(w.Text, "$holdfast_own")
	})
}

// snat finds rules that would translate what the members themselves send: time, names, management; it would come back to whoever serves.
func (l *linter) snat(s Statement) {
	w := s.Words
	if has(w, "iif") || has(w, "iifname") || has(w, "iifgroup") || l.sparesOwn(w) || has(w, "fib") {
		return // what a member sends itself came in nowhere
	}
	from, limited := l.sources(w)
	if !limited || l.c == nil {
		if !limited {
			l.warn(s.Line, "snat of whatever leaves: the members' own traffic (time, names, management) would leave as the gateway's and be answered to whoever serves",
				"write ip saddr != $holdfast_owns4, or iifname $holdfast_dev_INTERFACE")
		}
		return
	}
	for i := range l.c.Members {
		for _, f := range l.c.Members[i].Interfaces {
			if !l.leavesBy(w, f) {
				continue
			}
			for _, a := range f.Own {
				if slices.ContainsFunc(from, func(p netip.Prefix) bool { return p.Contains(a.Addr()) }) {
					l.warn(s.Line, fmt.Sprintf("snat would catch what %s sends itself from %s", l.c.Members[i].Name, a.Addr()),
						"write ip saddr != $holdfast_owns4 before it, or iifname $holdfast_dev_INTERFACE")
					return
				}
			}
		}
	}
}

// sources reads "saddr X" and "saddr { X, Y }"; limited is false if the rule says nothing of sources. What is not an address (a set, a
// variable) limits to what cannot be known here.
func (l *linter) sources(w []Word) (from []netip.Prefix, limited bool) {
	for i := 0; i+1 < len(w); i++ {
		if w[i].Text != "saddr" {
			continue
		}
		limited = true
		for j := i + 1; j < len(w) && (j == i+1 || w[i+1].Text == "{" && w[j-1].Text != "}"); j++ {
			if p, err := netip.ParsePrefix(w[j].Text); err == nil {
				from = append(from, p)
			} else if a, err := netip.ParseAddr(w[j].Text); err == nil {
				from = append(from, netip.PrefixFrom(a, a.BitLen()))
			} else if net, ok := strings.CutPrefix(w[j].Text, "$holdfast_net"); ok && len(net) > 2 {
				from = append(from, l.networks(net[2:])...)
			}
		}
	}
	return from, limited
}

func (l *linter) networks(name string) []netip.Prefix {
	var all []netip.Prefix
	if l.c == nil {
		return nil
	}
	for i := range l.c.Members {
		for _, f := range l.c.Members[i].Interfaces {
			if l.name(f) == name {
				for _, p := range f.Own {
					all = append(all, p.Masked())
				}
			}
		}
	}
	return all
}

// leavesBy reports whether the rule is about packets that leave by the interface, or by any.
func (l *linter) leavesBy(w []Word, f Interface) bool {
	for i := 0; i+1 < len(w); i++ {
		if w[i].Text != "oifname" && w[i].Text != "oif" {
			continue
		}
		for _, x := range w[i+1:] {
			if t := strings.Trim(x.Text, `"`); t == f.Device || t == "$"+Prefix+"dev_"+l.name(f) {
				return true
			}
			if x.Text != "{" && x.Text != "," && x.Text[0] != '"' && x.Text[0] != '$' && x.Text != f.Device {
				break
			}
		}
		return false
	}
	return true
}

// literals finds virtual addresses and devices that are written out.
func (l *linter) literals() {
	for _, s := range l.rules() {
		for i, w := range s.Words {
			for _, text := range strings.FieldsFunc(strings.Trim(w.Text, "[]"), func(c rune) bool { return c == '[' || c == ']' }) {
				a, err := netip.ParseAddr(text)
				if host, _, ok := strings.Cut(text, ":"); err != nil && ok {
					a, err = netip.ParseAddr(host)
				}
				if name, ok := l.vips[a]; err == nil && ok {
					l.warn(w.Line, fmt.Sprintf("%v is written out, a virtual address of %s", a, name), "write $"+Prefix+"vip"+digit(a.Is6())+"_"+name)
				}
			}
			device := strings.Trim(w.Text, `"`)
			if name, ok := l.devices[device]; ok && i > 0 && l.afterInterface(s.Words[:i]) {
				if lacks := l.lacks(name, device); lacks != "" {
					l.warn(w.Line, fmt.Sprintf("device %s is written out, and %s's %s is another", device, lacks, name), "write $"+Prefix+"dev_"+name)
				}
			}
		}
	}
}

func (l *linter) rules() []Statement {
	all := slices.Clone(l.r.Defines)
	for i := range l.r.Tables {
		for _, o := range l.r.Tables[i].Objects {
			all = append(all, o.Statements...)
		}
	}
	return all
}

func (l *linter) afterInterface(before []Word) bool {
	for i := len(before) - 1; i >= 0; i-- {
		switch before[i].Text {
		case "iif", "oif", "iifname", "oifname", "devices", "device":
			return true
		case "{", ",", "=", "!=", "==":
		default:
			if before[i].Text[0] != '"' {
				return false
			}
		}
	}
	return false
}

// lacks names a member on which the interface has another device.
func (l *linter) lacks(name, device string) string {
	for i := range l.c.Members {
		for _, f := range l.c.Members[i].Interfaces {
			if l.name(f) == name && f.Device != device {
				return l.c.Members[i].Name
			}
		}
	}
	return ""
}
