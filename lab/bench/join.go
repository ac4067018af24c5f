// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Join makes one result of several parts of a run, in the order of the parts: a long run can be made in slices. Their rounds are
// numbered on, and the rows are made anew of all trials. Parts must be of the same benchmark and machine and have their trials:
// files with rows alone cannot be joined.
func Join(parts ...Result) (Result, error) {
	if len(parts) == 0 {
		return Result{}, errors.New("bench: join: no result")
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	out := Result{Benchmark: parts[0].Benchmark, Started: parts[0].Started, Host: parts[0].Host, Stress: parts[0].Stress}
	var took time.Duration
	for i, p := range parts {
		if len(p.Trials)+len(p.Measures) == 0 {
			return Result{}, fmt.Errorf("bench: join: result %d has no trials: give the .trials.json files", i+1)
		}
		if p.Benchmark != out.Benchmark || p.Host.Machine != out.Host.Machine || p.Host.Kernel != out.Host.Kernel || p.Host.CPUs != out.Host.CPUs {
			return Result{}, fmt.Errorf("bench: join: result %d is of benchmark %s on %s, Linux %s, %d processors, the first of %s on %s, Linux %s, %d: "+
				"only parts of one run can be compared", i+1, p.Benchmark, p.Host.Machine, p.Host.Kernel, p.Host.CPUs,
				out.Benchmark, out.Host.Machine, out.Host.Kernel, out.Host.CPUs)
		}
		d, err := time.ParseDuration(p.Took)
		if err != nil {
			return Result{}, fmt.Errorf("bench: join: result %d took %q: %w", i+1, p.Took, err)
		}
		took += d
		if p.Started.Before(out.Started) {
			out.Started = p.Started
		}
		out.Host.Load = max(out.Host.Load, p.Host.Load)
		for _, t := range p.Trials {
			t.Round += out.Rounds
			out.Trials = append(out.Trials, t)
		}
		for _, m := range p.Measures {
			m.Round += out.Rounds
			out.Measures = append(out.Measures, m)
		}
		for _, f := range p.Failures {
			f.Round += out.Rounds
			out.Failures = append(out.Failures, f)
		}
		out.Rounds += p.Rounds
	}
	out.Took = took.String()
	out.Rows = append(summarize(out.Trials, casesOf(out.Trials), systemsOf(out.Trials)), summarizeMeasures(out.Measures, measuredSystems(out.Measures))...)
	out.Ratios = ratios(out.Measures)
	// What a reader wants to know: how often the case was tried that was tried most often.
	out.Rounds = 0
	for _, row := range out.Rows {
		out.Rounds = max(out.Rounds, row.N)
	}
	return out, nil
}

// casesOf lists the cases of trials in the order of a round.
func casesOf(trials []Trial) []string {
	var out []string
	for _, t := range trials {
		if !slices.Contains(out, t.Case) {
			out = append(out, t.Case)
		}
	}
	all := CaseNames()
	slices.SortStableFunc(out, func(a, b string) int { return slices.Index(all, a) - slices.Index(all, b) })
	return out
}

// measuredSystems is systemsOf for measures.
func measuredSystems(all []Measure) []System {
	var out []System
	for _, m := range all {
		if !slices.ContainsFunc(out, func(s System) bool { return s.Name == m.System }) {
			out = append(out, System{Name: m.System})
		}
	}
	return out
}

// systemsOf lists the systems of trials as they first appear in the first round, which is the order that was asked for.
func systemsOf(trials []Trial) []System {
	var out []System
	for _, t := range trials {
		if !slices.ContainsFunc(out, func(s System) bool { return s.Name == t.System }) {
			out = append(out, System{Name: t.System})
		}
	}
	return out
}

// Beside makes one result of runs that measured different cases one after the other on one machine: their rounds stay what they are.
func Beside(parts ...Result) (Result, error) {
	if len(parts) == 0 {
		return Result{}, errors.New("bench: no result")
	}
	out := parts[0]
	for _, p := range parts[1:] {
		took, err1 := time.ParseDuration(out.Took)
		more, err2 := time.ParseDuration(p.Took)
		if err := errors.Join(err1, err2); err != nil {
			return out, fmt.Errorf("bench: %w", err)
		}
		out.Took = (took + more).String()
		out.Rounds = max(out.Rounds, p.Rounds)
		out.Host.Load = max(out.Host.Load, p.Host.Load)
		out.Rows = append(out.Rows, p.Rows...)
		out.Trials = append(out.Trials, p.Trials...)
		out.Measures = append(out.Measures, p.Measures...)
		out.Failures = append(out.Failures, p.Failures...)
	}
	return out, nil
}
