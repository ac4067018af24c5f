// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// may is what a member says of which families may be translated.
func (m *member) may() families {
	four, six := m.plane.Translated()
	return families{four, six}
}

// again has a member read its whole table.
func (m *member) again() {
	m.plane.mu.Lock()
	defer m.plane.mu.Unlock()
	m.plane.doubtTally()
}

// TestTranslated: a connection that is translated is known where it begins and where it is copied to, and forgotten when no reading finds one.
func TestTranslated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1)
	w.ready()
	all := func(want families) func() bool {
		return func() bool { return w.members[0].may() == want && w.members[1].may() == want }
	}
	w.eventually("an empty table is known to have none", 0, all(families{}))
	own := w.members[0]
	own.tool("-I", "-p", "udp", "-s", "10.0.0.1", "-d", "198.51.100.7", "--sport", "7", "--dport", "53", "-t", "500")
	w.eventually("one that is not translated is copied", 0, w.equal(1))
	if !all(families{})() {
		t.Errorf("one that is not translated: %+v, %+v", own.may(), w.members[1].may())
	}
	own.tool("-I", "-p", "udp", "-s", "10.0.0.2", "-d", "198.51.100.7", "--sport", "7", "--dport", "53", "-t", "500", "--src-nat", "203.0.113.1:40000")
	w.eventually("IPv4 is met by both", 0, all(families{four: true}))
	own.tool("-I", "-p", "tcp", "-s", "2001:db8::1", "-d", "2001:db8::7", "--sport", "7", "--dport", "80", "-t", "500", "--state", "ESTABLISHED", "--dst-nat", "[2001:db8:1::1]:8080")
	w.eventually("IPv6 is met by both", 0, all(families{true, true}))
	own.tool("-D", "-p", "udp", "-s", "10.0.0.2")
	w.eventually("the end is copied", 0, w.equal(2))
	for _, m := range w.members {
		m.again()
	}
	w.eventually("none of IPv4 is left", 0, all(families{six: true}))
	// One that is never synchronised is found as well.
	own.tool("-I", "-p", "udp", "-s", "10.0.0.3", "-d", "192.0.2.250", "--sport", "7", "--dport", "53", "-t", "500", "--src-nat", "203.0.113.1:40001")
	own.again()
	w.eventually("one of a member's own address", 0, func() bool { return own.may() == families{true, true} && w.members[1].may() == families{six: true} })
}

// TestTranslatedMeanwhile: what is met while the table is read was not found by the reading, perhaps, and an entry that cannot be read may be translated.
func TestTranslatedMeanwhile(t *testing.T) {
	var v translated
	changes := make(chan struct{}, 1)
	v.may = families{true, true}
	v.since = families{}
	v.since.meet(udp(1, record.OpNew))
	v.set(v.since, changes)
	if v.may != (families{}) || len(changes) != 1 {
		t.Errorf("nothing was met: %+v, %d told", v.may, len(changes))
	}
	<-changes
	v.since.doubt(conntrack.Message{Payload: []byte{record.IPv6, 0, 0, 0}})
	v.review(changes)
	v.set(v.since, changes)
	if v.may != (families{six: true}) || len(changes) != 1 {
		t.Errorf("an entry that cannot be read: %+v, %d told", v.may, len(changes))
	}
}
