// SPDX-License-Identifier: Apache-2.0

package steer

// Agreement is one member's part in the agreement on slots: the leader's, that makes tables, and the others', that follow them. It is not safe
// for concurrent use. docs/decisions/013 says how and why.
type Agreement struct {
	cfg    Config
	status Status
	table  *Table
}

// New makes the agreement of a member that knows no table.
func New(cfg Config) *Agreement {
	return &Agreement{cfg: cfg, table: &Table{}, status: Status{Follows: Nobody}}
}

// Step takes an event in at a boot time and returns what is to be done, in order.
func (a *Agreement) Step(now int64, e Event) []Effect {
	_, _ = now, e
	return nil
}

// Status returns what HELLOs are to say.
func (a *Agreement) Status() Status { return a.status }

// Table returns the table in force at this member, which must not be changed.
func (a *Agreement) Table() *Table { return a.table }
