// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/monotonic"
)

// sender sends the packets of one flow.
type sender struct {
	end  *end
	to   unix.Sockaddr
	next uint64
	buf  []byte
}

func newSender(e *end, to netip.Addr, cfg Config) *sender {
	return &sender{end: e, to: sockaddr(to, cfg.Port), buf: make([]byte, cfg.Payload)}
}

// pace sends one packet of every flow at each deadline, from one locked thread. Deadlines are absolute, so lateness does not add
// up; deadlines that are already past are left out rather than made good by a burst, which would hide a short gap.
func (r *Run) pace(ctx context.Context, flows []*flow) error {
	runtime.LockOSThread() // never unlocked when raised: the thread ends with the task
	if p := r.cfg.Priority; p > 0 {
		attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: uint32(p)}
		if err := unix.SchedSetAttr(0, attr, 0); err != nil {
			return fmt.Errorf("traffic: raise sender to SCHED_FIFO %d: %w", p, err)
		}
	} else {
		defer runtime.UnlockOSThread()
	}
	interval := int64(r.cfg.interval())
	defer func() { r.ended.Store(int64(time.Since(r.start))) }()
	base := monotonic.Now() - int64(time.Since(r.start)) // the run's start on the clock that sleeps
	deadline := monotonic.Now() + interval
	for ctx.Err() == nil {
		if err := monotonic.SleepUntil(deadline); err != nil {
			return fmt.Errorf("traffic: sleep until deadline: %w", err)
		}
		for _, f := range flows {
			now := monotonic.Now()
			f.send(r.id, now-base, now-deadline)
		}
		deadline += interval
		if now := monotonic.Now(); now > deadline {
			skipped := (now-deadline)/interval + 1
			deadline += skipped * interval
			for _, f := range flows {
				f.skipped.append(entry{seq: uint64(skipped), at: now - base})
			}
		}
	}
	return nil
}

// send sends the flow's next packet. The log is written before the packet leaves: an arrival always finds its send.
func (f *flow) send(run uint32, at, late int64) {
	s := f.out
	p := Packet{Run: run, Flow: f.id, Sequence: s.next, Sent: at}
	s.next++
	p.put(s.buf)
	f.sent.append(entry{seq: p.Sequence, at: at, late: late})
	if err := unix.Sendto(s.end.fd, s.buf, 0, s.to); err != nil {
		f.errors.append(entry{seq: p.Sequence, at: at})
	}
}
