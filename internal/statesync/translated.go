// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// translated knows of which families the connection table may have connections that are translated, by address or port: those of which it has
// met one, begun here or told by another member, and all while the table has not been read. That none is left a reading of the whole table
// tells, in which there was none, and since whose beginning none was met.
type translated struct {
	may, since families
}

// families are IPv4 and IPv6.
type families struct{ four, six bool }

func (f families) or(g families) families { return families{f.four || g.four, f.six || g.six} }

// meet takes note of a record that is about to be in the table, or is there.
func (f *families) meet(r record.Record) {
	switch {
	case r.Table != record.TableConnections || r.Op == record.OpDelete:
	case r.Family == record.IPv4 && !f.four:
		f.four = r.Translated()
	case r.Family == record.IPv6 && !f.six:
		f.six = r.Translated()
	}
}

// doubt takes note of an entry that cannot be read: it may be translated.
func (f *families) doubt(m conntrack.Message) {
	if len(m.Payload) > 0 { // struct nfgenmsg begins with the family
		f.four, f.six = f.four || m.Payload[0] == record.IPv4, f.six || m.Payload[0] == record.IPv6
	}
}

// review has what was met count.
func (t *translated) review(changes chan struct{}) { t.set(t.may.or(t.since), changes) }

func (t *translated) set(may families, changes chan struct{}) {
	if may != t.may {
		t.may = may
		token(changes)
	}
}

// Translated reports of which families the kernel's table may have connections that are translated. Of one that begins here it knows from the
// kernel's event, of one that is copied before it is in the table; of services that are never synchronised only from readings of the table, once in
// ten minutes. Changes tells of a change.
func (p *Plane) Translated() (four, six bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.translated.may.four, p.translated.may.six
}
