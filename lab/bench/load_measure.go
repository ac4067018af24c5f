// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/holdfast-project/holdfast/lab/generator"
)

// settleLoad is how long a generator sends before it is measured: another system had the processors' caches.
const settleLoad = 8 * time.Millisecond

// maxLost is the part of the frames sent that may get lost: with more of them, processor time was spent on what did not arrive.
const maxLost = 0.02

// window is one short measurement.
type window struct {
	rate float64 // frames sent a second of the time in which the generator, or the kernel for it, had the processors
	cpu  float64 // ns of the generator's threads, and of the kernel's, for each frame
	had  float64 // the part of the time in which the generator had its processors
}

// track is what is measured of a system in the laps of a round.
type track struct {
	stand   *loadStand
	run     *generator.Run
	began   uint64 // frames that had arrived before
	windows []window
	// Of all windows together.
	took, busy, daemons time.Duration
	sent                uint64
}

// track gets a system ready to be measured; its generator must be stopped.
func (sd *loadStand) track(ctx context.Context, name string, laps int) (*track, error) {
	processors := []int{0}
	if name == caseForward {
		for p := 1; p < runtime.NumCPU(); p++ {
			processors = append(processors, p)
		}
	}
	if err := sd.remind(ctx); err != nil {
		return nil, err
	}
	t := &track{stand: sd, windows: make([]window, 0, laps)}
	var err error
	if t.began, err = sd.arrived(); err != nil {
		return nil, err
	}
	t.run, err = generator.Start(generator.Config{Node: sd.client, NextHop: sd.nextHop, Flows: sd.flows(), Processors: processors})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// arrived is how many frames have arrived so far.
func (sd *loadStand) arrived() (total uint64, err error) {
	for _, s := range sd.sinks {
		n, err := s.Count()
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// reading is what the counters of processor time say while nothing is sent.
type reading struct {
	at                    time.Time
	busy, kernel, daemons time.Duration // of the machine's processors; of the kernel's threads; of the members' software
}

func (sd *loadStand) reading() (r reading, err error) {
	r.at = time.Now()
	if r.busy, err = busy(); err != nil {
		return r, err
	}
	if r.kernel, err = ran(sd.kernel); err != nil {
		return r, err
	}
	for _, m := range sd.machines {
		used, err := m.CPU()
		if err != nil {
			return r, err
		}
		r.daemons += used
	}
	return r, nil
}

// burst measures one window.
func (t *track) burst(length time.Duration) error {
	before, err := t.stand.reading()
	if err != nil {
		return err
	}
	b, err := t.run.Burst(settleLoad, length)
	if err != nil {
		return err
	}
	after, err := t.stand.reading()
	if err != nil {
		return err
	}
	cpu := float64(b.CPU)/float64(b.Sent) + float64(after.kernel-before.kernel)/float64(b.All)
	t.windows = append(t.windows, window{rate: float64(t.run.Processors()) * 1e9 / cpu, had: b.Had, cpu: cpu})
	t.took, t.busy, t.daemons = t.took+after.at.Sub(before.at), t.busy+after.busy-before.busy, t.daemons+after.daemons-before.daemons
	t.sent += b.All
	return nil
}

// whole fails when the system lost or doubled what it should forward.
func (t *track) whole() error {
	arrived, err := t.stand.arrived()
	if err != nil {
		return err
	}
	return forwarded(t.sent, arrived-t.began)
}

// forwarded says what is wrong with what has arrived of what was sent.
func forwarded(sent, arrived uint64) error {
	// What was still under way: a batch for each processor, and its backlog.
	const slack = 5000
	switch {
	case float64(arrived) < float64(sent)*(1-maxLost)-slack:
		return fmt.Errorf("%d of %d frames arrived", arrived, sent)
	case arrived > sent+slack:
		return fmt.Errorf("%d frames arrived, and only %d were sent: some were forwarded twice", arrived, sent)
	}
	return nil
}

// of lists a figure of all windows; those in which others had the processors are NaN, unless they were most.
func (t *track) of(figure func(window) float64) []float64 {
	out := make([]float64, len(t.windows))
	all := t.disturbed() > len(t.windows)*2/3
	for i, w := range t.windows {
		if out[i] = figure(w); w.had < undisturbed && !all {
			out[i] = math.NaN()
		}
	}
	return out
}

// disturbed is how many windows others have disturbed.
func (t *track) disturbed() (n int) {
	for _, w := range t.windows {
		if w.had < undisturbed {
			n++
		}
	}
	return n
}

// measure makes a measure of the levels of rate and processor time.
func (t *track) measure(rate, cpu float64) Measure {
	arrived, err := t.stand.arrived()
	lost := 0.0
	if sent := float64(t.sent); err == nil {
		lost = max(0, 100*(sent-float64(arrived-t.began))/sent)
	}
	daemons := float64(t.daemons) / float64(t.sent)
	return Measure{Values: map[string]float64{
		"pps":                   rate * (1 - lost/100),
		"cpu_ns_per_packet":     cpu + daemons,
		"daemons_ns_per_packet": daemons,
		"packets_per_cpu_s":     1e9 / (cpu + daemons),
		"processors_busy":       float64(t.busy) / float64(t.took),
		"lost_percent":          lost,
		"set_aside":             float64(t.disturbed()),
	}}
}
