// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/stamp"
)

// drainEvery is how often the receiving task reads the sockets. Arrival times are the kernel's, so there is no hurry, and one
// task that wakes 200 times a second disturbs less than one wake-up per packet.
const drainEvery = 5 * time.Millisecond

// receiver reads the packets of one flow.
type receiver struct {
	end *end
	oob [stamp.Space]byte
	buf [2048]byte
}

func newReceiver(e *end) *receiver { return &receiver{end: e} }

// receive reads all sockets until ctx ends, and once more then.
func (r *Run) receive(ctx context.Context) error {
	ticker := time.NewTicker(drainEvery)
	defer ticker.Stop()
	for {
		if err := r.drainAll(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return r.drainAll()
		case <-ticker.C:
		}
	}
}

// drainAll reads what waits in all sockets, and then tells judges up to when arrivals are known.
func (r *Run) drainAll() error {
	begin := time.Since(r.start)
	for _, f := range r.flows {
		if err := r.drainFlow(f); err != nil {
			return err
		}
	}
	r.drained.Store(int64(begin))
	return nil
}

// drainFlow reads what waits in a flow's socket.
func (r *Run) drainFlow(f *flow) error {
	for {
		n, oobn, _, _, err := unix.Recvmsg(f.in.end.fd, f.in.buf[:], f.in.oob[:], unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil:
			return fmt.Errorf("traffic: receive %s: %w", f.name, err)
		}
		at, _ := stamp.Arrival(f.in.oob[:oobn], time.Now())
		p, intact, ok := ParsePacket(f.in.buf[:n])
		switch {
		case !ok || p.Run != r.id || p.Flow != f.id:
		case !intact:
			f.corrupt.Add(1)
		default:
			f.got.append(entry{seq: p.Sequence, at: int64(at.Sub(r.start))})
		}
	}
}
