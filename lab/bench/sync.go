// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// benchSync is the benchmark of state synchronisation.
const benchSync = "sync"

// Kinds of the cases of the benchmark of state synchronisation. A case is a kind and a number of connections ("power-off-500k"); the
// last two have none.
const (
	kindReplicate = "replicate"
	kindFullSync  = "full-sync"
	kindPowerOff  = "power-off"
	caseLast      = "last-100ms"
	caseLatency   = "latency"
)

// SyncCaseNames lists the usual cases in the order of a round. Replicate, full-sync and power-off can be measured with other numbers
// of connections, up to 4 million: "power-off-20k", "replicate-1m".
func SyncCaseNames() []string {
	return []string{
		"replicate-500k", "full-sync-500k", "power-off-10", "power-off-100000", "power-off-1000000", "power-off-500k", caseLast, caseLatency,
	}
}

// SyncConfig says what the benchmark of state synchronisation measures.
type SyncConfig struct {
	// Rounds is how often each case is measured with each system, at least 1.
	Rounds int
	// Systems are what is compared; Cases the names of the cases, none means SyncCaseNames.
	Systems []System
	Cases   []string
	// FillRate is in new connections a second, when a table is filled whose filling is not measured; 0 means 25,000.
	FillRate int
	// LastRate is in new connections a second before the power-off in case last-100ms; 0 means 10,000.
	LastRate int
	// Stuck is how long a count of entries may stand still before it is what it will be; 0 means 10 s.
	Stuck time.Duration
	// Dir is where the systems' files go; it must exist and its path be short (sockets lie in it).
	Dir string
	// Log gets a line per measurement; nil discards them.
	Log io.Writer
}

// maxConnections is the largest table.
const maxConnections = 4_000_000

func (c SyncConfig) check() (SyncConfig, error) {
	if c.Log == nil {
		c.Log = io.Discard
	}
	if len(c.Cases) == 0 {
		c.Cases = SyncCaseNames()
	}
	if c.FillRate == 0 {
		c.FillRate = 25_000
	}
	if c.LastRate == 0 {
		c.LastRate = 10_000
	}
	if c.Stuck == 0 {
		c.Stuck = 10 * time.Second
	}
	var errs []error
	if c.Rounds < 1 {
		errs = append(errs, fmt.Errorf("bench: %d rounds: at least 1", c.Rounds))
	}
	if len(c.Systems) == 0 {
		errs = append(errs, errors.New("bench: no system to measure"))
	}
	for _, name := range c.Cases {
		_, _, err := parseSyncCase(name)
		errs = append(errs, err)
	}
	return c, errors.Join(errs...)
}

// Connections returns how many connections a member's table has at most while these cases are measured, for the machine's limit.
func (c SyncConfig) Connections() int {
	most := 0
	cases := c.Cases
	if len(cases) == 0 {
		cases = SyncCaseNames()
	}
	for _, name := range cases {
		_, n, _ := parseSyncCase(name) // a bad name is told by check
		most = max(most, n)
	}
	return most
}

// parseSyncCase takes a case's name apart: "full-sync-500k" is full-sync and 500,000.
func parseSyncCase(name string) (kind string, connections int, err error) {
	if name == caseLast || name == caseLatency {
		return name, 0, nil
	}
	for _, kind := range []string{kindReplicate, kindFullSync, kindPowerOff} {
		text, found := strings.CutPrefix(name, kind+"-")
		if !found {
			continue
		}
		times := 1
		if digits, found := strings.CutSuffix(text, "k"); found {
			text, times = digits, 1000
		} else if digits, found := strings.CutSuffix(text, "m"); found {
			text, times = digits, 1_000_000
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxConnections/times {
			return "", 0, fmt.Errorf("bench: case %q: %q is no number of connections from 1 to %d", name, text, maxConnections)
		}
		return kind, n * times, nil
	}
	return "", 0, fmt.Errorf("bench: case %q: there are %v, the first three also with other numbers", name, SyncCaseNames())
}

// syncRun is the benchmark under way.
type syncRun struct {
	cfg    SyncConfig
	result Result
}

// Sync makes the benchmark of state synchronisation. The result has what was measured even when the error is not nil; measurements
// that could not be made are in its Failures and no error.
func Sync(ctx context.Context, cfg SyncConfig) (Result, error) {
	cfg, err := cfg.check()
	if err != nil {
		return Result{}, err
	}
	began := time.Now()
	r := &syncRun{cfg: cfg, result: Result{Benchmark: benchSync, Started: began.Round(0), Host: thisHost(), Rounds: cfg.Rounds}}
	for round := 1; round <= cfg.Rounds; round++ {
		for _, name := range cfg.Cases {
			for i := range cfg.Systems {
				s := cfg.Systems[(i+round-1)%len(cfg.Systems)]
				if ctx.Err() == nil && (Config{Cases: cfg.Cases}).does(s, name) {
					r.measure(ctx, round, s, name)
				}
			}
		}
	}
	r.result.Rows = summarizeMeasures(r.result.Measures, cfg.Systems)
	r.result.Took = time.Since(began).Round(time.Second).String()
	return r.result, ctx.Err()
}

// tries is how often a measurement is begun with a system that moves the gateway by itself.
const tries = 4

// measure makes one measurement of a case with a system and keeps what came of it.
func (r *syncRun) measure(ctx context.Context, round int, s System, name string) {
	m, err := r.once(ctx, s, name)
	for again := 1; again < tries && errors.Is(err, errMoved) && ctx.Err() == nil; again++ {
		fmt.Fprintf(r.cfg.Log, "round %d  %-18s %-18s once more: %v\n", round, name, s.Name, err)
		m, err = r.once(ctx, s, name)
	}
	if err != nil {
		if ctx.Err() == nil { // one that was interrupted has not failed
			r.failed(round, s, name, err)
		}
		return
	}
	m.Round, m.Case, m.System = round, name, s.Name
	r.result.Measures = append(r.result.Measures, m)
	var text []string
	for _, metric := range syncMetrics {
		if v, ok := m.Values[metric.name]; ok {
			text = append(text, metric.name+" "+fine(v))
		}
	}
	if m.Note != "" {
		text = append(text, "("+m.Note+")")
	}
	fmt.Fprintf(r.cfg.Log, "round %d  %-18s %-18s %s\n", round, name, s.Name, strings.Join(text, "  "))
}

// once builds a system anew and tries to measure a case.
func (r *syncRun) once(ctx context.Context, s System, name string) (m Measure, err error) {
	kind, n, err := parseSyncCase(name)
	if err != nil {
		return m, err
	}
	sd, err := openSync(ctx, r.cfg.Dir, s, "sync", r.cfg.Stuck)
	if err != nil {
		return m, err
	}
	switch kind {
	case kindReplicate:
		m, err = sd.replicate(ctx, n)
	case kindFullSync:
		m, err = sd.fullSync(ctx, n, r.cfg.FillRate)
	case kindPowerOff:
		m, err = sd.powerOff(ctx, n, r.cfg.FillRate)
	case caseLast:
		m, err = sd.last(ctx, r.cfg.LastRate)
	case caseLatency:
		m, err = sd.latency(ctx, s.Heard)
	}
	return m, errors.Join(err, sd.close())
}

// failed notes a measurement that could not be made.
func (r *syncRun) failed(round int, s System, name string, err error) {
	r.result.Failures = append(r.result.Failures, Failure{Round: round, System: s.Name, Error: name + ": " + err.Error()})
	fmt.Fprintf(r.cfg.Log, "round %d  %-18s %-18s %v\n", round, name, s.Name, err)
}
