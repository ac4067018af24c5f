// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"context"
	"io"
	"time"

	"github.com/holdfast-project/holdfast/lab/ftp"
)

func serveFTP(c Config) (io.Closer, error) { return ftp.Serve(c.Server.NS.Do, c.at()) }

// transfer fetches files over one control connection, with passive and active data connections in turn.
func (t *talk) transfer(ctx context.Context) error {
	c, err := ftp.Dial(ctx, t.Client.NS.Do, t.from(), t.To, dialPatience)
	if err == nil {
		err = t.keep(c)
	}
	if err != nil {
		return err
	}
	for active := false; ctx.Err() == nil; active = !active {
		t.due(time.Now())
		transfer, err := c.Prepare(active)
		if err != nil {
			return err
		}
		t.rest(time.Now(), true)
		pause(ctx, t.Hold)
		t.due(time.Now())
		err = transfer.Fetch(ctx, t.Size, t.Over, dialPatience, func(n int) { t.arrived(time.Now(), 0, int64(n)) })
		if err != nil {
			return err
		}
		t.arrived(time.Now(), 1, 0)
	}
	return nil
}
