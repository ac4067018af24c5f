// SPDX-License-Identifier: Apache-2.0

package table

import (
	"bytes"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"

	"github.com/holdfast-project/holdfast/lab/netns"
)

// Table is a connection table: both tuples of each connection, and its state and flags in words. Expectations are in it too.
type Table map[string]string

// Read reads the tables of both families and the expectations of a namespace. Connections of the addresses in own, of loopback,
// link-local and multicast addresses are left out: they are a machine's own.
func Read(ns *netns.NS, own []netip.Addr) (Table, error) {
	t := Table{}
	for _, args := range [][]string{
		{"-L", "-f", "ipv4"}, {"-L", "-f", "ipv6"}, {"-L", "expect", "-f", "ipv4"}, {"-L", "expect", "-f", "ipv6"},
	} {
		text, err := run(ns, args)
		if err != nil {
			return nil, err
		}
		t.add(text, own)
	}
	return t, nil
}

func run(ns *netns.NS, args []string) ([]byte, error) {
	cmd := exec.Command("conntrack", args...)
	var out, mistakes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &mistakes
	err := netns.Start(netns.Place{Net: ns}, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("conntrack %s on %s: %w: %s", strings.Join(args, " "), ns.Name(), err, bytes.TrimSpace(mistakes.Bytes()))
	}
	return out.Bytes(), nil
}

// add takes lines as conntrack -L writes them.
func (t Table) add(text []byte, own []netip.Addr) {
	for line := range bytes.Lines(text) {
		key, state, ok := parse(strings.Fields(string(line)), own)
		switch {
		case !ok:
		case strings.HasPrefix(key[0], "proto="): // an expectation; the first word is its time
			t["expected "+strings.Join(key, " ")] = ""
		case len(state) >= 3: // the protocol's name and number, the time that is left, then what there is of a state
			t[state[0]+" "+strings.Join(key, " ")] = strings.Join(state[3:], " ")
		}
	}
}

// parse splits the words of a line into those that name the connection and those that tell how it is.
func parse(words []string, own []netip.Addr) (key, state []string, ok bool) {
	for _, w := range words {
		name, value, field := strings.Cut(w, "=")
		switch {
		case name == "src", name == "dst":
			if ofMachine(value, own) {
				return nil, nil, false
			}
			key = append(key, w)
		case name == "mark" || !field:
			state = append(state, w)
		case name != "use":
			key = append(key, w)
		}
	}
	return key, state, len(key) > 0
}

func ofMachine(text string, own []netip.Addr) bool {
	a, err := netip.ParseAddr(text)
	return err != nil || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || slices.Contains(own, a)
}

// Difference is what tells a copy from the table that it is a copy of.
type Difference struct {
	Missing, Stale, Different []string // each in order
}

// Compare compares a copy with the owner's table, which was read before the copy (first) and after it (second): what came or went
// meanwhile is no difference.
func Compare(first, copied, second Table) Difference {
	var d Difference
	for key, state := range first {
		later, still := second[key]
		has, there := copied[key]
		switch {
		case !still:
		case !there:
			d.Missing = append(d.Missing, key+" "+state)
		case has != state && has != later:
			d.Different = append(d.Different, fmt.Sprintf("%s: %s, copied as %s", key, state, has))
		}
	}
	for key, state := range copied {
		_, before := first[key]
		_, after := second[key]
		if !before && !after {
			d.Stale = append(d.Stale, key+" "+state)
		}
	}
	slices.Sort(d.Missing)
	slices.Sort(d.Stale)
	slices.Sort(d.Different)
	return d
}

// Equal tells whether there is no difference.
func (d Difference) Equal() bool { return len(d.Missing)+len(d.Stale)+len(d.Different) == 0 }

// String tells the numbers and an example.
func (d Difference) String() string {
	text := fmt.Sprintf("%d missing, %d stale, %d different", len(d.Missing), len(d.Stale), len(d.Different))
	for _, some := range [][]string{d.Missing, d.Stale, d.Different} {
		if len(some) > 0 {
			return text + ": " + some[0]
		}
	}
	return text
}
