// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"errors"

	"github.com/holdfast-project/holdfast/lab/machine"
)

// Pause freezes a machine as far as a namespace can be: its processes stop and its cables are dead both ways, at once. See
// the package comment for what goes on.
func (f *Faults) Pause(s machine.System, member string) error {
	if err := f.Prepare(member); err != nil {
		return err
	}
	// Cables first: a frozen machine answers nothing, and stopping takes a while.
	if err := f.silence(s, member, 1); err != nil {
		return err
	}
	return s.Stop(member, machine.AllParts)
}

// Resume ends a Pause, everything at once: what was queued by the processes leaves now.
func (f *Faults) Resume(s machine.System, member string) error {
	return errors.Join(f.silence(s, member, 0), s.Continue(member, machine.AllParts))
}

func (f *Faults) silence(s machine.System, member string, probability float64) error {
	n, err := s.Lab().Node(member)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range n.Ports {
		errs = append(errs, f.Drop(member, p.Segment, Both, Loss{Probability: probability}))
	}
	return errors.Join(errs...)
}
