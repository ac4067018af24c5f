// SPDX-License-Identifier: Apache-2.0

package link

import "slices"

// queue is what a Worker still has to do. It knows no kernel and no lock.
type queue struct {
	desired *Desired
	serving []servingChange // one for each group, the oldest first
	queries []int           // each index once, the oldest first
}

type servingChange struct {
	group   uint8
	serving bool
}

// job is one Apply or SetServing.
type job struct {
	op      Op
	desired Desired
	servingChange
}

func (q *queue) apply(d Desired) { q.desired = &d }

func (q *queue) setServing(group uint8, serving bool) {
	for i := range q.serving {
		if q.serving[i].group == group {
			q.serving[i].serving = serving
			return
		}
	}
	q.serving = append(q.serving, servingChange{group, serving})
}

func (q *queue) query(index int) {
	if !slices.Contains(q.queries, index) {
		q.queries = append(q.queries, index)
	}
}

// nextChange takes the next change: who serves first, since an Apply makes the rules as that says.
func (q *queue) nextChange() (job, bool) {
	if len(q.serving) > 0 {
		c := job{op: OpServing, servingChange: q.serving[0]}
		q.serving = slices.Delete(q.serving, 0, 1)
		return c, true
	}
	if q.desired == nil {
		return job{}, false
	}
	c := job{op: OpApply, desired: *q.desired}
	q.desired = nil
	return c, true
}

// nextQuery takes the next interface to ask about.
func (q *queue) nextQuery() (int, bool) {
	if len(q.queries) == 0 {
		return 0, false
	}
	index := q.queries[0]
	q.queries = slices.Delete(q.queries, 0, 1)
	return index, true
}
