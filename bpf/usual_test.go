// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// onlyTheGateway leaves the VIPs of the gateway's group, as most clusters have.
func (g *Gate) onlyTheGateway(tb testing.TB) {
	tb.Helper()
	if err := g.SetVIPs(slices.DeleteFunc(testVIPs(), func(v VIP) bool { return v.Group != 0 })); err != nil {
		tb.Fatal(err)
	}
}

// TestUsual: what most packets need is done in short, with the same end as at length.
func TestUsual(t *testing.T) {
	g := newTestGate(t, true)
	g.onlyTheGateway(t)
	serve(g, 0)
	serve(g, 3)
	for _, e := range entries {
		for _, c := range ingressCases() {
			if c.short && e.name == "tcx" {
				continue
			}
			g.words.u32(offGroups).Store(1)
			short, changed := e.run(t, g, c.packet, nil)
			g.words.u32(offGroups).Store(1 | 1<<3) // not what most have
			long, want := e.run(t, g, c.packet, nil)
			if short != long && !(short == drop && long == pass) || short == long && !bytes.Equal(changed, want) {
				// The VMAC of a group that nobody uses is dropped, and let in where the group is served.
				t.Errorf("%s/%s: %v and % x, at length %v and % x", e.name, c.name, short, changed, long, want)
			}
		}
	}
}

// onOneProcessor keeps the test where what is remembered per processor is.
func onOneProcessor(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.SchedSetaffinity(0, &all)
		runtime.UnlockOSThread()
	})
}

// letIn is how many packets egress need not ask about.
func (g *Gate) letIn(t *testing.T) (n uint64) {
	t.Helper()
	var all []kernelLetIn
	if err := g.objects.LetIn.Lookup(uint32(0), &all); err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		n += uint64(l.Packets)
	}
	return n
}

// TestLetIn: what was let in may leave once, unless the gate has been closed by a word since, or a tick has passed.
func TestLetIn(t *testing.T) {
	onOneProcessor(t)
	g := newTestGate(t, true)
	g.onlyTheGateway(t)
	in := udpFrame{dst: ownMAC, src: client, from: client4, to: far4}.bytes()
	out := udpFrame{dst: client, src: ownMAC, from: client4, to: far4}.bytes()
	context := skbContext{skbIngressIfindex: otherIf}
	begin := func() {
		g.clear()
		serve(g, 0)
		for range 3 {
			if v, _ := entries[1].run(t, g, in, nil); v != pass {
				t.Fatalf("verdict %v at ingress", v)
			}
		}
	}
	spent := false
	for range 20 { // a tick may pass between the two
		begin()
		before := g.letIn(t)
		if v, _ := egress.run(t, g, out, context); v != pass {
			t.Fatalf("verdict %v at egress", v)
		}
		if spent = before == 3 && g.letIn(t) == 2; spent {
			break
		}
	}
	if !spent {
		t.Errorf("egress never went by what had been let in: %d", g.letIn(t))
	}
	for name, closed := range map[string]func(){
		"revoked": func() { g.Words().Revoke(0) },
		"granted": func() { g.Words().Grant(0, 1000, 2) },
		"quiet":   func() { g.Words().SetQuiet(testSlot, QuietForGood) },
		"expired": func() {
			g.words.setTimers(time.Millisecond, time.Millisecond, time.Millisecond, 0)
			for began := Boottime(); Boottime() < began+30e6; {
				runtime.Gosched() // longer than any tick
			}
		},
	} {
		begin()
		closed()
		if v, _ := egress.run(t, g, out, context); v != drop {
			t.Errorf("%s: verdict %v, want drop", name, v)
		}
	}
}

// left is how many packets need not read the clock.
func (g *Gate) left(t *testing.T) (n uint64) {
	t.Helper()
	var all []kernelLetIn
	if err := g.objects.LetIn.Lookup(uint32(0), &all); err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		n += l.Left
	}
	return n
}

// TestTableIsNewerThanTheClock: a packet that goes by a reading of the clock from before the switch of tables meets one that has just been switched.
func TestTableIsNewerThanTheClock(t *testing.T) {
	onOneProcessor(t)
	routed(t)
	g := newSharingGate(t, testSteering)
	g.onlyTheGateway(t)
	own := packet{from: client4, to: far4, proto: protoUDP, sport: 1001, dport: 2000}
	passedOn := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}
	slot, _ := g.slot(t, passedOn)
	if taken, _ := g.slot(t, own); taken == slot {
		t.Fatal("both have the same slot: this test shows nothing")
	}
	for range 200 {
		g.set(t, all(1).with(moving(0, 1), slot))
		if v, _ := entries[1].run(t, g, own.frame(manyMAC, client), nil); v != pass {
			t.Fatalf("its own: %v", v)
		}
		for began := Boottime(); Boottime() < began+12e5; {
			runtime.Gosched() // longer than the unit that the table's time is in
		}
		g.set(t, all(1))
		was := g.left(t)
		got, _ := entries[1].run(t, g, passedOn.frame(ownMAC, macOf[0]), nil)
		if was == 0 || g.left(t) != was-1 {
			continue // a tick has passed
		}
		if got != pass {
			t.Errorf("given just now, by an old reading: %v, want pass", got)
		}
		return
	}
	t.Error("no packet went by an old reading")
}

// TestClockIsShared: some packets go by one reading of the clock, unless the gate has been closed by a word since, a tick has passed, or it is
// about to close by itself.
func TestClockIsShared(t *testing.T) {
	onOneProcessor(t)
	g := newTestGate(t, true)
	g.onlyTheGateway(t)
	frame := udpFrame{dst: vmac, src: client, from: client4, to: far4}.bytes()
	verdictOf := func() verdict {
		t.Helper()
		v, _ := entries[1].run(t, g, frame, nil)
		return v
	}
	left := func() uint64 { return g.left(t) }
	begin := func() {
		t.Helper()
		g.clear()
		serve(g, 0)
		for range 3 {
			if v := verdictOf(); v != pass {
				t.Fatalf("an open gate: %v", v)
			}
		}
	}
	shared := false
	for range 20 { // a tick may pass in between
		begin()
		if shared = left() == 62; shared {
			break
		}
	}
	if !shared {
		t.Errorf("every packet read the clock: %d left", left())
	}
	wait := func() {
		for began := Boottime(); Boottime() < began+30e6; {
			runtime.Gosched() // longer than any tick
		}
	}
	for name, closed := range map[string]func(){
		"revoked": func() { g.Words().Revoke(0) },
		"granted": func() { g.Words().Grant(0, 1000, 2) },
		"quiet":   func() { g.Words().SetQuiet(testSlot, QuietForGood) },
		"expired": func() { g.words.setTimers(time.Millisecond, time.Millisecond, time.Millisecond, 0); wait() },
	} {
		begin()
		closed()
		if v := verdictOf(); v != drop {
			t.Errorf("%s: %v, want drop", name, v)
		}
	}
	for name, unsteady := range map[string]func(){
		"lease":  func() { g.words.setTimers(9*time.Millisecond, 9*time.Millisecond, time.Millisecond, 0) },
		"linger": func() { g.words.word(0, offLingering).Store(uint64(Boottime()) + uint64(time.Hour)) },
	} {
		begin()
		unsteady()
		wait()
		g.Words().Renew(0, g.Words().Fence(0).Term+1, Boottime())
		if verdictOf(); left() != 0 {
			t.Errorf("%s: %d packets go by an old reading, of a gate that may close within the tick", name, left())
		}
	}
	begin()
	g.words.u32(offGroups).Store(1 | 1<<3)
	if was := left(); verdictOf() != pass || left() != was {
		t.Errorf("with a group whose lease nobody has asked for, %d of %d packets go by an old reading", left(), was)
	}
}

// TestFlowIsRemembered: what the connection table has said of a flow holds for a moment, and for its own direction only.
func TestFlowIsRemembered(t *testing.T) {
	onOneProcessor(t)
	s := testSteering
	s.Published = nil
	g := newSharingGate(t, s)
	udp := packet{from: client4, to: far4, proto: protoUDP, sport: 1000, dport: 2000}
	connect(t, udp, noNAT, noNAT)
	g.set(t, all(moving(1, 2))) // what is known stays, what begins goes
	verdictOf := func(p packet) verdict {
		t.Helper()
		v, _ := entries[1].run(t, g, p.frame(manyMAC, client), nil)
		return v
	}
	if v := verdictOf(udp); v != pass {
		t.Fatalf("a known connection: %v", v)
	}
	if out, err := exec.Command("conntrack", "-F").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if v := verdictOf(udp); v != pass {
		t.Errorf("a moment after its end: %v, want what was remembered", v)
	}
	for end := Boottime() + 2e9; verdictOf(udp) != answer; {
		if Boottime() > end {
			t.Fatal("still remembered two seconds after its end")
		}
	}

	// The way from a server to its client is an answer of a connection to a VIP; the same the other way round is another connection.
	first := packet{from: far4, to: vip4, proto: protoUDP, sport: 1000, dport: 80}
	server := netip.MustParseAddr("192.168.7.7")
	back := packet{from: server, to: far4, proto: protoUDP, sport: 8080, dport: 1000}
	connect(t, first, noNAT, netip.AddrPortFrom(server, 8080))
	began, _ := g.slot(t, first)
	now, _ := g.slot(t, back)
	if began == now {
		t.Fatal("both have the same slot: this test shows nothing")
	}
	g.set(t, all(1).with(0, began))
	for range 2 {
		if v := verdictOf(back); v != answer {
			t.Errorf("an answer of the other's connection: %v", v)
		}
	}
	if v := verdictOf(back.answer()); v != pass {
		t.Errorf("what begins the other way round: %v", v)
	}
}

// TestCopiesAreMadeAnew: what the words say of the maps is forgotten by who adopts a gate, since an older build may have changed the maps alone.
func TestCopiesAreMadeAnew(t *testing.T) {
	o := testOptions(newPinDir(t))
	g := reopen(t, o, buildOf(t))
	if err := g.putIface(Iface{Index: testIface, Slot: testSlot, MAC: client, VMAC: vmac, Gated: true, UseVMAC: true}); err != nil {
		t.Fatal(err)
	}
	was := g.words.u64(offPort + portSize*(testIface%ports) + 8).Load()
	if err := g.putIface(Iface{Index: testIface, Slot: testSlot, MAC: ownMAC, VMAC: vmac, Gated: true, UseVMAC: true}); err != nil {
		t.Fatal(err)
	}
	if err := g.SetVIPs(testVIPs()); err != nil {
		t.Fatal(err)
	}
	is := g.words.u64(offPort + portSize*(testIface%ports) + 8).Load()
	noVIP := g.words.u64(offNoVIP).Load()
	g.words.u64(offPort + portSize*(testIface%ports) + 8).Store(was)
	for i := range vipWords {
		g.words.u64(offNoVIP + 8*i).Store(^uint64(0))
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g = openGate(t, o)
	if got := g.words.u64(offPort + portSize*(testIface%ports) + 8).Load(); got != is || was == is {
		t.Errorf("the copy of the interface is %#x, want %#x", got, is)
	}
	if got := g.words.u64(offNoVIP).Load(); got != noVIP {
		t.Errorf("the copy of the addresses is %#x, want %#x", got, noVIP)
	}
	serve(g, 0)
	if v, _ := entries[1].run(t, g, whoHas(vip4).bytes(), nil); v != answer {
		t.Errorf("a VIP that an older build has set: %v, want an answer", v)
	}
}
