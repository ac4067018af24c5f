// SPDX-License-Identifier: Apache-2.0

package members

// Machine is the state machine of one member. Create it with New; it is not safe for concurrent use.
type Machine struct {
	cfg Config
}

// New returns a machine in INIT, or in ACTIVE if boot says that the gate was found serving. The first
// Step, with a Tick, returns what there is to do at once.
func New(cfg Config, boot Boot) *Machine { return &Machine{cfg: cfg} }

// Step applies one event at the time now, which must not run backwards, and returns what is to be done,
// in the order in which it is to be done. The slice is valid until the next Step.
func (m *Machine) Step(now int64, ev Event) []Effect { return nil }

// Hello returns the content of a HELLO as of the last Step.
func (m *Machine) Hello(now int64) Hello { return Hello{} }

// View returns a copy of what the machine knows as of the last Step.
func (m *Machine) View(now int64) View { return View{} }

// Why says in one line why this member is in its state, naming the cause.
func (m *Machine) Why() string { return "" }

// WhyNot says in one line why the member peer does not serve; for the one that serves, why it does.
func (m *Machine) WhyNot(peer uint8) string { return "" }
