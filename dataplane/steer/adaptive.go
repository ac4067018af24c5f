// SPDX-License-Identifier: Apache-2.0

package steer

import "time"

// Load is what was measured of a member.
type Load struct {
	// Known reports that the member carries traffic, and what follows was measured lately.
	Known bool
	// CPU is the use of its CPUs in thousandths.
	CPU uint16
}

// AdaptiveConfig says how weights follow load. DefaultAdaptive has the values that the daemon uses.
type AdaptiveConfig struct {
	// Interval is how often weights may change at most.
	Interval time.Duration
	// Smooth is how long a member's load takes to be believed: the time constant of an exponential mean.
	Smooth time.Duration
	// Begin is by how much, in thousandths of a CPU, a member's load must differ from the mean before anything changes; from then on
	// weights change until no member differs by more than End.
	Begin, End uint16
	// Idle is the load of the busiest member below which differences do not matter: weights go back to what is configured.
	Idle uint16
	// Step is by how much a factor changes at most in one interval, and Floor and Ceiling its bounds; in thousandths.
	Step, Floor, Ceiling uint16
}

// DefaultAdaptive is slow enough for connections to have moved and for CPUs to show it before weights change again.
func DefaultAdaptive() AdaptiveConfig {
	return AdaptiveConfig{Interval: 10 * time.Second, Smooth: 5 * time.Second, Begin: 150, End: 50, Idle: 300, Step: 150, Floor: 250, Ceiling: 2000}
}

// Every is these values for another interval than the one that they are for: a load is believed in half of it.
func (c AdaptiveConfig) Every(interval time.Duration) AdaptiveConfig {
	c.Interval, c.Smooth = interval, interval/2
	return c
}

// Adaptive makes factors for weights out of measured load, so that no member has much more to do than the others: one that is busier than
// the mean gets less of what it has. It changes nothing for differences that do not matter or do not last. It is not safe for concurrent use.
type Adaptive struct {
	cfg     AdaptiveConfig
	mean    [Members]float64
	known   [Members]bool
	factor  [Members]uint16
	at      int64 // of the last sample
	changed int64 // when factors changed last, or the first sample came
	begun   bool
}

// NewAdaptive begins with all factors 1000.
func NewAdaptive(cfg AdaptiveConfig) *Adaptive {
	a := &Adaptive{cfg: cfg}
	a.reset()
	return a
}

func (a *Adaptive) reset() {
	for i := range a.factor {
		a.factor[i] = 1000
	}
}

// Factors returns the present factors in thousandths.
func (a *Adaptive) Factors() [Members]uint16 { return a.factor }

// Sample takes in what was measured at a boot time, at any rate, and reports whether factors are others than before.
func (a *Adaptive) Sample(now int64, load [Members]Load) bool {
	passed := now - a.at
	part := 1.0
	if a.at != 0 && passed < int64(a.cfg.Smooth) {
		part = float64(max(passed, 0)) / float64(a.cfg.Smooth)
	}
	if a.at == 0 {
		a.changed = now
	}
	a.at = now
	carry := 0
	sum, most, least := 0.0, 0.0, 1000.0
	for i, l := range load {
		if !l.Known {
			a.known[i] = false
			continue
		}
		if !a.known[i] {
			// Who has just come is what it is: nothing is known of before.
			a.known[i], a.mean[i] = true, float64(l.CPU)
			a.changed = now
		}
		a.mean[i] += (float64(l.CPU) - a.mean[i]) * part
		carry++
		sum += a.mean[i]
		most, least = max(most, a.mean[i]), min(least, a.mean[i])
	}
	if now-a.changed < int64(a.cfg.Interval) || carry == 0 {
		return false
	}
	old := a.factor
	switch mean := sum / float64(carry); {
	case carry == 1 || most < float64(a.cfg.Idle):
		a.begun = false
		a.back()
	case a.begun && most-mean <= float64(a.cfg.End) && mean-least <= float64(a.cfg.End):
		a.begun = false
	case a.begun || most-mean > float64(a.cfg.Begin) || mean-least > float64(a.cfg.Begin):
		a.begun = true
		a.follow(mean)
	}
	if a.factor == old {
		return false
	}
	a.changed = now
	return true
}

// follow changes the factors of those whose load differs, by half of what would make it the mean if all load came from traffic.
func (a *Adaptive) follow(mean float64) {
	for i := range a.factor {
		if !a.known[i] {
			continue
		}
		by := (mean - a.mean[i]) / max(a.mean[i], mean/2, 1) / 2
		by = min(max(by, -float64(a.cfg.Step)/1000), float64(a.cfg.Step)/1000)
		a.factor[i] = a.bound(float64(a.factor[i]) * (1 + by))
	}
	// Only what they are to each other matters: keep them about one, so that the bounds are not run into together.
	sum, n := 0, 0
	for i, f := range a.factor {
		if a.known[i] {
			sum += int(f)
			n++
		}
	}
	for i, f := range a.factor {
		if a.known[i] {
			a.factor[i] = a.bound(float64(f) * 1000 * float64(n) / float64(sum))
		}
	}
}

func (a *Adaptive) bound(f float64) uint16 {
	return uint16(min(max(f+0.5, float64(a.cfg.Floor)), float64(a.cfg.Ceiling)))
}

// back takes the factors back to 1000, step by step.
func (a *Adaptive) back() {
	for i, f := range a.factor {
		if f < 1000 {
			a.factor[i] = min(1000, f+a.cfg.Step)
		} else {
			a.factor[i] = max(1000, f-min(f, a.cfg.Step))
		}
	}
}
