// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// Bits of a connection's status (linux/netfilter/nf_conntrack_common.h, enum ip_conntrack_status): one that a change must repeat as it
// is, and two that it cannot take back. The kernel refuses all else with EBUSY.
const (
	statusExpected  = 1 << 0
	statusSeenReply = 1 << 1
	statusAssured   = 1 << 2
)

// advance takes the kernel's answer to a work: true when it is done, with its outcome.
func (t *Table) advance(w *work, r record.Record, o *Outcome) bool {
	if w.tries++; w.tries > maxTries {
		return w.done(o, Refused)
	}
	switch w.step {
	case stepDelete:
		switch w.errno {
		case 0:
			return w.done(o, Deleted)
		case unix.ENOENT:
			return w.done(o, Absent)
		}
		return w.done(o, Refused)
	case stepUpdate, stepAmend:
		return w.updated(r, o)
	case stepGet:
		return t.read(w, r, o)
	case stepGetReply:
		if !w.asked {
			return w.next(stepCreate) // it went away between two questions
		}
		return w.next(stepEvict)
	}
	if w.step != stepCreate && w.clear == 0 {
		w.displaced = true
		if t.Displaced != nil {
			t.Displaced(t.entry(w))
		}
	}
	over := w.created(r, o)
	if over && o.Result != Refused && o.Without&PartHelper != 0 && !w.unaided {
		t.lacks.add(r)
	}
	return over
}

func (w *work) done(o *Outcome, result Result) bool {
	*o = Outcome{Result: result, Without: w.lack}
	if result == Refused {
		o.Errno = w.errno
	}
	return true
}

func (w *work) next(s step) bool {
	w.step = s
	return false
}

// updated goes on after a change of what is there.
func (w *work) updated(r record.Record, o *Outcome) bool {
	switch w.errno {
	case 0:
		return w.done(o, Updated)
	case unix.ENOENT, unix.ETIME: // ETIME: it is there, but ending (__nf_ct_change_timeout)
		return w.next(stepCreate)
	case unix.ENOSPC:
		if w.weaken(r, PartLabels) {
			return false
		}
	case unix.EBUSY, unix.EOPNOTSUPP, unix.EPERM:
		// A connection has its helper from the beginning: what is there keeps the one that it has, or none.
		if !w.unhelped && r.Table == record.TableConnections && present(r.Attrs).has(ctaHelp) {
			w.unhelped = true
			return false
		}
	default:
		return w.done(o, Refused)
	}
	if w.step == stepAmend {
		return w.next(stepReplace)
	}
	return w.next(stepGet)
}

// read goes on after reading what has the record's tuple.
func (t *Table) read(w *work, r record.Record, o *Outcome) bool {
	switch {
	case w.asked && !t.same(w, r):
		return w.next(stepReplace)
	case w.asked && r.Table == record.TableExpectations:
		return w.done(o, Updated) // the kernel changes nothing of an expectation but its timeout, which is the helper's
	case w.asked:
		return w.next(stepAmend)
	case w.errno == unix.ENOENT && w.clashed && r.Table == record.TableConnections:
		return w.next(stepGetReply)
	case w.errno == unix.ENOENT:
		return w.next(stepCreate)
	}
	return w.done(o, Refused)
}

// created goes on after an attempt to create.
func (w *work) created(r record.Record, o *Outcome) bool {
	switch w.errno {
	case 0:
		if w.displaced {
			return w.done(o, Replaced)
		}
		return w.done(o, Created)
	case unix.EEXIST:
		w.clashed = true
		if w.step == stepReplace {
			return w.next(stepGetReply)
		}
		return w.next(stepGet)
	case unix.ENOENT:
		// Its master is not there. It may be among the records that wait for another round.
		if !w.patient {
			w.patient = true
			return w.next(stepCreate)
		}
		if w.weaken(r, PartMaster) {
			return w.next(stepCreate)
		}
	case unix.EOPNOTSUPP:
		if w.weaken(r, PartHelper) {
			return w.next(stepCreate)
		}
	}
	return w.done(o, Refused)
}

// weaken leaves out a part of a connection that the kernel does not take; false if there is no such part to leave out.
func (w *work) weaken(r record.Record, part Parts) bool {
	var attrs set
	switch part {
	case PartMaster:
		attrs = of(ctaTupleMaster)
	case PartHelper:
		attrs = of(ctaHelp)
	case PartLabels:
		attrs = of(ctaLabels, ctaLabelsMask)
	}
	attrs &= present(r.Attrs) &^ w.drop
	if attrs == 0 || r.Table != record.TableConnections {
		return false
	}
	w.drop |= attrs
	w.lack |= part
	return true
}

// entry is what the work has read.
func (t *Table) entry(w *work) Message {
	return Message{Type: w.foundType, Payload: t.found[w.found.from:w.found.to]}
}

// same says whether what the work has read can be made what the record says by changing it: the translation, the master and (for an
// expectation) all else are as in the record, and its status says nothing that the record's does not.
func (t *Table) same(w *work, r record.Record) bool {
	m := t.entry(w)
	e, err := record.FromMessage(t.spare[:0], m.Type, 0, m.Payload)
	if err != nil {
		return false
	}
	equal := func(typ uint16) bool { return bytes.Equal(find(e.Attrs, typ), find(r.Attrs, typ)) }
	if r.Table == record.TableExpectations {
		return equal(ctaExpectMaster) && equal(ctaExpectMask) && equal(ctaExpectFlags) && equal(ctaExpectNat)
	}
	if !equal(ctaTupleReply) || !equal(ctaNatSrc) || !equal(ctaNatDst) {
		return false
	}
	if find(r.Attrs, ctaTupleMaster) != nil && !w.drop.has(ctaTupleMaster) && !equal(ctaTupleMaster) {
		return false
	}
	is, want := number(find(m.Payload[nfgenLen:], ctaStatus)), number(find(r.Attrs, ctaStatus))
	w.keep = is & statusExpected
	return is&^want&(statusSeenReply|statusAssured) == 0
}

// number reads an attribute's value of four bytes, 0 for any other.
func number(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}
