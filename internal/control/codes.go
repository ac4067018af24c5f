// SPDX-License-Identifier: Apache-2.0

package control

// The codes of events are the names of the machine's own codes (package members); these are the API's.
const (
	// CodeStateChange is the generic one of a state that changed; most changes have a more telling code. Ask Event.StateChange.
	CodeStateChange = "state"
	// CodeOverrun tells a reader that it missed Lost events.
	CodeOverrun = "overrun"
	// NumberOverrun is its number.
	NumberOverrun = 705
)

// StateChange reports whether the state of Member changed, whatever the code.
func (e Event) StateChange() bool { return e.From != "" && e.To != "" && e.From != e.To }
