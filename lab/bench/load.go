// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// benchLoad is the benchmark of forwarding.
const benchLoad = "load"

// The cases of the benchmark of forwarding: a generator on all processors, and on one of them.
const (
	caseForward    = "forward"
	caseForwardOne = "forward-1"
)

// usualFlows is of how many flows the packets are unless a run says otherwise.
const usualFlows = 1024

// LoadCaseNames lists the cases in the order of a measurement.
func LoadCaseNames() []string { return []string{caseForward, caseForwardOne} }

// Gateway is what forwards in the benchmark of forwarding; members.Cluster is one with a Ready beside it.
type Gateway interface {
	// Boot starts it.
	Boot(ctx context.Context) error
	// Ready returns when it forwards in the way that is to be measured.
	Ready(ctx context.Context) error
	// Machines are those that software runs on, whose processor time counts.
	Machines() []*machine.Machine
	// Close ends it.
	Close() error
}

// LoadSystem is a way of forwarding that is to be measured.
type LoadSystem struct {
	// Name is the system's name in rows.
	Name string
	// Members is the number of gateways. Router is the member that the end stations send to; "" for the virtual address.
	Members int
	Router  string
	// New prepares the gateways; its files go into dir, which is empty and has a short path. nil: the members drop at ingress what they
	// receive, which is what sending and carrying it there costs.
	New func(lab *topology.Lab, dir string) (Gateway, error)
	// Named is set for systems that are measured only when they are named: every cluster that stands beside the others costs them time.
	Named bool
	// Synced is set for systems whose members know all connections of each other: they are measured when all do.
	Synced bool
	// Flooded lets end stations send to a multicast MAC, so that all members receive; for systems without New.
	Flooded bool
}

// LoadConfig says what the benchmark of forwarding measures.
type LoadConfig struct {
	// Rounds is how often the systems are built and booted anew, at least 1: where the kernel lays what they use differs, and with it what they cost.
	Rounds int
	// Laps is how often each system is measured in a round; 0 means 24.
	Laps int
	// Systems are what is compared; Cases the names of the cases, none means LoadCaseNames.
	Systems []LoadSystem
	Cases   []string
	// Window is how long a measurement takes; 0 means 25 ms. Flows is the number of flows; 0 means 1024, and any other number is in the names of
	// the cases in the result.
	Window time.Duration
	Flows  int
	// Dir is where the systems' files go; it must exist and its path be short (sockets lie in it).
	Dir string
	// Log gets a line per measurement; nil discards them.
	Log io.Writer
}

// maxFlows is how many flows there can be: their sources are addresses of a network of this size.
const maxFlows = 1 << 16

// Connections are the most that one table of connections has in a round, and what all tables have that stand side by side, for the kernel's bounds: see
// registry.Raise. Beside the flows there are a few of the members' own.
func (c LoadConfig) Connections() (each, all int) {
	each = cmp.Or(c.Flows, usualFlows) + 1<<10
	for _, s := range c.Systems {
		if s.New != nil {
			all += each * s.Members
		}
	}
	return each, all
}

// named is a case's name in the result.
func (c LoadConfig) named(name string) string {
	if c.Flows == usualFlows {
		return name
	}
	return fmt.Sprintf("%s-%d-flows", name, c.Flows)
}

func (c LoadConfig) check() (LoadConfig, error) {
	if c.Log == nil {
		c.Log = io.Discard
	}
	if len(c.Cases) == 0 {
		c.Cases = LoadCaseNames()
	}
	if c.Window == 0 {
		c.Window = 25 * time.Millisecond
	}
	if c.Laps == 0 {
		c.Laps = 24
	}
	if c.Flows == 0 {
		c.Flows = usualFlows
	}
	var errs []error
	if c.Rounds < 1 {
		errs = append(errs, fmt.Errorf("bench: %d rounds: at least 1", c.Rounds))
	}
	if c.Laps < 0 {
		errs = append(errs, fmt.Errorf("bench: %d laps: at least 1", c.Laps))
	}
	if len(c.Systems) == 0 {
		errs = append(errs, errors.New("bench: no system to measure"))
	}
	if c.Window < 0 {
		errs = append(errs, fmt.Errorf("bench: window of %v: must be longer than 0", c.Window))
	}
	if c.Flows < runtime.NumCPU() || c.Flows > maxFlows {
		errs = append(errs, fmt.Errorf("bench: %d flows: one for each processor at least, and at most %d", c.Flows, maxFlows))
	}
	for _, name := range c.Cases {
		if !slices.Contains(LoadCaseNames(), name) {
			errs = append(errs, fmt.Errorf("bench: case %q: there are %v", name, LoadCaseNames()))
		}
	}
	return c, errors.Join(errs...)
}

// loadRun is the benchmark under way.
type loadRun struct {
	cfg    LoadConfig
	result Result
}

// Load makes the benchmark of forwarding: all systems stand side by side and take short turns. The result has what was measured even
// when the error is not nil; measurements that could not be made are in its Failures and no error.
func Load(ctx context.Context, cfg LoadConfig) (Result, error) {
	cfg, err := cfg.check()
	if err != nil {
		return Result{}, err
	}
	began := time.Now()
	r := &loadRun{cfg: cfg, result: Result{Benchmark: benchLoad, Started: began.Round(0), Host: thisHost(), Rounds: cfg.Rounds}}
	for round := 1; round <= cfg.Rounds && ctx.Err() == nil; round++ {
		r.round(ctx, round)
	}
	compare(r.result.Measures)
	r.result.Rows = summarizeMeasures(r.result.Measures, names(cfg.Systems))
	r.result.Ratios = ratios(r.result.Measures)
	r.result.Took = time.Since(began).Round(time.Second).String()
	return r.result, ctx.Err()
}

// round builds all systems, measures them, and takes them away.
func (r *loadRun) round(ctx context.Context, round int) {
	stands := r.open(ctx, round)
	r.settle(ctx, round, stands)
	for _, name := range r.cfg.Cases {
		r.laps(ctx, round, name, stands)
	}
	for _, sd := range stands {
		if sd == nil {
			continue
		}
		if err := sd.close(); err != nil {
			r.failed(ctx, round, sd.system.Name, err)
		}
	}
}

func names(systems []LoadSystem) []System {
	var out []System
	for _, s := range systems {
		out = append(out, System{Name: s.Name})
	}
	return out
}

// bootsAtOnce is how many systems boot at the same time: they wait for most of it.
const bootsAtOnce = 4

// open builds all systems. The stand of one that could not be built is nil.
func (r *loadRun) open(ctx context.Context, round int) []*loadStand {
	stands, errs := make([]*loadStand, len(r.cfg.Systems)), make([]error, len(r.cfg.Systems))
	var g errgroup.Group
	g.SetLimit(bootsAtOnce)
	for i, s := range r.cfg.Systems {
		g.Go(func() error {
			stands[i], errs[i] = openLoad(ctx, r.cfg, s)
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	for i, err := range errs {
		if err != nil {
			stands[i] = nil
			r.failed(ctx, round, r.cfg.Systems[i].Name, err)
		}
	}
	return stands
}

// failed notes what could not be done.
func (r *loadRun) failed(ctx context.Context, round int, system string, err error) {
	if ctx.Err() != nil { // what was interrupted has not failed
		return
	}
	r.result.Failures = append(r.result.Failures, Failure{Round: round, System: system, Error: err.Error()})
	fmt.Fprintf(r.cfg.Log, "round %d  %-24s %v\n", round, system, err)
}
