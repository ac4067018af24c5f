// SPDX-License-Identifier: Apache-2.0

package members

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/members/device"
)

// standby returns a machine of three members, of which the first serves with term 1, and the time.
func standby(t *testing.T, self uint8) (*Machine, int64) {
	t.Helper()
	m := New(Config{Self: self, Names: []string{"fw1", "fw2", "fw3"}, Interfaces: []Interface{{Name: "outside", Cluster: true}}}, Boot{Now: 1})
	now := 100 * ms
	m.Step(1, Link{Up: true, Received: true}, Tick{})
	m.Step(50*ms, Tick{})
	for id := range uint8(3) {
		if id == self {
			continue
		}
		m.Step(now, others(id, now)...)
	}
	if m.state != StateStandby || m.server != 0 {
		t.Fatalf("not a standby of fw1: %s", m.Why())
	}
	return m, now
}

// others returns what is heard of a peer: fw1 serves with term 1, the others stand by.
func others(id uint8, now int64) []Event {
	h := Heard{Peer: id, At: now, FenceTerm: 1, Grantee: 0}
	hello := Hello{State: StateStandby, ForcedTo: Nobody, Incarnation: uint64(id) + 1, Mode: ""}
	if id == 0 {
		h.Serving, h.Term, hello.State, hello.Term = true, 1, StateActive, 1
	}
	return []Event{h, HelloReceived{From: id, Hello: hello}}
}

// run lets time pass in steps of 10 ms, in which the peers are heard.
func (m *Machine) run(from, to int64, peers ...uint8) (fx []Effect) {
	for now := from; now < to; now += 10 * ms {
		var events []Event
		for _, id := range peers {
			events = append(events, others(id, now)...)
		}
		fx = append(fx, m.Step(now, append(events, Tick{})...)...)
	}
	return fx
}

// claiming makes the machine claim from fw1, and returns the term.
func claiming(t *testing.T, self uint8) (*Machine, int64, uint32) {
	t.Helper()
	m, now := standby(t, self)
	m.run(now, 500*ms, 0, 3-self)
	now = 500 * ms
	g, ok := has[GrantOwn](m.Step(now, Admin{Kind: AdminForceTo, Target: self}))
	if !ok {
		t.Fatal("no claim after an operator's order")
	}
	return m, now, g.Term
}

func TestRefusedClaims(t *testing.T) {
	for _, tc := range []struct {
		name    string
		self    uint8
		rival   uint8
		dead    bool
		atOnce  bool
		highest uint32
	}{
		{"the lower number tries again at once", 1, 2, false, true, 9},
		{"the higher number waits", 2, 1, false, false, 9},
		{"a fence that names nobody is overtaken at once", 2, Nobody, false, true, 9},
		{"who takes the rival for dead waits", 1, 2, true, false, 9},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, now, term := claiming(t, tc.self)
			if tc.dead {
				m.Step(now, Silent{Peer: tc.rival})
			}
			fx := m.Step(now+ms, YieldResult{Peer: 3 - tc.self, Term: term, Result: Refused, FenceTerm: tc.highest, Grantee: tc.rival})
			g, again := has[GrantOwn](fx)
			if again != tc.atOnce || again && g.Term != tc.highest+1 {
				t.Fatalf("asked again: %v with term %d", again, g.Term)
			}
			if tc.atOnce {
				return
			}
			fx = m.run(now+10*ms, now+30*ms, 0)
			if _, early := has[GrantOwn](fx); early {
				t.Error("asked again within the dead interval")
			}
			fx = append(m.run(now+30*ms, now+200*ms, 0, 3-tc.self), m.Step(now+200*ms, Tick{})...)
			if g, ok := has[GrantOwn](fx); !ok || g.Term <= tc.highest {
				t.Errorf("not asked again with a higher term after the dead interval: %v", kinds(fx))
			}
		})
	}
}

func TestYieldsAreRepeatedEachProbeInterval(t *testing.T) {
	m, now, term := claiming(t, 1)
	for i := range int64(5) {
		at := now + (i+1)*10*ms
		fx := m.Step(at, append(others(0, at), Tick{})...)
		if y, ok := has[SendYield](fx); !ok || y.Target != 2 || y.Term != term {
			t.Fatalf("after %d ms: %v", (i+1)*10, kinds(fx))
		}
	}
}

func TestClaimOpensOnlyWithAllGrants(t *testing.T) {
	m, now, term := claiming(t, 1)
	for _, r := range []YieldResult{
		{Peer: 1, Term: term, Result: Granted},
		{Peer: 0, Term: term - 1, Result: Granted}, // of another claim
		{Peer: 2, Term: term, Result: WrongIncarnation},
		{Peer: 2, Term: term, Result: Granted},
	} {
		now++
		if _, open := has[Lease](m.Step(now, r)); open {
			t.Fatalf("opened after %+v", r)
		}
	}
	if l, open := has[Lease](m.Step(now+1, YieldResult{Peer: 0, Term: term, Result: Granted})); !open || l.Term != term || l.Alone {
		t.Fatalf("not opened with all grants: %+v", l)
	}
}

func TestStaleSilenceAfterAStall(t *testing.T) {
	m, now := standby(t, 1)
	m.run(now, 500*ms, 0, 2)
	// The loop stood still for 5 s; the news of them lies in its queue, and is given one by one.
	at := int64(5500) * ms
	for _, ev := range []Event{Missed{Peer: 0}, Silent{Peer: 0, Since: 500 * ms}, Missed{Peer: 2}, Silent{Peer: 2, Since: 500 * ms}} {
		if g, claims := has[GrantOwn](m.Step(at, ev)); claims {
			t.Fatalf("claims term %d by old news", g.Term)
		}
	}
	fx := m.Step(at+1, append(others(0, at), others(2, at)...)...)
	fx = append(fx, m.run(at+10*ms, at+200*ms, 0, 2)...)
	if _, claims := has[GrantOwn](fx); claims {
		t.Fatal("claims although fw1 is heard again")
	}
}

func TestCourtesyIsAskedWithCare(t *testing.T) {
	aged := func(now int64, age time.Duration, restarting bool) Heard {
		return Heard{Peer: 0, At: now, Serving: true, Term: 1, FenceTerm: 1, LeaseAge: age, Restarting: restarting}
	}
	for _, tc := range []struct {
		name   string
		before func(m *Machine, now int64)
		age    time.Duration
		restart,
		asks bool
	}{
		{"an aged lease", func(*Machine, int64) {}, 110 * time.Millisecond, false, true},
		{"a young lease", func(*Machine, int64) {}, 90 * time.Millisecond, false, false},
		{"a restarting daemon", func(*Machine, int64) {}, 110 * time.Millisecond, true, false},
		{"own renewals late", func(m *Machine, _ int64) { m.courtesy.onTimeSince = 0 }, 110 * time.Millisecond, false, false},
		{"own renewals on time for less than 1 s", func(m *Machine, now int64) { m.courtesy.onTimeSince = now - 900*ms }, 110 * time.Millisecond, false, false},
		{"within 1 s of the last move", func(m *Machine, now int64) { m.lastMove.At = now - 900*ms }, 110 * time.Millisecond, false, false},
		{"the threshold has doubled", func(m *Machine, now int64) { m.courtesy.movedAt, m.courtesy.threshold = now-30e9, 200*ms }, 150 * time.Millisecond, false, false},
		{"and is back after a minute", func(m *Machine, now int64) { m.courtesy.movedAt, m.courtesy.threshold = now-61e9, 200*ms }, 150 * time.Millisecond, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, now := standby(t, 1)
			m.run(now, 100_000*ms, 0, 2)
			now = 100_000 * ms
			m.courtesy.onTimeSince = now - 10e9
			tc.before(m, now)
			fx := m.Step(now, aged(now, tc.age, tc.restart))
			if _, asks := has[GrantOwn](fx); asks != tc.asks {
				t.Fatalf("claims: %v, want %v (%s)", asks, tc.asks, m.Why())
			}
			if !tc.asks {
				return
			}
			term := m.claim.term
			m.Step(now+1, YieldResult{Peer: 1, Term: term, Result: Granted})
			y, _ := has[SendYield](m.Step(now+2, YieldResult{Peer: 2, Term: term, Result: Granted}))
			if y.Target != 0 || y.Kind != YieldCourtesy || y.MinAge != 100*time.Millisecond {
				t.Errorf("asked %+v", y)
			}
			m.Step(now+3, YieldResult{Peer: 0, Term: term, Result: TooYoung})
			if m.claim.cause != 0 || m.term != 0 {
				t.Errorf("goes on after the refusal: %s", m.Why())
			}
		})
	}
}

func TestCourtesyThresholdDoublesUpToItsMaximum(t *testing.T) {
	m, _ := standby(t, 1)
	for _, want := range []int64{200, 400, 500, 500} {
		m.claim = claim{want: want0(CauseCourtesy), term: 5}
		m.term = 0
		m.open()
		if got := m.courtesy.threshold / ms; got != want {
			t.Errorf("threshold %d ms, want %d", got, want)
		}
	}
}

func want0(c Cause) want { return want{cause: c, from: 0} }

func TestClosedFramesAreAnsweredWithAnnouncements(t *testing.T) {
	m := New(pair(0), Boot{Now: 1, Gate: GateState{LeaseTerm: 3, FenceTerm: 3, Serving: true}})
	m.Step(1, Link{Up: true}, Heard{Peer: 1, FenceTerm: 3})
	closed, announced := uint32(0), []int64{}
	for now := 10 * ms; now < 20_000*ms; now += 10 * ms {
		closed++
		if _, ok := has[Announce](m.Step(now, Heard{Peer: 1, FenceTerm: 3, Closed: closed})); ok {
			announced = append(announced, now/ms)
		}
	}
	if want := []int64{10, 1010, 3010, 7010, 15010}; !slices.Equal(announced, want) {
		t.Errorf("announced at %v ms, want %v", announced, want)
	}
}

func TestConflictSeenInAnAnswer(t *testing.T) {
	serving := func() *Machine {
		m := New(pair(0), Boot{Now: 1, Gate: GateState{LeaseTerm: 3, FenceTerm: 3, Serving: true}})
		m.Step(ms, Link{Up: true})
		m.alone = false
		return m
	}
	for _, tc := range []struct {
		name   string
		reply  Heard
		alone  bool
		closes bool
	}{
		{"a higher term", Heard{Peer: 1, Serving: true, Term: 4, FenceTerm: 4}, false, true},
		{"a lower term", Heard{Peer: 1, Serving: true, Term: 2, FenceTerm: 2}, false, false},
		{"the same term, a higher number", Heard{Peer: 1, Serving: true, Term: 3, FenceTerm: 3}, false, false},
		{"a higher term that serves alone", Heard{Peer: 1, Serving: true, Term: 4, FenceTerm: 4, Alone: true}, false, false},
		{"a lower term, while this one serves alone", Heard{Peer: 1, Serving: true, Term: 2, FenceTerm: 2}, true, true},
		{"an answer from before the opening", Heard{Peer: 1, Serving: true, Term: 4, FenceTerm: 4, RTT: 10 * time.Millisecond}, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := serving()
			m.alone = tc.alone
			_, closes := has[Revoke](m.Step(5*ms, tc.reply))
			if closes != tc.closes || (m.term == 0) != tc.closes {
				t.Errorf("closes: %v, want %v (%s)", closes, tc.closes, m.Why())
			}
		})
	}
}

func TestClosedByAHigherFence(t *testing.T) {
	m := New(pair(0), Boot{Now: 1, Gate: GateState{LeaseTerm: 3, FenceTerm: 3, Serving: true}})
	m.Step(ms, Link{Up: true}, Heard{Peer: 1, FenceTerm: 3})
	if _, ok := has[Revoke](m.Step(2*ms, GateState{LeaseTerm: 3, FenceTerm: 3, Grantee: 0, Serving: true})); ok {
		t.Fatal("closed by its own fence")
	}
	fx := m.Step(3*ms, GateState{LeaseTerm: 3, FenceTerm: 4, Grantee: 1})
	if _, ok := has[Revoke](fx); !ok || m.state != StateStandby {
		t.Fatalf("goes on although the fence names fw2: %s", m.Why())
	}
	if r, _ := has[Record](fx); r.Code != CodeYielded || r.From != StateActive || r.To != StateStandby || r.Peer != 1 {
		t.Errorf("recorded %+v", r)
	}
	// That the other one has opened is heard later: the hand-over has the reason for which this one closed.
	m.Step(5*ms, Heard{Peer: 1, Term: 4, FenceTerm: 4, Serving: true})
	if f := m.View(5 * ms).LastFailover; f.From != 0 || f.To != 1 || f.Reason != "yielded to fw2" {
		t.Errorf("the hand-over is remembered as %+v", f)
	}
}

func TestEffectsComeInTheirOrder(t *testing.T) {
	all := []Effect{WakeAt{}, Record{}, StoreTerm{}, SendHello{}, Query{}, AskNeighbours{}, AskVIP{}, Announce{}, SetAlone{}, Lease{},
		GrantOwn{}, SendYield{Target: 2}, SendYield{Target: 1}, Revoke{}}
	order(all)
	for i := 1; i < len(all); i++ {
		if rank(all[i-1]) > rank(all[i]) {
			t.Errorf("%T before %T", all[i-1], all[i])
		}
	}
	if all[1].(SendYield).Target != 2 {
		t.Error("equal effects have changed their order")
	}
}

func TestCodesAreNamedOnce(t *testing.T) {
	seen := map[string]Code{}
	for _, c := range Codes() {
		if other, twice := seen[c.String()]; twice {
			t.Errorf("%d and %d are both %q", other, c, c)
		}
		seen[c.String()] = c
	}
	for _, last := range []Code{CodeStopped, CodeDamped, CodePeerState, CodeUndecided, CodeUnfrozen} {
		if strings.HasPrefix(last.String(), "code-") {
			t.Errorf("code %d has no name", last)
		}
	}
}

func TestUserDevices(t *testing.T) {
	m, now := standby(t, 1)
	m.Step(now, Device{Op: DeviceRegister, Name: "backup", Status: device.OK, Timeout: 50 * time.Millisecond})
	m.run(now, now+40*ms, 0, 2)
	if m.state != StateStandby {
		t.Fatal(m.Why())
	}
	m.run(now+40*ms, now+70*ms, 0, 2)
	if m.state != StateDown || !strings.Contains(m.Why(), "backup: no report for 50ms") {
		t.Fatalf("a silent reporter is no problem: %s", m.Why())
	}
	m.Step(now+70*ms, Device{Name: "backup", Status: device.OK})
	if m.state != StateStandby {
		t.Fatal(m.Why())
	}
	m.Step(now+71*ms, Device{Op: DeviceRegister, Name: device.Config, Status: device.Problem})
	m.Step(now+72*ms, Device{Name: "unheard-of", Status: device.Problem})
	m.Step(now+73*ms, Device{Op: DeviceUnregister, Name: "backup"})
	if m.state != StateStandby || len(m.View(now).Devices) != 11 {
		t.Fatalf("%s; devices %v", m.Why(), m.View(now).Devices)
	}
}

func TestStepAtRestAllocatesLittle(t *testing.T) {
	m, now := standby(t, 1)
	tick := Event(Tick{})
	a := testing.AllocsPerRun(200, func() {
		now += ms / 10
		m.Step(now, tick)
	})
	if a > 3 {
		t.Errorf("%v allocations a Step at rest", a)
	}
}

// TestWeightTold: a list of devices may be cut short, so the sum that a peer tells counts; one that tells none is weighed by its list.
func TestWeightTold(t *testing.T) {
	for _, tc := range []struct {
		hello    Hello
		weight   int
		problems string
	}{
		{Hello{Weight: 30, Omitted: 2}, 30, "disk: full; and 2 more"},
		{Hello{Weight: 2, Stopping: true}, 2 | weightStopping, "disk: full"},
		{Hello{}, 1, "disk: full"},
	} {
		m, now := standby(t, 1)
		h := tc.hello
		h.State, h.ForcedTo, h.Incarnation, h.Term = StateActiveAttention, Nobody, 1, 1
		h.Devices = []DeviceView{{Name: "disk", Status: device.Problem, Reason: "full"}}
		m.Step(now+ms, HelloReceived{From: 0, Hello: h})
		if p := m.peer(0); p.weight != tc.weight || p.problems != tc.problems {
			t.Errorf("weighs %d, want %d: %s", p.weight, tc.weight, p.problems)
		}
	}
	m, now := standby(t, 1)
	m.Step(now+ms, Device{Op: DeviceRegister, Name: "disk", Status: device.Problem})
	if h := m.Hello(now + ms); h.Weight != 1 || len(h.Devices) != 1 {
		t.Errorf("tells the weight %d of %v", h.Weight, h.Devices)
	}
}

// TestServedUntil: answers that change nothing are told once a HELLO interval, the one that says that a gate has closed at once. The
// gap begins with the answer before that one, if the gate is still the same.
func TestServedUntil(t *testing.T) {
	for _, tc := range []struct {
		incarnation uint64
		want        int64
	}{{0, 180*ms - int64(DefaultTimers().Probe)}, {5, 100 * ms}} {
		m, _ := standby(t, 1)
		m.Step(182*ms, Heard{Peer: 0, At: 182 * ms, RTT: 2 * time.Millisecond, FenceTerm: 1, Incarnation: tc.incarnation})
		if m.servedAt != tc.want {
			t.Errorf("served until %v, want %v", time.Duration(m.servedAt), time.Duration(tc.want))
		}
	}
}

// TestAsksLessInVain: the neighbours that would prove a port to be well are asked each probe interval at first, and once a HELLO
// interval when they have not answered for long.
func TestAsksLessInVain(t *testing.T) {
	m, now := standby(t, 1)
	asked := func(from, to int64) (n int) {
		for at := from; at < to; at += 10 * ms {
			h := Hello{State: StateActiveAttention, ForcedTo: Nobody, Incarnation: 1, Term: 1,
				Devices:    []DeviceView{{Name: device.InterfaceActiveCheck, Status: device.Problem}},
				Interfaces: []InterfaceView{{Slot: 0, Carrier: true, Problem: true}}}
			for _, e := range m.Step(at, HelloReceived{From: 0, Hello: h}, PulseHealth{OnTimeSince: 1}) {
				if _, ok := e.(AskNeighbours); ok {
					n++
				}
			}
		}
		return n
	}
	if n := asked(now+10*ms, now+210*ms); n < 15 {
		t.Errorf("asks %d times in the first 200 ms", n)
	}
	asked(now+210*ms, now+1000*ms)
	if n := asked(now+1000*ms, now+2000*ms); n < 8 || n > 11 {
		t.Errorf("asks %d times in a later second", n)
	}
}
