// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/lab/observe"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/trial"
)

// stressEvery is the time between two rounds of probes under stress.
const stressEvery = 40 * time.Millisecond

// stressRate is packets a second and flow under stress, of all systems together: as much as one system gets otherwise.
const stressRate = 1000

// stress lets all systems stand side by side under one stress: what one of them goes through, the others go through in the same
// second. Its trials belong to round 1; it is done once.
func (r *run) stress(ctx context.Context, name string) {
	var systems []System
	for _, s := range r.cfg.Systems {
		if r.cfg.does(s, name) {
			systems = append(systems, s)
		}
	}
	var stages []*trial.Stage
	var standing []System
	var stands []*stand
	for i, s := range systems {
		if ctx.Err() != nil {
			break
		}
		sd, err := open(ctx, r.cfg.Dir, s, stressSpec(name, i, r.cfg.Members), observe.Options{
			Priority: senderPriority, Rate: max(1, stressRate/len(systems)), Every: stressEvery,
		}, nil)
		if err != nil {
			r.failed(1, s, err)
			continue
		}
		stages, standing, stands = append(stages, sd.stage), append(standing, s), append(stands, sd)
	}
	if len(stages) == 0 {
		return
	}
	outs, errs := trial.Together(ctx, stages, trial.Stress(name, r.cfg.Stress), trial.Options{})
	for i, s := range standing {
		if err := errors.Join(errs[i], stands[i].close()); err != nil {
			r.failed(1, s, err)
		}
		if errs[i] == nil {
			r.keep(1, s, outs[i])
		}
	}
}

// stressSpec is the topology of the i-th system. Its devices have names of their own: a daemon that raises its NAPI threads, which
// are the host's and known by a device's name only, must not raise another system's.
func stressSpec(name string, i, members int) topology.Spec {
	spec := topology.DefaultSpec(fmt.Sprintf("bench%d", i), members)
	spec.ThreadedNAPI = name == CaseStressThread
	for k := range spec.Segments {
		spec.Segments[k].Name += fmt.Sprint(i + 1)
	}
	return spec
}
