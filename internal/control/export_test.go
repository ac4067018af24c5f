// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"time"
)

// ServeKept is Serve, but the socket is looked at more often.
func (s *Server) ServeKept(ctx context.Context, path string, every time.Duration) error {
	return s.serveKept(ctx, path, every)
}
