// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// benchPolicy is the benchmark of policies.
const benchPolicy = "policy"

// What an install is compared with, and the install.
const (
	systemNFT      = "nft"
	systemHoldfast = "holdfast"
)

// PolicySystemNames lists the systems of the install in the order of a round: nft -f in as many namespaces as there are members,
// started at once, and holdfast-mgmt policy install on a cluster.
func PolicySystemNames() []string { return []string{systemNFT, systemHoldfast} }

// PolicyConfig says what the benchmark of policies measures.
type PolicyConfig struct {
	// Rounds is how often each system is measured, at least 1.
	Rounds int
	// Systems are those of PolicySystemNames that are measured; none means all.
	Systems []string
	// Rules and Elements are the size of the ruleset and of the set in it; 0 means 10,000 and 100,000.
	Rules, Elements int
	// Members is the size of the cluster; 0 means 3.
	Members int
	// Binary is the path of holdfastd, with the other programs beside it; "" looks where a build leaves it.
	Binary string
	// Dir is where files go; it must exist and its path be short (sockets lie in it).
	Dir string
	// Log gets a line per measurement; nil discards them.
	Log io.Writer
}

// Bounds of what can be asked for: the ruleset must fit into a policy.
const (
	mostRules    = 100_000
	mostElements = 1_000_000
)

func (c PolicyConfig) check() (PolicyConfig, error) {
	if c.Log == nil {
		c.Log = io.Discard
	}
	if len(c.Systems) == 0 {
		c.Systems = PolicySystemNames()
	}
	if c.Rules == 0 {
		c.Rules = 10_000
	}
	if c.Elements == 0 {
		c.Elements = 100_000
	}
	if c.Members == 0 {
		c.Members = 3
	}
	var errs []error
	if c.Rounds < 1 {
		errs = append(errs, fmt.Errorf("bench: %d rounds: at least 1", c.Rounds))
	}
	if c.Rules < 1 || c.Rules > mostRules || c.Elements < 1 || c.Elements > mostElements {
		errs = append(errs, fmt.Errorf("bench: %d rules and %d elements: 1 to %d, and 1 to %d", c.Rules, c.Elements, mostRules, mostElements))
	}
	for _, name := range c.Systems {
		if !slices.Contains(PolicySystemNames(), name) {
			errs = append(errs, fmt.Errorf("bench: system %q: there are %v", name, PolicySystemNames()))
		}
	}
	return c, errors.Join(errs...)
}

// caseName names the case by the size of its ruleset: install-10k-rules.
func (c PolicyConfig) caseName() string {
	if c.Rules%1000 == 0 {
		return fmt.Sprintf("install-%dk-rules", c.Rules/1000)
	}
	return fmt.Sprintf("install-%d-rules", c.Rules)
}

// installer installs a ruleset in the place of what it installed before.
type installer interface {
	measure(ctx context.Context, text string) (Measure, error)
	close() error
}

// Policy measures how long an install takes beside plain nft -f, in turns. The result has what was measured even when the error is not
// nil; measurements that could not be made are in its Failures and no error.
func Policy(ctx context.Context, cfg PolicyConfig) (_ Result, err error) {
	cfg, err = cfg.check()
	if err != nil {
		return Result{}, err
	}
	began := time.Now()
	result := Result{Benchmark: benchPolicy, Started: began.Round(0), Host: thisHost(), Rounds: cfg.Rounds}
	var stands []installer
	defer func() {
		for _, s := range stands {
			err = errors.Join(err, s.close())
		}
	}()
	for _, name := range cfg.Systems {
		s, err := openInstaller(ctx, cfg, name)
		if err != nil {
			return result, fmt.Errorf("%s: %w", name, err)
		}
		stands = append(stands, s)
	}
	name := cfg.caseName()
	for round := 0; round <= cfg.Rounds && ctx.Err() == nil; round++ { // the first is not measured: it replaces nothing
		text := heavyRules(cfg.Rules, cfg.Elements, round)
		for i := range stands {
			at := (i + round) % len(stands)
			m, err := stands[at].measure(ctx, text)
			if round == 0 && err == nil {
				continue
			}
			system := cfg.Systems[at]
			if ctx.Err() != nil { // one that was interrupted has not failed
				break
			}
			if err != nil {
				result.Failures = append(result.Failures, Failure{Round: round, System: system, Error: name + ": " + err.Error()})
				fmt.Fprintf(cfg.Log, "round %d  %-18s %-10s %v\n", round, name, system, err)
				continue
			}
			m.Round, m.Case, m.System = round, name, system
			result.Measures = append(result.Measures, m)
			fmt.Fprintf(cfg.Log, "round %d  %-18s %-10s %s\n", round, name, system, m.figures(policyMetrics))
		}
		seeBeside(result.Measures, round)
	}
	result.Rows = summarizeMeasures(result.Measures, systemsNamed(cfg.Systems))
	result.Took = time.Since(began).Round(time.Second).String()
	return result, ctx.Err()
}

func openInstaller(ctx context.Context, cfg PolicyConfig, name string) (installer, error) {
	if name == systemNFT {
		return openPlain(cfg)
	}
	return openInstalls(ctx, cfg)
}

func systemsNamed(names []string) []System {
	var out []System
	for _, n := range names {
		out = append(out, System{Name: n})
	}
	return out
}

// seeBeside adds to a round's install how many times as long it took as nft -f alone.
func seeBeside(all []Measure, round int) {
	var plain, install Measure
	for _, m := range all {
		switch {
		case m.Round != round:
		case m.System == systemNFT:
			plain = m
		case m.System == systemHoldfast:
			install = m
		}
	}
	if plain.Values["seconds"] > 0 && install.Values != nil {
		install.Values["times_nft"] = install.Values["seconds"] / plain.Values["seconds"]
	}
}

// figures lists the values in the order of the metrics.
func (m Measure) figures(metrics []measureMetric) string {
	var text []string
	for _, metric := range metrics {
		if v, ok := m.Values[metric.name]; ok {
			text = append(text, metric.name+" "+fine(v))
		}
	}
	if m.Note != "" {
		text = append(text, "("+m.Note+")")
	}
	return strings.Join(text, "  ")
}
