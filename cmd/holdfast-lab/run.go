// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/lab/registry"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/scenario"
)

const registryRoot = registry.Default

// runOptions are the flags of run.
type runOptions struct {
	json, junit, pcap string
	clockStep, quiet  bool
	repeat, again     int
}

func runCommand(o *options) *cobra.Command {
	var r runOptions
	cmd := &cobra.Command{
		Use:   "run FILE...",
		Short: "Run scenarios, print their timelines and verdicts",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			return run(cmd.Context(), *o, r, files, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.json, "json", "", "write results as JSON to this file")
	f.StringVar(&r.junit, "junit", "", "write results as JUnit XML to this file")
	f.StringVar(&r.pcap, "pcap", "", "write a capture (pcapng) per scenario and segment into this directory")
	f.BoolVar(&r.clockStep, "allow-clock-step", false, "let scenarios move the wall clock of this host")
	f.BoolVarP(&r.quiet, "quiet", "q", false, "print verdicts only, and the timeline of what failed")
	f.IntVar(&r.repeat, "repeat", 1, "run each scenario this often")
	f.IntVar(&r.again, "again", 0, "run what failed this often again when all are through; a scenario that passes each time is unsteady, which is no failure,\nunless two members served, or more than 3 scenarios failed")
	return cmd
}

func run(ctx context.Context, o options, r runOptions, files []string, out io.Writer) error {
	scenarios, err := load(files)
	if err != nil {
		return err
	}
	if err := requireRoot(); err != nil {
		return err
	}
	if r.pcap != "" {
		if err := os.MkdirAll(r.pcap, 0o755); err != nil {
			return err
		}
	}
	entry, err := registry.Open(o.root, fmt.Sprintf("run of %d scenarios", len(scenarios)))
	if err != nil {
		return err
	}
	results := runAll(ctx, o, r, scenarios, entry.Dir, out)
	if r.again > 0 && ctx.Err() == nil {
		results = again(results, r.again, func(name string) report.Result {
			at := slices.IndexFunc(scenarios, func(sc *scenario.Scenario) bool { return sc.Name == name })
			return runOne(ctx, o, r, scenarios[at], entry.Dir, out)
		}, out)
	}
	if err := errors.Join(write(r.json, results, report.WriteJSON), write(r.junit, results, junit), entry.Close()); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	passed, failed := 0, 0
	for _, res := range results {
		switch {
		case res.Failed():
			failed++
		case res.Passed():
			passed++
		}
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return exitCode(1)
	}
	return nil
}

// load parses all files before anything is built.
func load(files []string) ([]*scenario.Scenario, error) {
	var out []*scenario.Scenario
	var errs []error
	for _, f := range files {
		sc, err := scenario.Load(f)
		out, errs = append(out, sc), append(errs, err)
	}
	return out, errors.Join(errs...)
}

func runAll(ctx context.Context, o options, r runOptions, scenarios []*scenario.Scenario, dir string, out io.Writer) []report.Result {
	var results []report.Result
	for _, sc := range scenarios {
		for range r.repeat {
			if ctx.Err() != nil {
				return results
			}
			results = append(results, runOne(ctx, o, r, sc, dir, out))
		}
	}
	return results
}

func runOne(ctx context.Context, o options, r runOptions, sc *scenario.Scenario, dir string, out io.Writer) report.Result {
	style := styleOf(out)
	timeline := new(report.Timeline)
	fmt.Fprintf(out, "== %s: %s\n", sc.Name, sc.About)
	if !r.quiet {
		timeline.Watch(report.NewLive(out, style).Event)
	}
	res := scenario.Run(ctx, sc, scenario.Options{
		Dir: dir, Binary: binary(o), Pcap: r.pcap, Timeline: timeline, AllowClockStep: r.clockStep,
	})
	verdict(out, res, r.quiet, style)
	keepLogs(out, res, filepath.Join(dir, sc.Name))
	return res
}

// verdict prints a result; the timeline only if it was not printed live and something is wrong.
func verdict(out io.Writer, res report.Result, quiet bool, style report.Style) {
	if quiet && !res.Passed() {
		_ = report.WriteText(out, res, style)
		return
	}
	word := "PASSED"
	if !res.Passed() {
		word = "FAILED"
	}
	for _, c := range res.Checks {
		if !c.Passed {
			fmt.Fprintf(out, "   failed: expect %s, got %s\n", c.Text, c.Got)
		}
	}
	if res.Err != "" {
		fmt.Fprintf(out, "   error: %s\n", res.Err)
	}
	fmt.Fprintf(out, "-- %s: %s, %d checks in %s\n", res.Name, word, len(res.Checks), report.Ms(res.Took))
}

// keepLogs prints the end of the members' logs of a failed scenario: its directory goes with the laboratory.
func keepLogs(out io.Writer, res report.Result, dir string) {
	if !res.Passed() {
		logs, _ := filepath.Glob(filepath.Join(dir, "*", "*.log"))
		for _, path := range logs {
			fmt.Fprintf(out, "   end of %s:\n%s", filepath.Base(filepath.Dir(path)), tail(path, 20))
		}
	}
	_ = os.RemoveAll(dir)
}

func write(path string, results []report.Result, to func(io.Writer, []report.Result) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(to(f, results), f.Close())
}

func junit(w io.Writer, results []report.Result) error {
	return report.WriteJUnit(w, "holdfast-lab", results)
}

func binary(o options) string {
	if o.bin == "" {
		return ""
	}
	return filepath.Join(o.bin, "holdfastd")
}
