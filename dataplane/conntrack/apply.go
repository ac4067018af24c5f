// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// Apply puts rs into the tables, in their order, and says in out, which must be as long, what became of each. Connections and
// expectations are taken; a record of another table is refused with EPROTONOSUPPORT, one without a tuple with EINVAL. rs are expected
// to have passed record.Checker.
//
//   - NEW creates; where the tuple is taken it updates an entry with the same translation and replaces any other.
//   - UPDATE changes what is there, and creates what is not.
//   - DELETE deletes; that nothing is there is fine (Absent).
//
// Records of one entry may follow each other in rs. The error is about the socket: what became of the records is then not known. It
// allocates nothing while the kernel takes the records as they are.
func (t *Table) Apply(rs []record.Record, out []Outcome) error {
	if len(rs) != len(out) {
		return fmt.Errorf("conntrack: apply %d records with room for %d outcomes", len(rs), len(out))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return os.ErrClosed
	}
	t.work, t.found = t.work[:0], t.found[:0]
	for i := range rs {
		out[i] = Outcome{}
		if errno := acceptable(rs[i]); errno != 0 {
			out[i] = Outcome{Result: Refused, Errno: errno}
			continue
		}
		w := work{index: int32(i), step: firstStep(rs[i]), then: -1}
		if t.lacks.has(rs[i]) {
			w.unaided = w.weaken(rs[i], PartHelper)
		}
		t.work = append(t.work, w)
	}
	for first := true; len(t.work) > 0; first = false {
		if err := t.round(rs); err != nil {
			t.out, t.sent = t.out[:0], t.sent[:0]
			return err
		}
		t.settle(rs, out)
		if first && len(t.work) > 0 {
			t.queue(rs, out)
		}
	}
	return nil
}

// acceptable refuses what must not reach the kernel: a request to delete without a tuple empties the whole table.
func acceptable(r record.Record) unix.Errno {
	tuple := uint16(ctaTupleOrig)
	switch r.Table {
	case record.TableConnections:
	case record.TableExpectations:
		tuple = ctaExpectTuple
	default:
		return unix.EPROTONOSUPPORT
	}
	if r.Op < record.OpNew || r.Op > record.OpDelete || len(r.Attrs) > record.MaxLen || find(r.Attrs, tuple) == nil {
		return unix.EINVAL
	}
	return 0
}

// round sends the next request of every work and takes the answers.
func (t *Table) round(rs []record.Record) error {
	for i := range t.work {
		w := &t.work[i]
		w.errno, w.clear, w.asked = 0, 0, false
		t.ask(w, int32(i), rs[w.index])
		if t.full() {
			if err := t.exchange(t.answer); err != nil {
				return err
			}
		}
	}
	return t.exchange(t.answer)
}

// answer notes what the kernel said.
func (t *Table) answer(r request, errno unix.Errno, m Message) {
	if r.work < 0 {
		return
	}
	w := &t.work[r.work]
	switch {
	case errno == 0:
		w.found = span{len(t.found), len(t.found) + len(m.Payload)}
		w.foundType, w.asked = m.Type, true
		t.found = append(t.found, m.Payload...)
	case r.part == partClear:
		w.clear = errno
	default:
		w.errno = errno
	}
}

// settle takes the works that are done off the list, and begins those that waited for them.
func (t *Table) settle(rs []record.Record, out []Outcome) {
	kept := t.work[:0]
	for i := range t.work {
		w := t.work[i]
		if !t.advance(&w, rs[w.index], &out[w.index]) {
			kept = append(kept, w)
			continue
		}
		if w.then >= 0 {
			kept = append(kept, work{index: w.then, step: firstStep(rs[w.then]), then: t.chain[w.then]})
		}
	}
	t.work = kept
}

// queue keeps the order of the records of one entry when the first round has left works undone. A work with a later NEW or DELETE of
// its entry is over: that one says what counts. Later UPDATEs may have changed an entry that the work is going to replace, so they
// wait for it, and are done again.
func (t *Table) queue(rs []record.Record, out []Outcome) {
	clear(t.latest)
	t.chain = append(t.chain[:0], make([]int32, len(rs))...)
	for i := len(rs) - 1; i >= 0; i-- {
		t.chain[i] = -1
		if out[i].Result == Refused && out[i].Errno == unix.EINVAL {
			continue
		}
		tuple, err := record.Original(rs[i])
		if err != nil {
			continue
		}
		k := entryKey{table: rs[i].Table, tuple: tuple}
		if next, ok := t.latest[k]; ok {
			t.chain[i] = next
		}
		t.latest[k] = int32(i)
	}
	waiting := make(map[int32]bool)
	kept := t.work[:0]
	for _, w := range t.work {
		switch {
		case waiting[w.index]:
			continue
		case t.overtaken(w.index, rs):
			out[w.index] = Outcome{Result: Superseded}
			continue
		}
		w.then = t.chain[w.index]
		for j := w.then; j >= 0; j = t.chain[j] {
			waiting[j] = true
		}
		kept = append(kept, w)
	}
	t.work = kept
}

// overtaken says whether a NEW or DELETE of the same entry comes later than record i.
func (t *Table) overtaken(i int32, rs []record.Record) bool {
	for j := t.chain[i]; j >= 0; j = t.chain[j] {
		if rs[j].Op != record.OpUpdate {
			return true
		}
	}
	return false
}

// entryKey names an entry of a table.
type entryKey struct {
	table record.Table
	tuple record.Tuple
}
