// SPDX-License-Identifier: Apache-2.0

package members

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/members/device"
)

// A daemon that adopts its gate knows nothing of its devices yet: what is in init moves nothing, and is not held back either.
func TestAdoptedGateServesWhileItsDevicesAreNotKnown(t *testing.T) {
	cfg := pair(0)
	cfg.WaitPolicy, cfg.WaitSync, cfg.Timers.RecoveryDelay = true, true, time.Minute
	m := New(cfg, Boot{Now: 1, Gate: GateState{LeaseTerm: 7, FenceTerm: 7, Serving: true}})
	m.Step(2, Tick{}, Link{Up: true, Received: true})
	m.Step(3, Device{Op: DeviceRegister, Name: device.Routing, Reporter: "bgp", Status: device.Init},
		Device{Op: DeviceRegister, Name: "uplink", Status: device.Init})
	for now := 100 * ms; now < 5000*ms; now += 100 * ms {
		m.Step(now, append(others(1, now), GateState{LeaseTerm: 7, FenceTerm: 7, Serving: true}, Tick{})...)
	}
	if m.state != StateActive || m.Hello(m.now).State != StateActive {
		t.Fatal(m.Why())
	}
	m.Step(m.now+1, PolicyReady{Ready: false})
	if m.Hello(m.now).State != StateDown {
		t.Errorf("without its policy it does not ask to be relieved: %s", m.Why())
	}
}

func TestMachinesOwnDevicesCannotBeReported(t *testing.T) {
	m, now := standby(t, 1)
	for _, name := range []string{device.AdminDown, device.InitDevice, device.Config, device.Version, device.RecoveryDelay,
		device.ProblemNotification, device.InterfaceActiveCheck} {
		for _, op := range []DeviceOp{DeviceReport, DeviceRegister, DeviceUnregister} {
			m.Step(now+1, Device{Op: op, Name: name, Reporter: "x", Status: device.Problem})
		}
	}
	if m.state != StateStandby || m.devices.Len() != 11 {
		t.Error(m.Why())
	}
}

func TestWeights(t *testing.T) {
	cfg := pair(0)
	cfg.Weights = map[string]int{"heavy": 99, "light": 3, "zero": 0, device.AdminDown: 9}
	m := New(cfg, Boot{Now: 1})
	m.initDone = true
	report := func(name string) {
		m.Step(m.now+1, Device{Op: DeviceRegister, Name: name, Status: device.Problem})
	}
	for _, tc := range []struct {
		name string
		sum  int
	}{{"light", 3}, {"heavy", 3 + MaxWeight}, {"zero", 4 + MaxWeight}, {"other", 5 + MaxWeight}} {
		if report(tc.name); m.weight() != tc.sum {
			t.Errorf("with %s: %d, want %d", tc.name, m.weight(), tc.sum)
		}
	}
	m.Reconfigure(Config{Weights: map[string]int{"light": 2}})
	if m.weight() != 5 {
		t.Errorf("after Reconfigure: %d", m.weight())
	}
	most := map[string]int{}
	for i := range 500 {
		m.Step(m.now+1, Device{Op: DeviceRegister, Name: fmt.Sprint("d", i), Status: device.Problem})
		most[fmt.Sprint("d", i)] = MaxWeight
	}
	m.Reconfigure(Config{Weights: most})
	ordinary := m.weight()
	m.Step(m.now+1, Admin{Kind: AdminDown})
	if m.weight() <= weightOrdinary || ordinary > weightOrdinary {
		t.Errorf("%d ordinary, %d with admin-down", ordinary, m.weight())
	}
	if text := m.problemText(); strings.Count(text, ";") != manyProblems || !strings.HasSuffix(text, "; and 497 more") {
		t.Errorf("told as %q", text)
	}
}

func TestFreezeEndsByItself(t *testing.T) {
	for _, tc := range []struct{ order, want time.Duration }{
		{0, 30 * time.Second}, {5 * time.Second, 5 * time.Second}, {24 * time.Hour, MaxFreeze},
	} {
		m, now := standby(t, 1)
		m.Step(now, Admin{Kind: AdminFreeze, For: tc.order})
		if h := m.Hello(now); h.Frozen != tc.want {
			t.Errorf("ordered for %v: told %v, want %v", tc.order, h.Frozen, tc.want)
		}
		m.Step(now+int64(tc.want)-1, Tick{})
		if !m.frozen() {
			t.Errorf("ordered for %v: ended early", tc.order)
		}
		fx := m.Step(now+int64(tc.want), Tick{})
		if r, ok := has[Record](fx); !ok || r.Code != CodeUnfrozen || m.frozen() || m.View(m.now).FrozenUntil != 0 {
			t.Errorf("ordered for %v: not ended by itself: %+v", tc.order, r)
		}
		// A peer is believed as long, and not longer.
		m.Step(m.now, HelloReceived{From: 0, Hello: Hello{State: StateActive, Frozen: tc.order, ForcedTo: Nobody}})
		m.Step(m.now+int64(MaxFreeze), Tick{})
		if m.frozen() {
			t.Errorf("a peer freezes for longer than %v", MaxFreeze)
		}
	}
}

func TestHelloTellsTheBudget(t *testing.T) {
	m, now := standby(t, 1)
	if b := m.Hello(now).Budget; b != (Budget{Left: 5, Limit: 5}) {
		t.Errorf("at first: %+v", b)
	}
	for range 5 {
		m.flap.moves = append(m.flap.moves, now)
	}
	if b := m.Hello(now + 60e9).Budget; b != (Budget{Left: 0, Limit: 5, Damped: 9 * time.Minute}) {
		t.Errorf("used up: %+v", b)
	}
	m.Step(now+1, Admin{Kind: AdminResetFailovers})
	if b := m.Hello(now + 2).Budget; b != (Budget{Left: 5, Limit: 5}) {
		t.Errorf("set back: %+v", b)
	}
	m.Reconfigure(Config{FlapBudget: 1 << 30})
	if b := m.Hello(now + 2).Budget; b != (Budget{Left: 255, Limit: 255}) {
		t.Errorf("without a limit: %+v", b)
	}
}

// INIT names the interfaces that have received nothing yet; that takes a machine of its own.
func TestWhyInitWaits(t *testing.T) {
	m := New(Config{Names: []string{"fw1", "fw2"}, Interfaces: []Interface{{Name: "outside", Cluster: true}, {Slot: 1, Name: "inside", Cluster: true}}}, Boot{Now: 1})
	m.Step(1, Link{Up: true}, Link{Iface: 1, Up: true, Received: true})
	if want := "fw1 is INIT: the daemon has started and listens for the other members"; m.Why() != want {
		t.Errorf("got %q, want %q", m.Why(), want)
	}
	m.Step(4000*ms, Tick{})
	if want := "fw1 is INIT: waits for a first frame on outside"; m.Why() != want {
		t.Errorf("got %q, want %q", m.Why(), want)
	}
}

// fw2 took over from fw1 and tells at once that it has a problem too; fw1's gate was not asked since, and still seems to serve.
// Its term says better: nobody may claim from fw1 now.
func TestHelloOfANewServerHoldsClaimsBack(t *testing.T) {
	for _, term := range []uint32{0, 2} {
		m, now := standby(t, 2)
		m.run(now, 500*ms, 0, 1)
		now = 500 * ms
		broken := []DeviceView{{Name: "disk", Status: device.Problem}}
		fx := m.Step(now, HelloReceived{From: 1, Hello: Hello{State: StateDown, Term: term, Devices: broken, ForcedTo: Nobody}},
			HelloReceived{From: 0, Hello: Hello{State: StateDown, Term: 1, Devices: broken, ForcedTo: Nobody}})
		if _, claims := has[GrantOwn](fx); claims != (term == 0) {
			t.Errorf("fw2 tells term %d: fw3 claims: %v (%s)", term, claims, m.Why())
		}
	}
}

func BenchmarkStepWithManyDevices(b *testing.B) {
	m := New(pair(0), Boot{Now: 1})
	for i := range 250 {
		m.Step(2, Device{Op: DeviceRegister, Name: fmt.Sprint("device-", i), Status: device.OK, Timeout: time.Hour})
	}
	b.ReportAllocs()
	now, tick := m.now, Event(Tick{})
	for b.Loop() {
		now += ms / 10
		m.Step(now, tick)
	}
}
