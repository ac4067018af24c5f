// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"testing"
	"time"
)

const second = int64(time.Second)

// plant is a cluster whose members have a speed, and whose load is traffic by weight, noise, and what else they do.
type plant struct {
	r       *rng
	traffic float64 // CPUs
	speed   []float64
	other   []float64
	noise   int64
	now     int64
	changes int
	a       *Adaptive
}

func (p *plant) run(seconds int) (cpu []float64) {
	cpu = make([]float64, len(p.speed))
	for range seconds {
		sum := 0.0
		f := p.a.Factors()
		for i := range p.speed {
			sum += float64(f[i])
		}
		var load [Members]Load
		for i := range p.speed {
			cpu[i] = 1000 * (p.traffic*float64(f[i])/sum/p.speed[i] + p.other[i])
			load[i] = Load{Known: true, CPU: uint16(min(1000, max(0, cpu[i]+float64(p.r.n(2*p.noise+1)-p.noise))))}
		}
		p.now += second
		if p.a.Sample(p.now, load) {
			p.changes++
		}
	}
	return cpu
}

func newPlant(traffic float64, speed ...float64) *plant {
	return &plant{r: &rng{5}, traffic: traffic, speed: speed, other: make([]float64, len(speed)), now: 1000 * second, a: NewAdaptive(DefaultAdaptive())}
}

func spread(cpu []float64) float64 {
	lo, hi := cpu[0], cpu[0]
	for _, c := range cpu {
		lo, hi = min(lo, c), max(hi, c)
	}
	return hi - lo
}

// TestAdaptiveConverges: a slow member, or one that is busy with something else, gets less; and then it stays so.
func TestAdaptiveConverges(t *testing.T) {
	for name, p := range map[string]*plant{
		"slow":       newPlant(1.2, 1, 0.5, 1),
		"two":        newPlant(1, 1, 0.6),
		"busy":       newPlant(1, 1, 1, 1),
		"slow, busy": newPlant(1.5, 1, 0.5, 1, 1),
	} {
		if name == "busy" || name == "slow, busy" {
			p.other[2] = 0.4
		}
		p.noise = 40
		before := spread(p.run(5))
		after := spread(p.run(300))
		if after > 160 || before < 250 {
			t.Errorf("%s: loads differ by %.0f, before by %.0f; factors %v", name, after, before, p.a.Factors())
		}
		settled := p.changes
		p.run(3600)
		if p.changes-settled > 2 {
			t.Errorf("%s: %d more changes in an hour", name, p.changes-settled)
		}
	}
}

// TestAdaptiveRests: equal members with noise, and an idle cluster, change nothing; one that becomes idle goes back.
func TestAdaptiveRests(t *testing.T) {
	equal := newPlant(1.5, 1, 1, 1)
	equal.noise = 150
	if equal.run(3600); equal.changes != 0 {
		t.Errorf("noise alone makes %d changes", equal.changes)
	}
	idle := newPlant(0.3, 1, 0.3)
	idle.traffic = 0.1
	if idle.run(600); idle.changes != 0 {
		t.Errorf("an idle cluster makes %d changes", idle.changes)
	}
	p := newPlant(1, 1, 0.5)
	p.run(300)
	if p.a.Factors()[1] > 800 {
		t.Fatalf("the slow member has factor %d", p.a.Factors()[1])
	}
	p.traffic = 0.1
	p.run(300)
	if f := p.a.Factors(); f[0] != 1000 || f[1] != 1000 {
		t.Errorf("idle again, and factors are %v", f)
	}
}

// TestAdaptiveBounds: nobody is starved, steps are small, and who comes or goes is waited for.
func TestAdaptiveBounds(t *testing.T) {
	a := NewAdaptive(DefaultAdaptive())
	now := second
	load := [Members]Load{{true, 1000}, {true, 10}}
	old := a.Factors()
	for i := range 600 {
		now += second
		changed := a.Sample(now, load)
		f := a.Factors()
		for m := range f {
			if f[m] < 250 || f[m] > 2000 {
				t.Fatalf("factor %d", f[m])
			}
			if d := int(f[m]) - int(old[m]); d > 500 || d < -500 {
				t.Fatalf("after %d s member %d jumps from %d to %d", i, m, old[m], f[m])
			}
		}
		if changed == (f == old) {
			t.Fatal("what changed and what is said differ")
		}
		old = f
	}
	load[2] = Load{true, 900}
	if a.Sample(now+second, load) {
		t.Error("changed as soon as a member came")
	}
	if b := NewAdaptive(DefaultAdaptive()); b.Sample(1, [Members]Load{}) || b.Sample(100*second, [Members]Load{}) {
		t.Error("nobody carries anything, and factors change")
	}
}
