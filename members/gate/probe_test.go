// SPDX-License-Identifier: Apache-2.0

package gate

import "testing"

// A recording of a dead member says that it serves, at a lower term and with company. It must not close the gate of the member that
// took over alone; the same news from a living one must.
func TestMeetRecording(t *testing.T) {
	const now = int64(5e9)
	serving := func() *Words {
		w := &Words{Incarnation: 9, Self: 1, Members: 2, Soft: 20e6, Hard: 1e9, Watch: 25e6}
		w.Group[0] = Group{Lease: NewLease(3, now), Fence: Fence{Term: 3, Grantee: 1}, Alone: now - 1e6}
		w.Echo[0] = now - 50e6
		return w
	}
	probe := Probe{Source: 0, EchoIncarnation: 9, Term: 2, Bits: Answer | Forward | HearsYou}

	recorded := probe
	recorded.EchoStamp = now - 60e6
	w := serving()
	if w.Probe(now, recorded); !w.Serving(0, now).Has(Answer) {
		t.Errorf("a recording closed the gate: fence %+v", w.Group[0].Fence)
	}
	repeated := probe
	repeated.EchoStamp = now - 50e6
	if w.Probe(now, repeated); !w.Serving(0, now).Has(Answer) {
		t.Errorf("the last frame, sent again, closed the gate: fence %+v", w.Group[0].Fence)
	}
	living := probe
	living.EchoStamp = now - 10e6
	if w.Probe(now, living); w.Serving(0, now).Has(Answer) {
		t.Error("two serve: a living member with company has to close one that serves alone")
	}
	// A higher term was served once, whoever says so and whenever.
	w, higher := serving(), recorded
	higher.Term = 4
	if w.Probe(now, higher); w.Serving(0, now).Has(Answer) || w.Group[0].Fence != (Fence{Term: 4, Grantee: 0}) {
		t.Errorf("a higher term did not close: %+v", w.Group[0].Fence)
	}
}
