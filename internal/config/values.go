// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/hex"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The methods of builder turn one scalar into one typed value. A scalar that is not set gives the default, one that is wrong gives
// the default too and is reported.

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$`)

// name reads a name for people and paths; what says of what.
func (b *builder) name(s scalar, what string) string {
	if s.set && !nameForm.MatchString(s.text) {
		b.add(s, "use letters, digits, '-', '_' and '.', at most 32, the first a letter or digit", "not a name of a %s", what)
		return ""
	}
	return s.text
}

// number reads an unsigned integer, decimal or 0x, between lo and hi.
func (b *builder) number(s scalar, lo, hi, def uint64) uint64 {
	if !s.set {
		return def
	}
	n, err := strconv.ParseUint(s.text, 0, 64)
	if err != nil || n < lo || n > hi {
		b.add(s, "write a number between "+strconv.FormatUint(lo, 10)+" and "+strconv.FormatUint(hi, 10), "out of range or not a number")
		return def
	}
	return n
}

// flag reads true or false; YAML's other spellings are refused, since they mean text elsewhere.
func (b *builder) flag(s scalar, def bool) bool {
	switch {
	case !s.set:
		return def
	case s.text == "true":
		return true
	case s.text != "false":
		b.add(s, "write true or false", "not a yes-or-no value")
		return def
	}
	return false
}

// duration reads a time with its unit between lo and hi.
func (b *builder) duration(s scalar, lo, hi, def time.Duration) time.Duration {
	if !s.set {
		return def
	}
	d, err := time.ParseDuration(s.text)
	if err != nil {
		wayOut := "write it with its unit: 10ms, 3s, 10m"
		if _, err := strconv.ParseFloat(s.text, 64); err == nil {
			wayOut = "write the unit: " + s.text + "ms?"
		}
		b.add(s, wayOut, "not a duration")
		return def
	}
	if d < lo || d > hi {
		b.add(s, "choose "+short(lo)+" to "+short(hi), "out of range")
		return def
	}
	return d
}

// choice reads one of the given words.
func choice[T ~string](b *builder, s scalar, def T, all ...T) T {
	if !s.set {
		return def
	}
	words := make([]string, len(all))
	for i, w := range all {
		if string(w) == s.text {
			return w
		}
		words[i] = string(w)
	}
	b.add(s, "choose "+strings.Join(words, ", "), "not known here")
	return def
}

// address reads an IP address without prefix or zone.
func (b *builder) address(s scalar) (netip.Addr, bool) {
	if !s.set {
		return netip.Addr{}, false
	}
	if strings.Contains(s.text, "/") {
		b.add(s, "write the address alone", "a prefix where an address is expected")
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s.text)
	switch {
	case err != nil:
		b.add(s, "write 192.0.2.1 or 2001:db8::1", "not an IP address")
	case a.Zone() != "":
		b.add(s, "leave out the zone: the interface is known", "an address with a zone")
	case a.Is4In6():
		b.add(s, "write "+a.Unmap().String(), "an IPv4 address in IPv6 form")
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		b.add(s, "use an address of a host", "not an address that a host can have")
	default:
		return a, true
	}
	return netip.Addr{}, false
}

// prefix reads address/length; the address may have host bits.
func (b *builder) prefix(s scalar) (netip.Prefix, bool) {
	if !s.set {
		return netip.Prefix{}, false
	}
	addr, bits, ok := strings.Cut(s.text, "/")
	if !ok {
		b.add(s, "write its prefix length: "+shorten(s.text)+"/24, /64, ...", "no prefix length")
		return netip.Prefix{}, false
	}
	a, ok := b.address(scalar{text: addr, line: s.line, path: s.path, set: true})
	if !ok {
		return netip.Prefix{}, false
	}
	n, err := strconv.Atoi(bits)
	switch {
	case err != nil || n < 1 || bits != strconv.Itoa(n):
		b.add(s, "write a length of 1 to "+strconv.Itoa(a.BitLen()), "not a prefix length")
	case n > a.BitLen():
		b.add(s, "write a length of at most "+strconv.Itoa(a.BitLen()), "prefix longer than %d", a.BitLen())
	default:
		return netip.PrefixFrom(a, n), true
	}
	return netip.Prefix{}, false
}

// network reads a prefix without host bits.
func (b *builder) network(s scalar) (netip.Prefix, bool) {
	p, ok := b.prefix(s)
	if ok && p != p.Masked() {
		b.add(s, "write "+p.Masked().String(), "host bits are set in a network")
		return netip.Prefix{}, false
	}
	return p, ok
}

// mac reads six octets of a station's own MAC; five are allowed if short, the sixth then is 0. nil: reported.
func (b *builder) mac(s scalar, short bool) *[6]byte {
	form := "write six octets: 02:00:5e:10:20:30"
	if short {
		form = "write five octets, 02:aa:bb:cc:dd: the sixth is Holdfast's"
	}
	octets := strings.Split(s.text, ":")
	var m [6]byte
	for i, o := range octets {
		v, err := hex.DecodeString(o)
		if err != nil || len(v) != 1 || i >= len(m) {
			b.add(s, form, "not a MAC address")
			return nil
		}
		m[i] = v[0]
	}
	switch {
	case len(octets) != 6 && (!short || len(octets) != 5):
		b.add(s, form, "not a MAC address")
	case short && m[5] != 0:
		b.add(s, form, "the sixth octet is not free")
	case m[0]&1 != 0:
		b.add(s, "use an even first octet, 02 for instance", "multicast bit set: no station may have it as its own")
	case m == [6]byte{}:
		b.add(s, form, "all zero")
	default:
		return &m
	}
	return nil
}

// absolute reads the path of something of the host's; no placeholders.
func (b *builder) absolute(s scalar) string {
	if !s.set {
		return ""
	}
	if !filepath.IsAbs(s.text) || strings.ContainsRune(s.text, 0) {
		b.add(s, "write the path from / on", "not an absolute path")
		return ""
	}
	return filepath.Clean(s.text)
}

// pattern reads a regular expression in Go's syntax (RE2).
func (b *builder) pattern(s scalar) string {
	if _, err := regexp.Compile(s.text); err != nil {
		b.add(s, "write it in the syntax of RE2: ^ok$", "not a regular expression")
		return ""
	}
	if s.set && s.text == "" {
		b.add(s, "leave it out", "an empty pattern matches everything")
	}
	return s.text
}

var (
	unitForm = regexp.MustCompile(`^[A-Za-z0-9:_.\\@-]{1,200}\.(service|socket|device|mount|automount|swap|target|path|timer|slice|scope)$`)
	userForm = regexp.MustCompile(`^[a-z_][a-z0-9_.-]{0,31}\$?$`)
)

// short writes a duration without the zero parts that time.Duration adds: 10m, not 10m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
