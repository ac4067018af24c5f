// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/holdfast-project/holdfast/lab/generator"
)

// settleLoad is how long a generator runs before it is measured.
const settleLoad = 100 * time.Millisecond

// maxLost is the part of the frames sent that may get lost: with more of them, processor time was spent on what did not arrive.
const maxLost = 0.02

// measure makes the measurement of a case.
func (sd *loadStand) measure(ctx context.Context, name string) (_ Measure, err error) {
	processors := []int{0}
	if name == caseForward {
		for p := 1; p < runtime.NumCPU(); p++ {
			processors = append(processors, p)
		}
	}
	run, err := generator.Start(generator.Config{Node: sd.client, NextHop: sd.nextHop, Flows: sd.flows(), Processors: processors})
	if err != nil {
		return Measure{}, err
	}
	defer func() { err = errors.Join(err, run.Stop()) }()
	if err := wait(ctx, settleLoad); err != nil {
		return Measure{}, err
	}
	before, err := sd.reading(run)
	if err != nil {
		return Measure{}, err
	}
	if err := wait(ctx, sd.cfg.Window); err != nil {
		return Measure{}, err
	}
	after, err := sd.reading(run)
	if err != nil {
		return Measure{}, err
	}
	return after.since(before)
}

// reading is what the counters say at a time.
type reading struct {
	at            time.Time
	cpu           time.Duration // of the generator, the kernel's threads and the members' software
	daemons       time.Duration // of the members' software alone
	busy          time.Duration // of the machine's processors
	sent, arrived uint64
}

func (sd *loadStand) reading(run *generator.Run) (r reading, err error) {
	r.at = time.Now()
	if r.busy, err = busy(); err != nil {
		return r, err
	}
	if r.cpu, err = run.CPU(); err != nil {
		return r, err
	}
	threads, err := ran(sd.kernel)
	if err != nil {
		return r, err
	}
	r.cpu += threads
	for _, m := range sd.machines {
		used, err := m.CPU()
		if err != nil {
			return r, err
		}
		r.cpu, r.daemons = r.cpu+used, r.daemons+used
	}
	r.sent, _ = run.Sent()
	for _, s := range sd.sinks {
		n, err := s.Count()
		if err != nil {
			return r, err
		}
		r.arrived += n
	}
	return r, nil
}

// since makes a measure of two readings. It fails when the system lost or doubled what it should forward.
func (r reading) since(before reading) (Measure, error) {
	took, cpu := r.at.Sub(before.at), r.cpu-before.cpu
	sent, arrived := float64(r.sent-before.sent), float64(r.arrived-before.arrived)
	// What was under way at both readings: a batch for each processor, and its backlog.
	const slack = 5000
	switch {
	case arrived < sent*(1-maxLost)-slack:
		return Measure{}, fmt.Errorf("%.0f of %.0f frames arrived", arrived, sent)
	case arrived > sent+slack:
		return Measure{}, fmt.Errorf("%.0f frames arrived, and only %.0f were sent: some were forwarded twice", arrived, sent)
	}
	return Measure{Values: map[string]float64{
		"pps":                   arrived / took.Seconds(),
		"cpu_ns_per_packet":     float64(cpu) / arrived,
		"daemons_ns_per_packet": float64(r.daemons-before.daemons) / arrived,
		"packets_per_cpu_s":     arrived / cpu.Seconds(),
		"processors_busy":       float64(r.busy-before.busy) / float64(took),
		"lost_percent":          max(0, 100*(sent-arrived)/sent),
	}}, nil
}
