// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	minInterval, maxInterval = 100 * time.Millisecond, time.Hour
	minCheck                 = 10 * time.Millisecond // the least timeout
	maxCount                 = 100                   // of rise and fall
	maxTargets               = 16                    // of one monitor
	maxCommand               = 1000                  // characters
)

// monitorBuilder reads one monitor.
type monitorBuilder struct {
	*builder
	raw  rawMonitor
	path string
	m    *Monitor
	keys map[string]scalarOrList
}

// scalarOrList is where a key was written, if it was.
type scalarOrList struct {
	at  scalar
	set bool
}

func (b *builder) monitors() {
	raw := b.raw.Monitors
	if len(raw) > MaxMonitors {
		b.at(raw[MaxMonitors].Line, "monitors", "let a script check several things", "%d monitors, more than %d", len(raw), MaxMonitors)
		raw = raw[:MaxMonitors]
	}
	names := make(map[string]int)
	for i, r := range raw {
		if r.Line == 0 {
			continue // reported
		}
		m := Monitor{}
		mb := &monitorBuilder{builder: b, raw: r, path: "monitors[" + strconv.Itoa(i) + "]", m: &m}
		mb.keys = mb.written()
		mb.common()
		if first, ok := names[m.Name]; ok && m.Name != "" {
			b.add(r.Name, "give each its own name; several may have the same device", "the name of monitors[%d] too", first)
		}
		names[m.Name] = i
		if m.Type != "" {
			mb.foreign()
			mb.specific()
		}
		b.c.Monitors = append(b.c.Monitors, m)
	}
}

// written lists the keys that the file gives.
func (b *monitorBuilder) written() map[string]scalarOrList {
	keys := make(map[string]scalarOrList)
	v := reflect.ValueOf(b.raw)
	for i := range v.NumField() {
		key := v.Type().Field(i).Tag.Get("yaml")
		switch f := v.Field(i).Interface().(type) {
		case scalar:
			keys[key] = scalarOrList{f, f.set}
		case []scalar:
			if len(f) > 0 {
				keys[key] = scalarOrList{scalar{line: f[0].line, path: join(b.path, key)}, true}
			}
		}
	}
	return keys
}

func (b *monitorBuilder) missing(key, wayOut string) {
	b.at(b.raw.Line, join(b.path, key), wayOut, "missing: a monitor of type %s needs it", b.m.Type)
}

// common reads what all types have.
func (b *monitorBuilder) common() {
	r, m := b.raw, b.m
	if !r.Name.set {
		b.at(r.Line, b.path+".name", "give it a name", "missing")
	}
	m.Name = b.name(r.Name, "monitor")
	types := slices.Sorted(maps.Keys(monitorDefaults))
	if !r.Type.set {
		words := make([]string, len(types))
		for i, t := range types {
			words[i] = string(t)
		}
		b.at(r.Line, b.path+".type", "choose "+strings.Join(words, ", "), "missing")
	}
	m.Type = choice(b.builder, r.Type, "", types...)
	m.Device = m.Name
	own := r.Name
	if r.Device.set {
		m.Device, own = b.name(r.Device, "critical device"), r.Device
	}
	if slices.Contains(ownDevices, m.Device) {
		b.add(own, "choose another name; of the built-in ones, policy and routing are open to monitors", "a critical device that Holdfast reports itself")
	}
	b.onMembers()
	d := monitorDefaults[m.Type]
	if m.Type == "" { // reported; the rest is checked all the same
		d = monitorDefaults[MonitorTCP]
	}
	m.Interval = b.duration(r.Interval, minInterval, maxInterval, d.interval)
	m.Timeout = b.duration(r.Timeout, minCheck, maxInterval, min(d.timeout, m.Interval))
	if m.Timeout > m.Interval {
		b.add(r.Timeout, "choose at most "+short(m.Interval), "longer than the interval: the next check would be late")
	}
	m.Rise = int(b.number(r.Rise, 1, maxCount, d.rise))
	m.Fall = int(b.number(r.Fall, 1, maxCount, d.fall))
}

// onMembers reads where the monitor runs; all members written out are the same as none.
func (b *monitorBuilder) onMembers() {
	on := make(map[string]bool)
	for _, s := range b.raw.Members {
		known := slices.ContainsFunc(b.c.Members, func(m Member) bool { return m.Name == s.text && s.text != "" })
		switch {
		case !known:
			b.add(s, "use names of members, or leave the list out for all", "not a member")
		case on[s.text]:
			b.add(s, "keep one of them", "given twice")
		}
		on[s.text] = true
	}
	for _, m := range b.c.Members {
		if on[m.Name] {
			b.m.Members = append(b.m.Members, m.Name)
		}
	}
	if len(b.m.Members) == len(b.c.Members) {
		b.m.Members = nil
	}
}

// foreign refuses keys of other types: they would be without effect.
func (b *monitorBuilder) foreign() {
	known := append([]string{"name", "type", "device", "members", "interval", "timeout", "rise", "fall"}, monitorKeys[b.m.Type]...)
	for _, key := range slices.Sorted(maps.Keys(b.keys)) {
		if k := b.keys[key]; k.set && !slices.Contains(known, key) {
			b.add(k.at, "its own keys are "+strings.Join(monitorKeys[b.m.Type], ", "), "not a key of a monitor of type %s", b.m.Type)
		}
	}
}

// specific reads the keys of the type.
func (b *monitorBuilder) specific() {
	switch b.m.Type {
	case MonitorProcess:
		b.process()
	case MonitorSystemd:
		b.unit()
	case MonitorScript:
		b.script()
	case MonitorTCP:
		b.tcp()
	case MonitorHTTP:
		b.http()
	case MonitorPing, MonitorARP:
		b.targets()
	case MonitorDisk:
		b.disk()
	case MonitorInterface:
		b.rates()
	case MonitorRoute:
		b.route()
	case MonitorFile:
		b.file()
	case MonitorNFT:
		b.nft()
	}
}

func (b *monitorBuilder) process() {
	r, m := b.raw, b.m
	if !r.Process.set && !r.PIDFile.set {
		b.missing("process", "name the process, or its pidfile")
	}
	if r.Process.set && (r.Process.text == "" || strings.ContainsAny(r.Process.text, "/ \x00")) {
		b.add(r.Process, "write the name alone, as in ps -o comm: bgpd", "not the name of a process")
	}
	m.Process = r.Process.text
	m.PIDFile = b.builder.absolute(r.PIDFile)
	if r.PIDFile.set {
		for _, s := range []scalar{r.Min, r.Max} {
			if s.set {
				b.add(s, "leave it out", "a pidfile names one process")
			}
		}
		return
	}
	m.Min = int(b.number(r.Min, 0, 100000, 1))
	m.Max = int(b.number(r.Max, 1, 100000, 0))
	switch {
	case m.Max > 0 && m.Min > m.Max:
		b.add(r.Max, "choose at least min: "+strconv.Itoa(m.Min), "smaller than min")
	case m.Max == 0 && m.Min == 0:
		b.add(r.Min, "choose at least 1, or give max", "any number of processes would do")
	}
}

func (b *monitorBuilder) unit() {
	s := b.raw.Unit
	switch {
	case !s.set:
		b.missing("unit", "name it: frr.service")
	case !unitForm.MatchString(s.text):
		b.add(s, "write it with its suffix: frr.service", "not the name of a unit")
	}
	b.m.Unit = s.text
}

func (b *monitorBuilder) script() {
	if strings.TrimSpace(b.raw.Command.text) == "" {
		b.missing("command", "write the line for /bin/sh")
	}
	b.m.Command = b.command(b.raw.Command)
	b.m.User = b.user(b.raw.User)
}

// command reads a line for /bin/sh.
func (b *builder) command(s scalar) string {
	if s.set && (strings.ContainsRune(s.text, 0) || len(s.text) > maxCommand) {
		b.add(s, "write a line of at most "+strconv.Itoa(maxCommand)+" characters; put more into a script", "not a command")
	}
	return s.text
}

// user reads who runs a command.
func (b *builder) user(s scalar) string {
	if !s.set {
		return "nobody"
	}
	if !userForm.MatchString(s.text) {
		b.add(s, "use the name of a user of the members: nobody, frr, root", "not a user name")
	}
	return s.text
}

func (b *monitorBuilder) disk() {
	r, m := b.raw, b.m
	if !r.Path.set {
		b.missing("path", "name a directory on the filesystem")
	}
	m.Path = b.builder.absolute(r.Path)
	m.MinFree = b.decimal(r.MinFree, 0, 99, 5)
	m.MinInodes = b.decimal(r.MinInodes, 0, 99, 5)
	m.ReadOnly = b.flag(r.ReadOnly, false)
	m.WriteTest = b.flag(r.WriteTest, false)
	if m.ReadOnly && m.WriteTest {
		b.add(r.WriteTest, "choose one of them", "a write test where read-only is allowed")
	}
}

func (b *monitorBuilder) file() {
	r, m := b.raw, b.m
	if !r.Path.set {
		b.missing("path", "name the file")
	}
	m.Path = b.builder.absolute(r.Path)
	m.Absent = b.flag(r.Absent, false)
	m.MaxAge = b.duration(r.MaxAge, time.Second, 10*365*24*time.Hour, 0)
	m.Match = b.pattern(r.Match)
	for _, s := range []scalar{r.MaxAge, r.Match} {
		if m.Absent && s.set {
			b.add(s, "leave it out, or absent: false", "of a file that must not be there")
		}
	}
}

func (b *monitorBuilder) nft() {
	s := b.raw.Table
	if !s.set {
		b.missing("table", "write family and name: inet filter")
		return
	}
	family, name, _ := strings.Cut(s.text, " ")
	if !slices.Contains([]string{"inet", "ip", "ip6", "arp", "bridge", "netdev"}, family) || name == "" || strings.ContainsAny(name, " \x00") || len(name) > 255 {
		b.add(s, "write family and name: inet filter", "not an nftables table")
		return
	}
	b.m.Family, b.m.Table = family, name
}

func (b *builder) routing() {
	r := b.raw.Routing
	b.c.Routing = Routing{
		OnActive: b.command(r.OnActive), OnStandby: b.command(r.OnStandby),
		Timeout: b.duration(r.Timeout, minInterval, 10*time.Minute, 10*time.Second), User: b.user(r.User),
	}
}

// oneOf reads interface or netdev; at most one may be given.
func (b *monitorBuilder) oneOf() {
	r := b.raw
	b.iface()
	if r.NetDev.set {
		switch {
		case r.Interface.set:
			b.add(r.NetDev, "keep one of them", "interface is given too")
		case !deviceName(r.NetDev.text):
			b.add(r.NetDev, "use the kernel's name, at most 15 characters", "not the name of a network device")
		}
		b.m.NetDev = r.NetDev.text
	}
}

// iface reads the cluster's name of an interface.
func (b *monitorBuilder) iface() {
	s := b.raw.Interface
	if !s.set {
		return
	}
	if _, known := b.c.Interface(s.text); !known || s.text == "" {
		b.add(s, "use a name of the list interfaces", "not an interface of the cluster")
		return
	}
	b.m.Interface = s.text
}

// isVIP reports whether an address is the cluster's.
func (b *builder) isVIP(a netip.Addr) bool {
	for _, i := range b.c.Interfaces {
		if a == i.LinkLocal || slices.ContainsFunc(i.VIPs, func(v VIP) bool { return v.Addr == a }) {
			return true
		}
	}
	return false
}
