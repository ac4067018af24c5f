// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"errors"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// script checks by running a command.
type script struct {
	polled
	name    string
	command Command
	runner  *Runner
}

func (s *script) check(ctx context.Context) verdict.Result {
	last, err := s.runner.Run(ctx, s.name, s.command)
	if err == nil {
		return verdict.Fine()
	}
	reason := err.Error()
	if last != "" {
		var e *ExitError
		if errors.As(err, &e) && e.Code >= 0 {
			reason = last + " (" + reason + ")"
		} else {
			reason += ", last said: " + last
		}
	}
	return verdict.Wrong(reason)
}
