// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/holdfast-project/holdfast/lab/fault"
	"github.com/holdfast-project/holdfast/lab/observe"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/trial"
)

// stand is a system on a topology of its own, booted, ready and under observation.
type stand struct {
	stage *trial.Stage
	undo  []func() error // the last one first
}

// open builds a topology, boots a system on it and observes it; its files go into a directory below within. prepare, if it is not
// nil, gets the topology before the system boots. On error nothing is left.
func open(ctx context.Context, within string, s System, spec topology.Spec, o observe.Options, prepare func(*topology.Lab) error) (_ *stand, err error) {
	sd := &stand{}
	defer func() {
		if err != nil {
			err = errors.Join(err, sd.close())
		}
	}()
	lab, err := topology.Build(spec)
	if err != nil {
		return nil, err
	}
	sd.later("close topology", lab.Close)
	if prepare != nil {
		if err := prepare(lab); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp(within, "b")
	if err != nil {
		return nil, err
	}
	sd.later("remove files", func() error { return os.RemoveAll(dir) })
	system, err := s.New(lab, dir)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	sd.later("close system", system.Close)
	sd.stage = trial.NewStage(ctx, system, fault.New(lab))
	sd.later("close faults", sd.stage.Faults.Close)
	bounded, cancel := context.WithTimeout(ctx, bootWithin)
	defer cancel()
	if err := system.Boot(bounded); err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	if sd.stage.Observer, err = observe.Start(ctx, lab, o); err != nil {
		return nil, err
	}
	sd.later("stop observation", func() error { _, err := sd.stage.Observer.Stop(); return err })
	if _, err := sd.stage.ReadyWithin(ctx, bootWithin); err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	return sd, nil
}

func (sd *stand) later(what string, undo func() error) {
	sd.undo = append(sd.undo, func() error {
		if err := undo(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// close takes everything down; it goes on when a part of it fails.
func (sd *stand) close() error {
	var errs []error
	for _, undo := range slices.Backward(sd.undo) {
		errs = append(errs, undo())
	}
	return errors.Join(errs...)
}
