// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
)

// undisturbed is the part of a window in which the generator must have had its processors: otherwise others ran on the machine, or the host gave its
// processors to others, and the window is set aside.
const undisturbed = 0.9

// laps measures a case: again and again all systems, each for a short window, in a random order and then in the opposite one, so that what makes the
// machine slower for a while, or ever slower, meets all of them.
func (r *loadRun) laps(ctx context.Context, round int, name string, stands []*loadStand) {
	tracks := make([]*track, len(stands))
	for i, sd := range stands {
		if sd == nil {
			continue
		}
		var err error
		if tracks[i], err = sd.track(ctx, name, r.cfg.Laps); err != nil {
			r.failed(ctx, round, sd.system.Name, fmt.Errorf("%s: %w", name, err))
		}
	}
	defer func() {
		for i, t := range tracks {
			if t == nil {
				continue
			}
			if err := t.run.Stop(); err != nil {
				r.failed(ctx, round, stands[i].system.Name, fmt.Errorf("%s: %w", name, err))
			}
		}
	}()
	chance := rand.New(rand.NewPCG(uint64(round), uint64(len(name))))
	var order []int
	for lap := range r.cfg.Laps {
		if lap%2 == 0 {
			order = chance.Perm(len(tracks))
		}
		for k := range order {
			i := order[k]
			if lap%2 == 1 {
				i = order[len(order)-1-k]
			}
			t := tracks[i]
			if t == nil || ctx.Err() != nil {
				continue
			}
			if err := t.burst(r.cfg.Window); err != nil {
				r.failed(ctx, round, stands[i].system.Name, fmt.Errorf("%s: %w", name, errors.Join(err, t.run.Stop())))
				tracks[i] = nil
			}
		}
	}
	r.conclude(ctx, round, name, tracks)
}

// conclude makes the round's measures of what the laps have shown.
func (r *loadRun) conclude(ctx context.Context, round int, name string, tracks []*track) {
	var rate, cpu [][]float64
	var measured []*track
	for _, t := range tracks {
		if t == nil || ctx.Err() != nil {
			continue
		}
		if err := t.whole(); err != nil {
			r.failed(ctx, round, t.stand.system.Name, fmt.Errorf("%s: %w", name, err))
			continue
		}
		measured = append(measured, t)
		rate, cpu = append(rate, t.of(func(w window) float64 { return w.rate })), append(cpu, t.of(func(w window) float64 { return w.cpu }))
	}
	rates, cpus := levels(rate), levels(cpu)
	for i, t := range measured {
		m := t.measure(rates[i], cpus[i])
		m.Round, m.Case, m.System = round, r.cfg.named(name), t.stand.system.Name
		r.result.Measures = append(r.result.Measures, m)
		var text []string
		for _, metric := range loadMetrics {
			if v, ok := m.Values[metric.name]; ok {
				text = append(text, metric.name+" "+fine(v))
			}
		}
		fmt.Fprintf(r.cfg.Log, "round %d  %-24s %-10s %s  (%.0f of %d windows set aside)\n", round, m.System, m.Case, strings.Join(text, "  "), m.Values["set_aside"], r.cfg.Laps)
	}
}
