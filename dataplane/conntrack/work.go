// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// step is what a work asks the kernel for next.
type step uint8

const (
	stepCreate   step = iota + 1 // create, and fail if it is there
	stepUpdate                   // change what is there
	stepDelete                   // delete
	stepGet                      // read what has the tuple
	stepAmend                    // change what was read, with the bits of its status that cannot be changed
	stepReplace                  // delete what has the tuple, and create
	stepGetReply                 // read what has the reply tuple
	stepEvict                    // delete what has the reply tuple, and create
)

// span is a part of Table.found.
type span struct{ from, to int }

// work is a record on its way into the kernel.
type work struct {
	index int32
	then  int32 // the record that waits for this one; -1: none
	step  step
	tries uint8
	drop  set    // attributes to leave out
	keep  uint32 // bits of the status of what is there, to be said again
	lack  Parts  // what drop leaves out

	clashed   bool // creating said EEXIST
	patient   bool // the master was not there yet
	displaced bool // something was deleted to make room
	unaided   bool // its helper was known to be lacking from the beginning
	unhelped  bool // changes leave the helper out: the kernel does not want it for what is there

	errno     unix.Errno // what the kernel answered this round
	clear     unix.Errno // and to the deletion before a creation
	found     span       // the entry that was read last, in this round or an earlier one
	foundType uint16
	asked     bool // found is of this round
}

// maxTries bounds the rounds of one record. The longest way is six: create, read, read by the reply tuple, evict; and once more without
// master and without helper, and a change without helper.
const maxTries = 10

func firstStep(r record.Record) step {
	switch {
	case r.Op == record.OpDelete:
		return stepDelete
	case r.Op == record.OpUpdate && r.Table == record.TableConnections:
		return stepUpdate
	}
	return stepCreate
}

// ask appends the work's next request to the batch.
func (t *Table) ask(w *work, index int32, r record.Record) {
	typNew, typGet, typDelete := uint16(msgNew), uint16(msgGet), uint16(msgDelete)
	if r.Table == record.TableExpectations {
		typNew, typGet, typDelete = expNew, expGet, expDelete
	}
	const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	only, before := request{work: index}, request{work: index, part: partClear}
	switch w.step {
	case stepCreate:
		t.message(typNew, create, r.Family, only, func(b []byte) []byte { return t.without(b, w.drop, r.AppendCreate) })
	case stepUpdate:
		t.message(typNew, 0, r.Family, only, func(b []byte) []byte { return t.without(b, w.dropOfUpdate(), r.AppendUpdate) })
	case stepAmend:
		t.message(typNew, 0, r.Family, only, func(b []byte) []byte {
			at := len(b)
			b = t.without(b, w.dropOfUpdate(), r.AppendUpdate)
			if status := find(b[at:], ctaStatus); len(status) == 4 {
				binary.BigEndian.PutUint32(status, binary.BigEndian.Uint32(status)&^statusExpected|w.keep)
			}
			return b
		})
	case stepDelete:
		t.deletion(typDelete, r, only, r.AppendDelete)
	case stepGet:
		t.message(typGet, 0, r.Family, only, r.AppendDelete)
	case stepGetReply:
		t.message(typGet, 0, r.Family, only, func(b []byte) []byte { return appendReply(b, r) })
	case stepReplace:
		t.deletion(typDelete, r, before, r.AppendDelete)
		t.message(typNew, create, r.Family, only, func(b []byte) []byte { return t.without(b, w.drop, r.AppendCreate) })
	case stepEvict:
		t.deletion(typDelete, r, before, func(b []byte) []byte { return appendReply(b, r) })
		t.message(typNew, create, r.Family, only, func(b []byte) []byte { return t.without(b, w.drop, r.AppendCreate) })
	}
}

// dropOfUpdate are the attributes to leave out of a change.
func (w *work) dropOfUpdate() set {
	if w.unhelped {
		return w.drop | of(ctaHelp)
	}
	return w.drop
}

// deletion appends a request to delete. Without a tuple the kernel would take it for an order to empty the whole table, and with a filter
// for one to delete all that it matches: such a request becomes one to change, without anything to find it by, which does nothing.
func (t *Table) deletion(typ uint16, r record.Record, what request, attrs func([]byte) []byte) {
	at := len(t.out)
	t.message(typ, 0, r.Family, what, attrs)
	if !deletesOne(r.Table, t.out[at+headLen:]) {
		binary.NativeEndian.PutUint16(t.out[at+4:], typ&0xff00)
	}
}

// deletesOne says whether the attributes of a request to delete name one entry.
func deletesOne(table record.Table, attrs []byte) bool {
	has := present(attrs)
	if table == record.TableExpectations {
		return has.has(ctaExpectTuple)
	}
	return has&of(ctaTupleOrig, ctaTupleReply) != 0 && !has.has(ctaFilter)
}
