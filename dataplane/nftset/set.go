// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"fmt"
	"strings"
)

// Set names a set or map of nftables.
type Set struct {
	// Family is the number of the table's family (linux/netfilter.h): ParseSet knows the names.
	Family uint8
	// Table and Name are the table's and the set's own.
	Table, Name string
}

// families are nftables' own, by their names.
var families = map[string]uint8{"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}

// maxName is the longest name of a table or set here: the kernel takes 255 bytes, of which a record has no room for two.
const maxName = 128

// ParseSet reads "FAMILY TABLE NAME", as in "inet filter blocked".
func ParseSet(text string) (Set, error) {
	words := strings.Fields(text)
	if len(words) != 3 {
		return Set{}, fmt.Errorf("nftset: %q: want FAMILY TABLE NAME, for example inet filter blocked", text)
	}
	s := Set{Family: families[words[0]], Table: words[1], Name: words[2]}
	if s.Family == 0 {
		return Set{}, fmt.Errorf("nftset: %q: family %q is none of inet, ip, ip6, arp, bridge and netdev", text, words[0])
	}
	if len(s.Table) > maxName || len(s.Name) > maxName {
		return Set{}, fmt.Errorf("nftset: %q: names have %d bytes at most", text, maxName)
	}
	return s, nil
}

// String returns the set as ParseSet reads it.
func (s Set) String() string {
	for name, number := range families {
		if number == s.Family {
			return name + " " + s.Table + " " + s.Name
		}
	}
	return fmt.Sprintf("family-%d %s %s", s.Family, s.Table, s.Name)
}

// Table names a table of nftables.
type Table struct {
	Family uint8
	Name   string
}

// ParseTable reads "FAMILY NAME", as in "inet filter".
func ParseTable(text string) (Table, error) {
	s, err := ParseSet(text + " x")
	if err != nil {
		return Table{}, fmt.Errorf("nftset: table %q: want FAMILY NAME, for example inet filter", text)
	}
	return Table{s.Family, s.Table}, nil
}

// Tables says how tables are called in this member's kernel that have another name there: a policy's tables carry its generation. A table that
// is not in it has its own name. Sets are named, and told to others, as the operator calls them: each member translates for itself, so
// members with different generations understand each other.
type Tables map[Table]string

// kernel is the set as the kernel knows it.
func (t Tables) kernel(s Set) Set {
	if name, ok := t[Table{s.Family, s.Table}]; ok {
		s.Table = name
	}
	return s
}
