// SPDX-License-Identifier: Apache-2.0

package tap

import (
	"context"
	"time"
)

// Follow calls read at an interval until ctx ends, and then once more, so that what has come by then is read too. It ends with the first
// error of read.
func Follow(ctx context.Context, every time.Duration, read func() error) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return read()
		case <-ticker.C:
		}
		if err := read(); err != nil {
			return err
		}
	}
}

// Drain gives take every frame that waits, read into buf, whose content is the next frame's afterwards. It returns how many the kernel has
// dropped since the last call because the tap's buffer was full.
func (t *Tap) Drain(buf []byte, take func(Frame)) (dropped uint, err error) {
	for {
		f, ok, err := t.Read(buf)
		if err != nil {
			return 0, err
		}
		if !ok {
			return t.Dropped()
		}
		take(f)
	}
}
