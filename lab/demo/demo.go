// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/lab/fault"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/observe"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/trial"
)

// Config says what to show.
type Config struct {
	// Members is the size of the cluster; 0 means 3.
	Members int
	// New prepares the cluster on the topology; its files go into Dir.
	New func(lab *topology.Lab) (machine.System, error)
	// Cases are the faults; none means Cases().
	Cases []trial.Case
	// Out is where it is shown, in Style.
	Out   io.Writer
	Style report.Style
}

// Cases are the faults of the demonstration, in order. They are those of the benchmark, looked at for a shorter time.
func Cases() []trial.Case {
	var out []trial.Case
	for _, name := range []string{"power-off", "cable-pull", "sigkill", "sigstop", "graceful", "restart"} {
		c, err := trial.Find(name)
		if err != nil {
			panic(err) // a name above is wrong: the test of this package finds it
		}
		if name == "sigkill" {
			c.Hold = 2 * time.Second
		}
		out = append(out, c)
	}
	return append(out, trial.Failback(topology.MemberName(0)), trial.Flood(), trial.Stress("stress", 8*time.Second))
}

// Pick returns the cases of these names in their order; all without names.
func Pick(names []string) ([]trial.Case, error) {
	var out []trial.Case
	for _, name := range names {
		i := slices.IndexFunc(Cases(), func(c trial.Case) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("demo: no case %q: there are %v", name, Names())
		}
		out = append(out, Cases()[i])
	}
	return out, nil
}

// Names lists the names of all cases.
func Names() []string {
	var names []string
	for _, c := range Cases() {
		names = append(names, c.Name)
	}
	return names
}

// ErrTwo says that two members served at once in one of the faults, ErrMoved that the gateway moved though nobody had harmed it.
var (
	ErrTwo   = errors.New("two members served at once")
	ErrMoved = errors.New("the gateway moved by itself")
)

// bootWithin bounds the time until the cluster is ready.
const bootWithin = 60 * time.Second

// Run shows all cases. It returns their outcomes, and ErrTwo when two members served at once in one of them, ErrMoved when the gateway moved by itself
// before one; the others are shown all the same. Nothing is left behind.
func Run(ctx context.Context, cfg Config) (outcomes []trial.Outcome, err error) {
	if cfg.Members == 0 {
		cfg.Members = 3
	}
	if len(cfg.Cases) == 0 {
		cfg.Cases = Cases()
	}
	undo := func(fn func() error) { err = errors.Join(err, fn()) }
	lab, err := topology.Build(topology.DefaultSpec("demo", cfg.Members))
	if err != nil {
		return nil, err
	}
	defer undo(lab.Close)
	system, err := cfg.New(lab)
	if err != nil {
		return nil, err
	}
	defer undo(system.Close)
	faults := fault.New(lab)
	defer undo(faults.Close)
	// What listens and draws ends before what it listens to is closed.
	showing, stop := context.WithCancel(ctx)
	defer stop()
	s := &show{live: report.NewLive(cfg.Out, cfg.Style), style: cfg.Style, stage: trial.NewStage(showing, system, faults)}
	defer s.rest()
	s.introduce(lab)
	if s.stage.Observer, err = observe.Start(ctx, lab, observe.Options{Priority: senderPriority}); err != nil {
		return nil, err
	}
	defer undo(func() error { _, err := s.stage.Observer.Stop(); return err })
	system.Watch(showing, s.changed)
	if err := system.Boot(ctx); err != nil {
		return nil, err
	}
	s.keepDrawing(showing)
	if _, err := s.stage.ReadyWithin(ctx, bootWithin); err != nil {
		return nil, err
	}
	return s.play(ctx, cfg)
}

// senderPriority keeps the senders on time under stress; the members' own real-time threads are above it.
const senderPriority = 5

// play makes the trials and shows each, then the table.
func (s *show) play(ctx context.Context, cfg Config) ([]trial.Outcome, error) {
	var outcomes []trial.Outcome
	var errs []error
	table := report.Table{Columns: []string{"what happened", "served", "serves", "gap ms", "lost", "of", "two at once"}}
	for i, c := range cfg.Cases {
		number := fmt.Sprintf("%d/%d  ", i+1, len(cfg.Cases))
		out, err := s.stage.Run(ctx, c, trial.Options{
			Preparing: func(c trial.Case, server string) {
				s.begin(number + "in preparation of " + c.Name + ", while " + server + " serves")
			},
			Told: func(c trial.Case, server string) { s.begin(number + fmt.Sprintf(c.Title, server)) },
		})
		if err != nil {
			return outcomes, err
		}
		outcomes = append(outcomes, out)
		s.outcome(out)
		table.Add(out.Two(), row(c, out)...)
		if out.Two() {
			errs = append(errs, fmt.Errorf("%s: %w", c.Name, ErrTwo))
		}
		if out.Moved > 0 {
			errs = append(errs, fmt.Errorf("before %s: %w, %d times", c.Name, ErrMoved, out.Moved))
		}
	}
	s.rest()
	s.live.Print("")
	var text bytes.Buffer // in one piece: states may still change
	errs = append(errs, table.Write(&text, cfg.Style))
	s.live.Print(text.String())
	return outcomes, errors.Join(append(errs, s.live.Err())...)
}

func row(c trial.Case, o trial.Outcome) []string {
	gap, _ := o.Window.Gap()
	sent, _, lost, _, _ := o.Window.Traffic.Totals()
	two := "never"
	if o.Two() {
		two = fmt.Sprintf("%d probes, %d packets", o.Contested(), o.Twice())
	}
	after := o.After
	if after == "" {
		after = "?"
	}
	return []string{c.Name, o.Before, after, fmt.Sprintf("%.1f", float64(gap)/float64(time.Millisecond)), fmt.Sprint(lost), fmt.Sprint(sent), two}
}
