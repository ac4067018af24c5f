// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
	"github.com/holdfast-project/holdfast/lab/xtcluster"
)

// TestLoad measures what needs no software of this project, shortly, and a gateway that forwards nothing, which must not pass for one that does.
func TestLoad(t *testing.T) {
	labtest.Require(t, "nft", xtcluster.Command, xtcluster.RestoreCommand, "conntrackd", "keepalived")
	want := []string{systemGenerator, systemKernel, "xt-cluster-2", "generator-multicast-2"}
	systems, err := PickLoad(LoadSystems("", ""), want)
	if err != nil {
		t.Fatal(err)
	}
	deaf := LoadSystem{Name: "deaf", Members: 1, Router: topology.MemberName(0), New: bare(func(lab *topology.Lab) error {
		return lab.OfKind(topology.Member)[0].NS.Sysctl("ipv4/ip_forward", "0")
	})}
	want = append(want, "xt-cluster-2-sync")
	systems = append(systems, LoadSystem{Name: "xt-cluster-2-sync", Members: 2, Synced: true, New: synced(slowAdvert)})
	var log bytes.Buffer
	res, err := Load(context.Background(), LoadConfig{
		Rounds: 1, Systems: append(systems, deaf), Cases: []string{caseForwardOne}, Laps: 4, Flows: 256, Dir: t.TempDir(), Log: &log,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[string]float64{}
	for _, m := range res.Measures {
		if m.Case != "forward-1-256-flows" {
			t.Errorf("%s: case %s", m.System, m.Case)
		}
		got[m.System] = m.Values
	}
	for _, name := range want {
		v := got[name]
		// How fast the host was is not judged here.
		if v["pps"] <= 0 || v["cpu_ns_per_packet"] <= 0 || math.IsInf(v["cpu_ns_per_packet"], 0) || v["lost_percent"] < 0 || v["lost_percent"] >= 100 || v["processors_busy"] <= 0 {
			t.Errorf("%s: %v", name, v)
		}
		if product := v["cpu_ns_per_packet"] * v["packets_per_cpu_s"]; math.Abs(product-1e9) > 1 {
			t.Errorf("%s: a packet's time and the packets of a second make %v ns", name, product)
		}
		if _, ok := v["net_cpu_ns_per_packet"]; ok == (name == systemGenerator) {
			t.Errorf("%s: %v", name, v)
		}
		if v["daemons_ns_per_packet"] != 0 && name != "xt-cluster-2-sync" {
			t.Errorf("%s: daemons, of which there are none: %v", name, v)
		}
		if part, ok := v["of_kernel_percent"]; ok != (name != systemGenerator && name != systemKernel) || ok && part <= 0 {
			t.Errorf("%s makes %v %% of the kernel's packets", name, part)
		}
	}
	if len(res.Failures) != 1 || res.Failures[0].System != "deaf" || !strings.Contains(res.Failures[0].Error, "0 frames of 256 flows") {
		t.Errorf("failures %+v", res.Failures)
	}
	if len(res.Rows) != 5*len(loadMetrics)-4 { // the generator is not compared, and the kernel not with itself
		t.Errorf("%d rows", len(res.Rows))
	}
	if t.Failed() {
		t.Log(log.String())
	}
}

// slowAdvert is long enough for a busy machine: members that are late by three of them take each other's share.
const slowAdvert = 200 * time.Millisecond

// A system that is to synchronise, and does not, is not measured.
func TestUnsyncedIsRefused(t *testing.T) {
	labtest.Require(t, "nft", xtcluster.Command)
	lab := topologytest.Build(t, topology.DefaultSpec("un", 2))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		synced  bool
		refused string
	}{
		"synchronises":        {true, "fw1 knows 0 of 64 flows"},
		"does not claim that": {false, ""},
	} {
		sd := &loadStand{lab: lab, cfg: LoadConfig{Flows: 64}, system: LoadSystem{Synced: c.synced}}
		if err := sd.known(ctx); c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the first switch's copies cost is no system's own: they are subtracted where there are any.
func TestCompare(t *testing.T) {
	measure := func(round int, system string, ns float64) Measure {
		return Measure{Round: round, Case: caseForward, System: system, Values: map[string]float64{"cpu_ns_per_packet": ns, "pps": 1e9 / ns}}
	}
	all := []Measure{
		measure(1, systemGenerator, 2000), measure(1, systemGeneratorMany2, 3000), measure(1, systemKernel, 5000), measure(1, "xt-cluster-2", 8000),
		measure(1, "holdfast-ha", 5500), measure(2, systemGenerator, 2000), measure(2, "xt-cluster-2", 8000),
	}
	compare(all)
	for i, want := range []struct{ net, beyond float64 }{{}, {1000, 1000}, {3000, 3000}, {5000, 6000}, {3500, 3500}, {}, {0, 6000}} {
		if v := all[i].Values; v["net_cpu_ns_per_packet"] != want.net || v["beyond_generator_ns_per_packet"] != want.beyond {
			t.Errorf("round %d, %s: %v, want %+v", all[i].Round, all[i].System, v, want)
		}
	}
	for system, generator := range carriedBy {
		for _, name := range []string{system, generator} {
			if _, err := PickLoad(LoadSystems("", ""), []string{name}); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestBusyOf(t *testing.T) {
	got, err := busyOf("cpu  100 20 300 4000 50 6 70 800 9 1\ncpu0 1 2 3\n")
	if want := 4960 * time.Millisecond; err != nil || got != want {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, text := range []string{"", "cpu 1 2 3", "cpu0 100 20 300 4000 50 6 70 800 9 1", "cpu  100 20 x 4000 50 6 70 800 9 1"} {
		if _, err := busyOf(text); err == nil {
			t.Errorf("%q: accepted", text)
		}
	}
}

func TestWrongForwardingIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		sent, arrived uint64
		refused       string
	}{
		"all":   {1_000_000, 1_000_000, ""},
		"few":   {1_000_000, 990_000, ""},
		"lost":  {1_000_000, 900_000, "900000 of 1000000 frames arrived"},
		"twice": {1_000_000, 1_100_000, "forwarded twice"},
	} {
		err := forwarded(c.sent, c.arrived)
		if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Three systems, each with a level of its own, on a machine that is slower and slower, slow for all for a while, and now and then for one alone.
func TestLevels(t *testing.T) {
	want := []float64{1000, 1100, 3000}
	rows := make([][]float64, len(want))
	for i, v := range want {
		for k := range 40 {
			at := v * math.Pow(1.01, float64(k)-19.5)
			switch {
			case k >= 10 && k < 15:
				at *= 2
			case (k+i)%9 == 0:
				at *= 5
			case (k+i)%11 == 0:
				at = math.NaN()
			}
			rows[i] = append(rows[i], at)
		}
	}
	got := levels(rows)
	for i := range want {
		if ratio := got[i] / got[0]; math.Abs(ratio-want[i]/want[0]) > 0.001*ratio {
			t.Errorf("%v, want %v: number %d is %v of the first", got, want, i, ratio)
		}
	}
	if math.Abs(got[0]-1000) > 100 {
		t.Errorf("%v for %v", got[0], want[0])
	}
	if none := levels([][]float64{{1, 2}, {math.NaN(), math.NaN()}, nil}); math.IsNaN(none[0]) || !math.IsNaN(none[1]) || !math.IsNaN(none[2]) {
		t.Errorf("levels of nothing: %v", none)
	}
}

// The interval of four rounds, by hand; other rounds, cases and what was not measured beside it do not count.
func TestRatios(t *testing.T) {
	measure := func(round int, name, system string, pps float64) Measure {
		return Measure{Round: round, Case: name, System: system, Values: map[string]float64{"pps": pps}}
	}
	var all []Measure
	for i, part := range []float64{0.94, 0.96, 0.98, 0.95} {
		all = append(all, measure(i+1, caseForward, systemKernel, 1000*float64(i+1)), measure(i+1, caseForward, "holdfast-ha", part*1000*float64(i+1)))
	}
	all = append(all, measure(5, caseForward, "holdfast-ha", 1), measure(1, caseForwardOne, "holdfast-ha", 70), measure(1, caseForwardOne, systemKernel, 100))
	got := ratios(all)
	if len(got) != 2 {
		t.Fatalf("%+v", got)
	}
	r := got[0]
	if r.N != 4 || math.Abs(r.Ratio-0.9574) > 0.0001 || math.Abs(r.Low-0.9306) > 0.0002 || math.Abs(r.High-0.9849) > 0.0002 {
		t.Errorf("%+v", r)
	}
	if other := ratios([]Measure{measure(1, "forward-32768-flows", "holdfast-ha", 80), measure(1, "forward-32768-flows", systemKernel, 100), all[0]}); len(other) != 1 || other[0].Case != "forward-32768-flows" || math.Abs(other[0].Ratio-0.8) > 1e-9 {
		t.Errorf("of another number of flows: %+v", other)
	}
	if one := got[1]; one.N != 1 || math.Abs(one.Ratio-0.7) > 1e-9 || one.Low != 0 || one.High != 0 {
		t.Errorf("%+v", one)
	}
}

func TestLoadConfigIsRefused(t *testing.T) {
	ok := LoadConfig{Rounds: 1, Systems: []LoadSystem{{}}}
	if _, err := ok.check(); err != nil {
		t.Fatal(err)
	}
	if c, err := (LoadConfig{Rounds: 1, Systems: []LoadSystem{{}}}).check(); err != nil || c.named(caseForwardOne) != "forward-1" {
		t.Errorf("with the usual number of flows: case %s, %v", c.named(caseForwardOne), err)
	}
	if each, all := (LoadConfig{Flows: 4096, Systems: []LoadSystem{{Members: 9}, {Members: 2, New: synced(0)}, {Members: 1, New: synced(0)}}}).Connections(); each < 4096 || all != 3*each {
		t.Errorf("room for %d connections in each table, and for %d in all", each, all)
	}
	for name, change := range map[string]func(*LoadConfig){
		"rounds":  func(c *LoadConfig) { c.Rounds = 0 },
		"systems": func(c *LoadConfig) { c.Systems = nil },
		"laps":    func(c *LoadConfig) { c.Laps = -1 },
		"window":  func(c *LoadConfig) { c.Window = -1 },
		"flows":   func(c *LoadConfig) { c.Flows = maxFlows + 1 },
		"case":    func(c *LoadConfig) { c.Cases = []string{"volcano"} },
	} {
		c := ok
		change(&c)
		if _, err := c.check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	usual, err := PickLoad(LoadSystems("", ""), nil)
	if err != nil || len(usual) == 0 || slices.ContainsFunc(usual, func(s LoadSystem) bool { return s.Named }) {
		t.Errorf("measured without a name: %v, %v", usual, err)
	}
	if two, err := PickLoad(LoadSystems("", "/other"), []string{"holdfast-ha", "holdfast-ha-other"}); err != nil || len(two) != 2 {
		t.Errorf("beside another build: %v, %v", two, err)
	}
	if _, err := PickLoad(LoadSystems("", ""), []string{"volcano"}); err == nil {
		t.Error("a system that there is not is picked")
	}
}

func TestUnshared(t *testing.T) {
	both := []control.LoadMember{{Slots: 512, Open: true}, {Slots: 512, Open: true}}
	for name, c := range map[string]struct {
		load control.Load
		ok   bool
	}{
		"shared":      {control.Load{Table: control.LoadTable{Settled: true}, Members: both}, true},
		"not settled": {control.Load{Members: both}, false},
		"one":         {control.Load{Table: control.LoadTable{Settled: true}, Members: both[:1]}, false},
		"closed":      {control.Load{Table: control.LoadTable{Settled: true}, Members: []control.LoadMember{both[0], {Slots: 512}}}, false},
	} {
		if err := unshared(c.load, 2); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
