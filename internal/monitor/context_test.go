// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"log/slog"
	"testing"
	"time"
)

var discard = slog.New(slog.DiscardHandler)

func contextOf(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}
