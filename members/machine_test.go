// SPDX-License-Identifier: Apache-2.0

package members

import (
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// kinds returns the effects without those that are always there.
func kinds(fx []Effect) []Effect {
	var k []Effect
	for _, e := range fx {
		switch e.(type) {
		case WakeAt, SendHello, Record:
		default:
			k = append(k, e)
		}
	}
	return k
}

func pair(self uint8) Config {
	return Config{Self: self, Names: []string{"fw1", "fw2"}, Interfaces: []Interface{{Slot: 0, Name: "outside", Cluster: true}}}
}

func has[E Effect](fx []Effect) (e E, ok bool) {
	for _, f := range fx {
		if e, ok := f.(E); ok {
			return e, true
		}
	}
	return e, false
}

func TestSilenceOpensInOneStepAfterTheOwnGrant(t *testing.T) {
	m := New(pair(1), Boot{Now: 1})
	m.Step(1, Tick{})
	m.Step(2*ms, Link{Iface: 0, Up: true, Received: true})
	m.Step(3*ms, Heard{Peer: 0, Iface: 0, Term: 4, FenceTerm: 4, Serving: true, RTT: 1000},
		HelloReceived{From: 0, Hello: Hello{State: StateActive, Term: 4, ForcedTo: Nobody}})
	if m.state != StateStandby || m.server != 0 {
		t.Fatalf("state %v, server %d: %s", m.state, m.server, m.Why())
	}
	m.Step(1000*ms, Heard{Peer: 0, Iface: 0, Term: 4, FenceTerm: 4, Serving: true, RTT: 1000})
	if _, ok := has[AskVIP](m.Step(1015*ms, Missed{Peer: 0, Iface: 0, Since: 1000 * ms})); !ok {
		t.Error("the first missed probe asks nobody for the VIP")
	}
	fx := m.Step(1032*ms, Silent{Peer: 0, Iface: 0, Since: 1000 * ms})
	g, ok := has[GrantOwn](fx)
	if !ok || g.Term != 5 {
		t.Fatalf("no grant of term 5 asked of the own gate: %v", kinds(fx))
	}
	fx = m.Step(1032*ms+1, YieldResult{Peer: 1, Term: 5, Result: Granted, FenceTerm: 5, Grantee: 1})
	l, ok := has[Lease](fx)
	if !ok || l.Term != 5 || !l.Alone {
		t.Fatalf("not opened alone with term 5: %v", kinds(fx))
	}
	if m.state != StateActive {
		t.Fatal(m.Why())
	}
	for _, e := range fx {
		if r, ok := e.(Record); ok && r.Code == CodeActive && (r.Gap < 30*time.Millisecond || r.Gap > 35*time.Millisecond) {
			t.Errorf("gap %v", r.Gap)
		}
	}
}

// Only an answer for the VIP says that the silent member still serves. The host stands still after one, for the second time: the answer has
// grown old, but nobody was asked meanwhile.
func TestAnswerThatGrewOldUnasked(t *testing.T) {
	m := New(pair(1), Boot{Now: 1})
	m.Step(1, Tick{})
	m.Step(2*ms, Link{Iface: 0, Up: true, Received: true})
	m.Step(3*ms, Heard{Peer: 0, Iface: 0, Term: 4, FenceTerm: 4, Serving: true, RTT: 1000},
		HelloReceived{From: 0, Hello: Hello{State: StateActive, Term: 4, ForcedTo: Nobody}})
	m.Step(1000*ms, Heard{Peer: 0, Iface: 0, Term: 4, FenceTerm: 4, Serving: true, RTT: 1000})
	m.Step(1015*ms, Missed{Peer: 0, Iface: 0, Since: 1000 * ms})
	answer := func(from, to int64) {
		for now := from; now <= to; now += 10 * ms {
			m.Step(now, VIPAnswer{Iface: 0, By: ByVMAC, MAC: "02:48:00:01:00:00"})
		}
	}
	// Step allows for one stall a second: it is the second one that counts.
	answered := 1400 * ms
	answer(1020*ms, 1030*ms)
	m.Step(1032*ms, Silent{Peer: 0, Iface: 0, Since: 1000 * ms})
	answer(1040*ms, 1200*ms)
	answer(1250*ms, answered)
	asked := 0
	for _, after := range []int64{45, 50, 55, 60, 65, 70, 75} {
		fx := m.Step(answered+after*ms, Tick{})
		if _, ok := has[AskVIP](fx); ok {
			asked++
		}
		if _, ok := has[GrantOwn](fx); ok {
			if asked < 2 {
				t.Errorf("claims %d ms after the last answer, having asked %d times after the standstill", after, asked)
			}
			return
		}
	}
	t.Errorf("does not claim though %d questions are not answered: %s", asked, m.Why())
}

func TestStandbysGrantBeforeTheServingGate(t *testing.T) {
	cfg := Config{Self: 1, Names: []string{"fw1", "fw2", "fw3"}, Interfaces: []Interface{{Name: "outside", Cluster: true}}}
	m := New(cfg, Boot{Now: 1})
	m.Step(1, Link{Up: true, Received: true})
	m.Step(2*ms, Heard{Peer: 0, Serving: true, Term: 1, FenceTerm: 1})
	m.Step(2*ms, Heard{Peer: 2, FenceTerm: 1})
	m.Step(3*ms, HelloReceived{From: 0, Hello: Hello{State: StateActive, ForcedTo: Nobody}})
	m.Step(3*ms, HelloReceived{From: 2, Hello: Hello{State: StateStandby, ForcedTo: Nobody}})
	m.Step(450*ms, Tick{})
	fx := m.Step(500*ms, Admin{Kind: AdminForceTo, Target: 1})
	y, ok := has[SendYield](fx)
	if !ok || y.Target != 2 || y.Kind != YieldClaim || y.Term != 2 {
		t.Fatalf("the standby is not asked first: %v", kinds(fx))
	}
	m.Step(500*ms+1, YieldResult{Peer: 1, Term: 2, Result: Granted})
	fx = m.Step(500*ms+2, YieldResult{Peer: 2, Term: 2, Result: Granted})
	y, ok = has[SendYield](fx)
	if !ok || y.Target != 0 || y.Kind != YieldGraceful {
		t.Fatalf("the serving gate is not asked when all others have granted: %v", kinds(fx))
	}
	fx = m.Step(500*ms+3, YieldResult{Peer: 0, Term: 2, Result: Granted})
	if _, ok := has[Lease](fx); !ok {
		t.Fatalf("not opened: %v", kinds(fx))
	}
}

func TestAdoptionNeedsNoClaim(t *testing.T) {
	m := New(pair(0), Boot{Now: 1, Gate: GateState{LeaseTerm: 7, FenceTerm: 7, Serving: true}})
	fx := m.Step(2, Tick{})
	if l, ok := has[Lease](fx); !ok || l.Term != 7 || m.state != StateActive {
		t.Fatalf("the serving gate was not adopted: %v", fx)
	}
}

// A member that stood still for longer than its lease lives must not go on as if nothing had been: its gate is closed, and another
// member may serve.
func TestLeaseThatRanOut(t *testing.T) {
	m := New(Config{Self: 0, Names: []string{"fw1", "fw2"}}, Boot{Now: 1, Gate: GateState{LeaseTerm: 3, FenceTerm: 3, Serving: true}})
	m.Step(2, GateState{LeaseTerm: 3, FenceTerm: 3, Serving: true})
	if s := m.View(2).State; s != StateActive {
		t.Fatalf("adopted: %v", s)
	}
	const later = int64(3e9)
	fx := m.Step(later, GateState{LeaseTerm: 3, LeaseAge: 3 * time.Second, FenceTerm: 3})
	if s := m.View(later).State; s.Serves() {
		t.Errorf("after 3 s without a renewal: %v", s)
	}
	revoked := false
	for _, e := range fx {
		if _, is := e.(Revoke); is {
			revoked = true
		}
		if h, is := e.(SendHello); is && m.Hello(later).State.Serves() {
			t.Errorf("%T says that it serves", h)
		}
	}
	if !revoked {
		t.Error("the old lease was left behind")
	}
}
