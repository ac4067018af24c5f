// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// nftName is how nftables lets tables and sets be called.
var nftName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_/\\.-]{0,127}$`)

// sync reads the section of state synchronisation. The interfaces are there already.
func (b *builder) sync() {
	r := b.raw.Sync
	there := len(b.c.SyncInterfaces()) > 0
	s := Sync{
		Enabled:      b.flag(r.Enabled, there),
		TCPLoose:     b.flag(r.TCPLoose, false),
		FullSyncRate: int(b.number(r.FullSyncRate, 1000, 10_000_000, defaultFullSyncRate)),
		Buffer:       b.size(r.Buffer, 1<<20, 1<<30, defaultSyncBuffer),
		Services:     b.syncServices(r.Services),
		Sets:         b.syncSets(r.Sets),
		Zones:        b.syncZones(r.Zones),
	}
	if s.Enabled && !there {
		b.add(r.Enabled, "give a monitored interface the role sync or cluster+sync, or remove the key", "no interface carries state synchronisation")
	}
	b.c.Sync = s
}

// syncServices reads the rules by service. Two that mean the same ports would leave open which one counts.
func (b *builder) syncServices(raw map[string]scalar) []SyncService {
	var all []SyncService
	names := slices.Sorted(maps.Keys(raw))
	if len(names) > maxSyncServices {
		b.at(b.raw.Sync.Line, "sync.services", "write ranges of ports, tcp/8000-8100", "%d rules, more than %d", len(names), maxSyncServices)
		return nil
	}
	for _, name := range names {
		s := raw[name]
		if !s.set { // reported by the decoder
			continue
		}
		rules := b.serviceNamed(name, s)
		never, after, ok := b.syncWhen(s)
		if !ok {
			continue
		}
		for _, rule := range rules {
			rule.Name, rule.Never, rule.After = name, never, after
			if i := slices.IndexFunc(all, rule.overlaps); i >= 0 {
				b.add(s, "let one rule say it", "%s has some of the same connections", all[i].Name)
				break
			}
			all = append(all, rule)
		}
	}
	slices.SortFunc(all, compareServices)
	return all
}

// syncWhen reads never, or how long a connection is held back.
func (b *builder) syncWhen(s scalar) (never bool, after time.Duration, ok bool) {
	if s.text == "never" {
		return true, 0, true
	}
	before := len(b.all)
	d, err := time.ParseDuration(s.text)
	switch {
	case err != nil:
		b.add(s, "write never, or a time with its unit: 3s", "neither never nor a time")
	case d < 100*time.Millisecond || d > maxSyncAfter:
		b.add(s, "choose 100ms to "+short(maxSyncAfter)+", or leave the service out: it is synchronised at once", "out of range")
	}
	return false, d, len(b.all) == before
}

// serviceNamed reads a key of services: a known name, or PROTOCOL, PROTOCOL/PORT, PROTOCOL/FIRST-LAST.
func (b *builder) serviceNamed(name string, s scalar) []SyncService {
	if known, ok := syncNames[name]; ok {
		return slices.Clone(known)
	}
	word, ports, split := strings.Cut(name, "/")
	p, ok := syncProtocols[word]
	s.text = name
	switch {
	case !ok && split:
		b.add(s, "choose "+strings.Join(slices.Sorted(maps.Keys(syncProtocols)), ", "), "not a protocol that connections are tracked by")
		return nil
	case !ok:
		b.add(s, "write PROTOCOL/PORT, or one of "+strings.Join(slices.Sorted(maps.Keys(syncNames)), ", "), "not a service known by name")
		return nil
	case split && !p.ports:
		b.add(s, "write "+word+" alone", "%s has no ports", word)
		return nil
	case !split:
		return []SyncService{{Protocol: p.number}}
	}
	first, last, isRange := strings.Cut(ports, "-")
	if !isRange {
		last = first
	}
	lo, err1 := strconv.ParseUint(first, 10, 16)
	hi, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || lo == 0 || lo > hi {
		b.add(s, "write "+word+"/80, or "+word+"/8000-8100", "not a port, 1 to 65535, nor a range of ports")
		return nil
	}
	return []SyncService{{Protocol: p.number, First: uint16(lo), Last: uint16(hi)}}
}

// syncSets reads the names of dynamic sets and maps.
func (b *builder) syncSets(raw []scalar) []SyncSet {
	var all []SyncSet
	if len(raw) > maxSyncSets {
		b.at(b.raw.Sync.Line, "sync.sets", "name those that a hand-over must not empty", "%d sets, more than %d", len(raw), maxSyncSets)
		return nil
	}
	for _, s := range raw {
		if !s.set {
			continue
		}
		w := strings.Fields(s.text)
		if len(w) != 3 || !nftName.MatchString(w[1]) || !nftName.MatchString(w[2]) {
			b.add(s, "write FAMILY TABLE NAME: inet filter blocked", "not a set or map of nftables")
			continue
		}
		set := SyncSet{Family: w[0], Table: w[1], Name: w[2]}
		switch families := []string{"ip", "ip6", "inet", "arp", "bridge", "netdev"}; {
		case !slices.Contains(families, set.Family):
			b.add(s, "choose "+strings.Join(families, ", "), "not a family of nftables")
		case slices.Contains(all, set):
			b.add(s, "keep one of them", "given twice")
		default:
			all = append(all, set)
		}
	}
	slices.SortFunc(all, func(a, b SyncSet) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// syncZones reads conntrack zones.
func (b *builder) syncZones(raw []scalar) []uint16 {
	var all []uint16
	if len(raw) > maxSyncZones {
		b.at(b.raw.Sync.Line, "sync.zones", "remove the key: all zones are synchronised then", "%d zones, more than %d", len(raw), maxSyncZones)
		return nil
	}
	for _, s := range raw {
		before := len(b.all)
		zone := uint16(b.number(s, 0, math.MaxUint16, 0)) //nolint:gosec // bounded
		switch {
		case !s.set || len(b.all) > before:
		case slices.Contains(all, zone):
			b.add(s, "keep one of them", "given twice")
		default:
			all = append(all, zone)
		}
	}
	slices.Sort(all)
	return all
}

// size reads a number of bytes with its unit between lo and hi.
func (b *builder) size(s scalar, lo, hi, def int) int {
	if !s.set {
		return def
	}
	units := []struct {
		name  string
		bytes int
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}
	for _, u := range units {
		digits, ok := strings.CutSuffix(s.text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 32)
		switch {
		case err != nil:
			b.add(s, "write it with its unit: 32MiB", "not a size")
		case n > uint64(hi/u.bytes) || int(n)*u.bytes < lo:
			b.add(s, "choose "+SizeText(lo)+" to "+SizeText(hi), "out of range")
		default:
			return int(n) * u.bytes
		}
		return def
	}
	b.add(s, "write it with its unit, KiB, MiB or GiB: 32MiB", "not a size")
	return def
}

// SizeText writes a number of bytes with the largest unit that divides it.
func SizeText(n int) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return strconv.Itoa(n>>30) + "GiB"
	case n >= 1<<20 && n%(1<<20) == 0:
		return strconv.Itoa(n>>20) + "MiB"
	case n >= 1<<10 && n%(1<<10) == 0:
		return strconv.Itoa(n>>10) + "KiB"
	}
	return strconv.Itoa(n) + " bytes"
}
