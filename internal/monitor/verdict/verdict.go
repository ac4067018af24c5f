// SPDX-License-Identifier: Apache-2.0

package verdict

// Status is what a monitor says of the thing that it watches. The zero value is invalid.
type Status uint8

const (
	_ Status = iota
	// OK: well.
	OK
	// Init: no verdict yet.
	Init
	// Problem: not well.
	Problem
)

// String returns the status as operators read it.
func (s Status) String() string {
	switch s {
	case OK:
		return "ok"
	case Init:
		return "init"
	case Problem:
		return "problem"
	}
	return "invalid"
}

// Outcome is what a single check found. The zero value is invalid.
type Outcome uint8

const (
	_ Outcome = iota
	// Good: it is as it should be.
	Good
	// Bad: it is not.
	Bad
	// Pending: this check could not tell (a rate needs two of them). It counts neither way.
	Pending
)

// Result is the end of a single check.
type Result struct {
	Outcome Outcome
	// Reason says in words what is wrong; empty for Good.
	Reason string
}

// Fine returns the result of a check that found all well.
func Fine() Result { return Result{Outcome: Good} }

// Wrong returns the result of a check that found something wrong.
func Wrong(reason string) Result { return Result{Outcome: Bad, Reason: reason} }

// Verdict counts results. The zero value is not usable; see New. It is not safe for concurrent use.
type Verdict struct {
	// Status is the present verdict, Reason what is wrong; empty while it is OK.
	Status Status
	Reason string
	// Since is when Status changed last.
	Since int64

	rise, fall int
	good, bad  int // in a row, ending with the last result that counted
}

// New returns a verdict that starts with a status. In Init the first good result decides: what is well at the start need not prove
// it; from Problem it takes rise good results in a row, and to Problem fall bad ones. Counts below 1 are 1.
func New(now int64, rise, fall int, s Status, reason string) *Verdict {
	return &Verdict{Status: s, Reason: reason, Since: now, rise: max(rise, 1), fall: max(fall, 1)}
}

// Observe takes the result of one check and reports whether status or reason have changed.
func (v *Verdict) Observe(now int64, r Result) (changed bool) {
	before, reason := v.Status, v.Reason
	switch r.Outcome {
	case Good:
		v.good, v.bad = v.good+1, 0
		if v.Status == Init || v.Status == Problem && v.good >= v.rise {
			v.Status, v.Reason = OK, ""
		}
	case Bad:
		v.bad, v.good = v.bad+1, 0
		if v.bad >= v.fall {
			v.Status = Problem
		}
		if v.Status != OK {
			v.Reason = r.Reason
		}
	case Pending:
		if v.Status == Init {
			v.Reason = r.Reason
		}
	}
	if v.Status != before {
		v.Since = now
	}
	return v.Status != before || v.Reason != reason
}
