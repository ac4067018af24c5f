// SPDX-License-Identifier: Apache-2.0

package fault_test

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/fault"
	"github.com/holdfast-project/holdfast/lab/tap"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
)

// testType is an EtherType of nobody (IEEE local experimental 2).
const testType = 0x88b6

// wire is a topology with faults and a way to send a frame on its ext segment and see who gets it.
type wire struct {
	t   *testing.T
	lab *topology.Lab
	*fault.Faults
	taps map[string]*tap.Tap
}

func newWire(t *testing.T, members int) *wire {
	t.Helper()
	lab := topologytest.Build(t, topology.DefaultSpec("test", members))
	w := &wire{t: t, lab: lab, Faults: fault.New(lab), taps: map[string]*tap.Tap{}}
	for _, p := range lab.PortsOn("ext") {
		n, err := lab.Node(p.Node)
		if err != nil {
			t.Fatal(err)
		}
		if w.taps[p.Node], err = tap.Open(n.NS.Do, p.Device, tap.Options{Incoming: true}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, tap := range w.taps {
			tap.Close()
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// got sends count broadcast frames from a node and returns how many each other node got. On veth a frame has arrived when the
// call that sends it returns.
func (w *wire) got(from string, count int) map[string]int {
	w.t.Helper()
	return w.gotOf(from, count, testType, 0)
}

// gotOf sends frames of an EtherType whose second byte is kind.
func (w *wire) gotOf(from string, count int, etherType uint16, kind byte) map[string]int {
	w.t.Helper()
	n, err := w.lab.Node(from)
	if err != nil {
		w.t.Fatal(err)
	}
	in, err := tap.Inject(n.NS.Do, "ext")
	if err != nil {
		w.t.Fatal(err)
	}
	defer in.Close()
	frame := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0x4c, 0xee, 0, 0, 1, byte(etherType >> 8), byte(etherType), 1, kind}, make([]byte, 50)...)
	for range count {
		if err := in.Send(frame); err != nil {
			w.t.Fatal(err)
		}
	}
	got := map[string]int{}
	buf := make([]byte, 2048)
	for name, t := range w.taps {
		for {
			f, ok, err := t.Read(buf)
			if err != nil {
				w.t.Fatal(err)
			}
			if !ok {
				break
			}
			if f.Data[12] == byte(etherType>>8) && f.Data[13] == byte(etherType) {
				got[name]++
			}
		}
	}
	return got
}

func (w *wire) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestCutIsOneWay(t *testing.T) {
	w := newWire(t, 2)
	w.must(w.Drop("fw1", "ext", fault.From, fault.Loss{Probability: 1}))
	if got := w.got("fw1", 10); got["fw2"] != 0 || got["client1"] != 0 {
		t.Errorf("frames from fw1 arrived: %v", got)
	}
	if got := w.got("fw2", 10); got["fw1"] != 10 {
		t.Errorf("frames to fw1: %v, want all 10", got)
	}
	w.must(w.Drop("fw1", "ext", fault.From, fault.Loss{Probability: 0}))
	w.must(w.Drop("fw1", "ext", fault.To, fault.Loss{Probability: 1}))
	if got := w.got("fw1", 10); got["fw2"] != 10 {
		t.Errorf("frames from fw1: %v, want all 10", got)
	}
	if got := w.got("fw2", 10); got["fw1"] != 0 || got["client1"] != 10 {
		t.Errorf("frames of fw2: %v, want none at fw1 and 10 at client1", got)
	}
	count, err := w.Count("fw1", "ext", fault.To)
	w.must(err)
	if count.Dropped < 10 { // the nodes' kernels send a frame of their own now and then
		t.Errorf("counted %+v, want 10 dropped", count)
	}
}

func TestCutOfOneEtherType(t *testing.T) {
	w := newWire(t, 2)
	w.must(w.Drop("fw1", "ext", fault.From, fault.Loss{Probability: 1, EtherType: 0x88b5}))
	if got := w.got("fw1", 10); got["fw2"] != 10 {
		t.Errorf("another EtherType was cut: %v", got)
	}
	w.must(w.Drop("fw1", "ext", fault.From, fault.Loss{Probability: 1, EtherType: testType}))
	if got := w.got("fw1", 10); got["fw2"] != 0 {
		t.Errorf("the EtherType was not cut: %v", got)
	}
}

func TestCutOfOneTypeOfTheClustersFrames(t *testing.T) {
	w := newWire(t, 2)
	w.must(w.Drop("fw1", "ext", fault.From, fault.Loss{Probability: 1, FrameType: 18}))
	for _, c := range []struct {
		etherType uint16
		kind      byte
		want      int
	}{{0x88b5, 18, 0}, {0x88b5, 16, 10}, {testType, 18, 10}} {
		if got := w.gotOf("fw1", 10, c.etherType, c.kind)["fw2"]; got != c.want {
			t.Errorf("%d frames of EtherType %#x and type %d arrived, want %d", got, c.etherType, c.kind, c.want)
		}
	}
}

func TestLossIsAFifth(t *testing.T) {
	w := newWire(t, 2)
	w.must(w.Drop("fw1", "ext", fault.From, fault.Loss{Probability: 0.2}))
	const sent = 2000
	// Five standard deviations of a binomial of 2000 and 0.2 are 89.
	if got := w.got("fw1", sent)["fw2"]; got < 1511 || got > 1689 {
		t.Errorf("%d of %d arrived, want about 1600", got, sent)
	}
}

func TestDuplicateIsOneCopyMore(t *testing.T) {
	w := newWire(t, 2)
	for _, d := range []fault.Direction{fault.From, fault.To, fault.Both} {
		w.must(w.Duplicate("fw1", "ext", fault.Both, 0))
		w.must(w.Duplicate("fw1", "ext", d, 1))
		from, to := w.got("fw1", 10)["fw2"], w.got("fw2", 10)["fw1"]
		want := map[fault.Direction][2]int{fault.From: {20, 10}, fault.To: {10, 20}, fault.Both: {20, 20}}[d]
		if from != want[0] || to != want[1] {
			t.Errorf("%s: %d from fw1 and %d to it, want %v", d, from, to, want)
		}
	}
}

func TestSplit(t *testing.T) {
	w := newWire(t, 3)
	w.must(w.Split("ext", []string{"fw1"}, []string{"fw2", "fw3"}))
	for from, want := range map[string][]string{
		"fw1":     {"client1", "watch-ext"},
		"fw2":     {"client1", "fw3", "watch-ext"},
		"client1": {"fw1", "fw2", "fw3", "watch-ext"},
	} {
		var heard []string
		for name := range w.got(from, 1) {
			heard = append(heard, name)
		}
		slices.Sort(heard)
		if !slices.Equal(heard, want) {
			t.Errorf("%s is heard by %v, want %v", from, heard, want)
		}
	}
	w.must(w.Join("ext"))
	if got := w.got("fw1", 1); len(got) != 4 {
		t.Errorf("after the join fw1 is heard by %v", got)
	}
}

func TestHarmOutlivesBoot(t *testing.T) {
	w := newWire(t, 2)
	w.must(w.Drop("fw1", "ext", fault.To, fault.Loss{Probability: 1}))
	w.must(w.lab.Renew("fw1"))
	w.must(w.Replug("fw1"))
	fw1, err := w.lab.Node("fw1")
	w.must(err)
	w.taps["fw1"].Close()
	w.taps["fw1"], err = tap.Open(fw1.NS.Do, "ext", tap.Options{Incoming: true})
	w.must(err)
	if got := w.got("fw2", 5); got["fw1"] != 0 || got["client1"] != 5 {
		t.Errorf("after a boot of fw1: %v", got)
	}
}

// running reports whether a node's device has carrier.
func (w *wire) running(node, device string) bool {
	w.t.Helper()
	n, err := w.lab.Node(node)
	w.must(err)
	h, err := n.NS.Handle()
	w.must(err)
	defer h.Close()
	l, err := h.LinkByName(device)
	w.must(err)
	return l.Attrs().Flags&net.FlagRunning != 0
}

func TestUnplugTakesCarrier(t *testing.T) {
	w := newWire(t, 2)
	fw1, err := w.lab.Node("fw1")
	w.must(err)
	running := func(device string) bool { return w.running("fw1", device) }
	addresses := func() int {
		h, err := fw1.NS.Handle()
		w.must(err)
		defer h.Close()
		l, err := h.LinkByName("ext")
		w.must(err)
		a, err := h.AddrList(l, 0)
		w.must(err)
		return len(a)
	}
	before := addresses()
	for _, end := range []fault.End{fault.AtSwitch, fault.AtNode} {
		w.must(w.Unplug("fw1", "ext", end))
		if running("ext") || !running("int") {
			t.Errorf("unplugged at the %s: ext runs %v, int %v", end, running("ext"), running("int"))
		}
		w.must(w.Plug("fw1", "ext", end))
		await(t, "ext to run again", func() bool { return running("ext") })
	}
	if now := addresses(); now != before {
		t.Errorf("ext has %d addresses after that, had %d", now, before)
	}
}

func TestSwitchReboot(t *testing.T) {
	w := newWire(t, 2)
	begin := time.Now()
	w.must(w.SwitchDown(context.Background(), "ext", 20*time.Millisecond))
	if took := time.Since(begin); took < 60*time.Millisecond { // four ports, three pauses
		t.Errorf("taking down took %v", took)
	}
	w.must(w.SwitchUp(context.Background(), "ext", 0))
	// The kernel tells a bridge of a port's carrier within a second.
	await(t, "the switch to forward again", func() bool { return w.got("fw1", 1)["fw2"] == 1 })
	w.must(w.SwitchDown(context.Background(), "ext", 0))
	for _, node := range []string{"fw1", "fw2"} {
		if w.running(node, "ext") || !w.running(node, "int") {
			t.Errorf("%s, with ext's switch down: ext runs %v, int %v", node, w.running(node, "ext"), w.running(node, "int"))
		}
	}
	if err := w.SwitchDown(context.Background(), "dmz", 0); err == nil || !strings.Contains(err.Error(), "[ext int sync]") {
		t.Errorf("got %v, want an error that names the segments", err)
	}
}

func TestFloodKeepsItsRate(t *testing.T) {
	w := newWire(t, 2)
	watch, err := w.lab.Node("watch-ext")
	w.must(err)
	f, err := fault.StartFlood(watch.NS, "ext", fault.Garbage(256, 7, watch.Ports[0].MAC, 1), 20000)
	w.must(err)
	<-time.After(300 * time.Millisecond)
	sent, took, err := f.Stop()
	w.must(err)
	if rate := float64(sent) / took.Seconds(); rate < 1000 || rate > 22000 {
		t.Errorf("%.0f frames a second, want 20000, or what the host can", rate)
	}
	t.Logf("%d frames in %v", sent, took)
}

func TestGarbageIsTheSameForTheSameSeed(t *testing.T) {
	a, b := fault.Garbage(64, 7, net.HardwareAddr{2, 0, 0, 0, 0, 1}, 3), fault.Garbage(64, 7, net.HardwareAddr{2, 0, 0, 0, 0, 1}, 3)
	for i := range a {
		if !slices.Equal(a[i], b[i]) {
			t.Fatalf("frame %d differs", i)
		}
	}
}

func TestStressEndsWithAllItsProcesses(t *testing.T) {
	w := newWire(t, 2)
	labtest.Require(t, "stress-ng")
	s, err := fault.StartStress(w.lab, "--cpu", "2", "--vm", "1", "--vm-bytes", "16M")
	w.must(err)
	await(t, "stress-ng to run", func() bool { return stressors() >= 3 })
	w.must(s.Stop())
	await(t, "stress-ng to be gone", func() bool { return stressors() == 0 })
}

// stressors counts processes of stress-ng that are this process's descendants' namespace's: no other test starts any.
func stressors() int {
	count := 0
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		if c, err := os.ReadFile("/proc/" + d.Name() + "/comm"); err == nil && strings.HasPrefix(string(c), "stress-ng-") {
			count++
		}
	}
	return count
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}
