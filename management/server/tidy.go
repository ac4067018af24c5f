// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/store"
)

// Of removing what was over long ago.
const (
	tidyFirst  = 5 * time.Minute // after the server's start
	tidyEvery  = day
	tidyWithin = 10 * time.Minute
)

// tidy removes records that are over, once a day, until ctx ends; one server at a time does.
func (s *Server) tidy(ctx context.Context) error {
	next := time.NewTimer(tidyFirst)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		n, err := s.tidyOnce(ctx)
		switch {
		case err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrHeld):
			s.o.Log.Warn("what was over long ago cannot be removed: it is tried again tomorrow", "error", err)
		case n > 0:
			s.o.Log.Info("tokens, certificates and attempts that were over long ago are removed", "records", n)
		}
		next.Reset(tidyEvery)
	}
}

func (s *Server) tidyOnce(ctx context.Context) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, tidyWithin)
	defer cancel()
	lease, err := s.o.Records.Acquire(ctx, "tidy", s.o.Host, time.Minute)
	if err != nil {
		return 0, err
	}
	n, err = s.o.Records.Tidy(ctx, management.Actor{Kind: management.ByServer, Name: s.o.Host})
	return n, errors.Join(err, lease.Release(context.WithoutCancel(ctx)))
}
