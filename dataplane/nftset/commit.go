// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// batchLen is how many operations go into one transaction of nf_tables, and attempts how often one is tried, each time without what
// the kernel has refused. Then every operation gets a transaction of its own.
const (
	batchLen = 256
	attempts = 4
)

// commit hands the queue to the kernel.
func (a *Applier) commit() error {
	defer func() { a.queue = a.queue[:0] }()
	for left := a.queue; len(left) > 0; {
		n := min(len(left), batchLen)
		if err := a.transact(left[:n]); err != nil {
			return fmt.Errorf("nftset: change elements: %w", err)
		}
		left = left[n:]
	}
	return nil
}

func (a *Applier) transact(ops []operation) error {
	ops = append([]operation(nil), ops...)
	for range attempts {
		left, done, err := a.try(ops)
		if err != nil || done {
			return err
		}
		ops = left
	}
	for i := range ops {
		one := ops[i : i+1]
		for done := false; !done; {
			var err error
			if one, done, err = a.try(one); err != nil {
				return err
			}
		}
	}
	return nil
}

// try makes one transaction of ops: all or none. If none, left is what to try next.
func (a *Applier) try(ops []operation) (left []operation, done bool, err error) {
	if len(ops) == 0 {
		return nil, true, nil
	}
	answers, err := a.sock.transaction(ops)
	if err != nil {
		return nil, false, err
	}
	if !slices.ContainsFunc(answers, func(r result) bool { return r != result{} }) {
		for i := range ops {
			a.changed(&ops[i])
		}
		return nil, true, nil
	}
	for i, r := range answers {
		op := ops[i]
		switch {
		case r.removed == unix.ENOENT && r.added != unix.ENOENT && !op.found:
			// It is not there. If that is how it should be, this is all.
			if op.remove = false; op.add {
				left = append(left, op)
			}
		case r.added == unix.EEXIST && !op.remove && !op.found:
			op.remove, op.found = true, true // to be replaced
			left = append(left, op)
		case r != result{}:
			// Also an interval that overlaps another: it exists, and there is nothing to remove.
			a.refused(&op, r)
		default:
			left = append(left, op)
		}
	}
	return left, false, nil
}

func (a *Applier) changed(op *operation) {
	if op.add {
		a.counts.Added++
	} else {
		a.counts.Removed++
	}
	if op.heals {
		a.counts.Healed++
	}
}

func (a *Applier) refused(op *operation, r result) {
	if r.removed == unix.ENOENT && !op.add {
		return // there is no set, so no element either
	}
	a.counts.Refused[ReasonKernel]++
	errno := r.added
	if errno == 0 {
		errno = r.removed
	}
	op.target.problem = fmt.Errorf("nftset: element of %v: %w", op.target.set, errno)
	if errno == unix.ENOENT {
		op.target.problem = fmt.Errorf("%w: %v", ErrAbsent, op.target.set)
	}
}

// result is what the kernel says of an operation's two halves, 0 for what went well or was not asked for.
type result struct{ removed, added unix.Errno }

// transaction asks for all of ops at once, and returns what the kernel has against each. Nothing is changed unless all is well.
func (s *socket) transaction(ops []operation) ([]result, error) {
	at := s.begin(msgBatchBegin, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	s.end(at)
	begin := s.sequence
	// Message begin+1+2*i removes what operation i is about, the one after it adds it; numbers are left out, not moved up.
	for i := range ops {
		op, last := &ops[i], i == len(ops)-1
		if op.remove {
			s.change(op, msgDelElement, ack(last && !op.add))
		} else {
			s.sequence++
		}
		if op.add {
			s.change(op, msgNewElement, ack(last)|unix.NLM_F_CREATE|unix.NLM_F_EXCL)
		} else {
			s.sequence++
		}
	}
	end := s.sequence
	if !ops[len(ops)-1].add {
		end--
	}
	at = s.begin(msgBatchEnd, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	s.end(at)
	if err := s.flush(); err != nil {
		return nil, err
	}
	results := make([]result, len(ops))
	var whole unix.Errno
	for done := false; !done; {
		if err := s.receive(func(m message) {
			n := m.sequence - begin
			switch {
			case m.typ != unix.NLMSG_ERROR || n > end-begin:
			case n == 0:
				whole, done = m.errno, true
			case n%2 == 1:
				results[n/2].removed = m.errno
			default:
				results[n/2-1].added = m.errno
			}
			// The answers come in the order of the messages, and the last one always has one.
			done = done || (m.typ == unix.NLMSG_ERROR && m.sequence == end)
		}); err != nil {
			return nil, err
		}
	}
	if whole != 0 {
		return nil, whole
	}
	return results, nil
}

func ack(want bool) uint16 {
	if want {
		return unix.NLM_F_ACK
	}
	return 0
}

// change appends a message that removes or adds the element of op.
func (s *socket) change(op *operation, typ, flags uint16) {
	at := s.begin(typ, flags, op.target.kernel.Family, 0)
	s.out = appendString(s.out, listTable, op.target.kernel.Table)
	s.out = appendString(s.out, listSet, op.target.kernel.Name)
	var list int
	s.out, list = beginAttr(s.out, listElements|nested)
	e := op.elem
	if typ == msgDelElement {
		e = e.bareKey()
	}
	s.out = endAttr(e.append(s.out), list)
	s.end(at)
}
