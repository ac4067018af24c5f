// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Together makes one trial on several stages at the same time: harm is done once, to the host that carries them all, and every
// stage is looked at while it lasts. It returns an outcome and an error for each stage, in their order; a stage that was not ready,
// or whose observation failed, does not keep the others from theirs. The case must not need anything of a stage but to be ready:
// its Harm gets the first stage that is.
func Together(ctx context.Context, stages []*Stage, c Case, o Options) ([]Outcome, []error) {
	outs, errs := make([]Outcome, len(stages)), make([]error, len(stages))
	each := func(do func(st *Stage, out *Outcome) error) {
		var wg sync.WaitGroup
		for i, st := range stages {
			if errs[i] == nil {
				wg.Go(func() { errs[i] = do(st, &outs[i]) })
			}
		}
		wg.Wait()
	}
	for i, st := range stages {
		outs[i] = Outcome{Case: c.Name, System: st.System.Name()}
	}
	each(func(st *Stage, out *Outcome) error { return st.ready(ctx, c, o, out) })
	began := time.Now()
	undo, err := harmOnce(ctx, stages, outs, errs, c)
	took := time.Since(began)
	each(func(st *Stage, out *Outcome) error {
		out.At, out.Took = began, took
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		if err := st.look(ctx, c, out); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		return nil
	})
	// The harm ends in any case: it is done to the host.
	if undo != nil {
		if uerr := undo(ctx); uerr != nil {
			each(func(*Stage, *Outcome) error { return fmt.Errorf("%s: undo: %w", c.Name, uerr) })
		}
	}
	each(func(st *Stage, out *Outcome) error { return st.recover(ctx, c, out) })
	return outs, errs
}

// harmOnce does the harm if any stage is ready.
func harmOnce(ctx context.Context, stages []*Stage, outs []Outcome, errs []error, c Case) (Undo, error) {
	for i, st := range stages {
		if errs[i] == nil {
			return c.Harm(ctx, st, outs[i].Before)
		}
	}
	return nil, errors.New("no stage is ready")
}
