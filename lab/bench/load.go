// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/lab/topology"
)

// benchLoad is the benchmark of forwarding.
const benchLoad = "load"

// The cases of the benchmark of forwarding: a generator on all processors, and on one of them.
const (
	caseForward    = "forward"
	caseForwardOne = "forward-1"
)

// LoadCaseNames lists the cases in the order of a measurement.
func LoadCaseNames() []string { return []string{caseForward, caseForwardOne} }

// Gateway is what forwards in the benchmark of forwarding; members.Cluster is one with a Ready beside it.
type Gateway interface {
	// Boot starts it.
	Boot(ctx context.Context) error
	// Ready returns when it forwards in the way that is to be measured.
	Ready(ctx context.Context) error
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
	// Flooded lets end stations send to a multicast MAC, so that all members receive; for systems without New.
	Flooded bool
}

// LoadConfig says what the benchmark of forwarding measures.
type LoadConfig struct {
	// Rounds is how often each system is measured, at least 1.
	Rounds int
	// Systems are what is compared; Cases the names of the cases, none means LoadCaseNames.
	Systems []LoadSystem
	Cases   []string
	// Window is how long a measurement takes; 0 means 3 s. Flows is the number of flows; 0 means 1024.
	Window time.Duration
	Flows  int
	// Dir is where the systems' files go; it must exist and its path be short (sockets lie in it).
	Dir string
	// Log gets a line per measurement; nil discards them.
	Log io.Writer
}

// maxFlows is how many flows there can be: their sources are addresses of a network of this size.
const maxFlows = 1 << 16

func (c LoadConfig) check() (LoadConfig, error) {
	if c.Log == nil {
		c.Log = io.Discard
	}
	if len(c.Cases) == 0 {
		c.Cases = LoadCaseNames()
	}
	if c.Window == 0 {
		c.Window = 3 * time.Second
	}
	if c.Flows == 0 {
		c.Flows = 1024
	}
	var errs []error
	if c.Rounds < 1 {
		errs = append(errs, fmt.Errorf("bench: %d rounds: at least 1", c.Rounds))
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

// Load makes the benchmark of forwarding. The result has what was measured even when the error is not nil; measurements that could not
// be made are in its Failures and no error.
func Load(ctx context.Context, cfg LoadConfig) (Result, error) {
	cfg, err := cfg.check()
	if err != nil {
		return Result{}, err
	}
	began := time.Now()
	r := &loadRun{cfg: cfg, result: Result{Benchmark: benchLoad, Started: began.Round(0), Host: thisHost(), Rounds: cfg.Rounds}}
	for round := 1; round <= cfg.Rounds; round++ {
		for i := range cfg.Systems {
			if ctx.Err() == nil {
				r.system(ctx, round, cfg.Systems[(i+round-1)%len(cfg.Systems)])
			}
		}
	}
	withNet(r.result.Measures)
	r.result.Rows = summarizeMeasures(r.result.Measures, names(cfg.Systems))
	r.result.Took = time.Since(began).Round(time.Second).String()
	return r.result, ctx.Err()
}

func names(systems []LoadSystem) []System {
	var out []System
	for _, s := range systems {
		out = append(out, System{Name: s.Name})
	}
	return out
}

// system builds a system and measures all cases with it.
func (r *loadRun) system(ctx context.Context, round int, s LoadSystem) {
	failed := func(name string, err error) {
		if ctx.Err() != nil { // what was interrupted has not failed
			return
		}
		r.result.Failures = append(r.result.Failures, Failure{Round: round, System: s.Name, Error: name + err.Error()})
		fmt.Fprintf(r.cfg.Log, "round %d  %-22s %s%v\n", round, s.Name, name, err)
	}
	sd, err := openLoad(ctx, r.cfg, s)
	if err != nil {
		failed("", err)
		return
	}
	for _, name := range r.cfg.Cases {
		m, err := sd.measure(ctx, name)
		if err != nil {
			failed(name+": ", err)
			continue
		}
		m.Round, m.Case, m.System = round, name, s.Name
		r.result.Measures = append(r.result.Measures, m)
		var text []string
		for _, metric := range loadMetrics {
			if v, ok := m.Values[metric.name]; ok {
				text = append(text, metric.name+" "+fine(v))
			}
		}
		fmt.Fprintf(r.cfg.Log, "round %d  %-22s %-10s %s\n", round, s.Name, name, strings.Join(text, "  "))
	}
	if err := sd.close(); err != nil {
		failed("", err)
	}
}
