// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/netns"
)

// Flood sends prepared frames round and round at a steady rate. One goroutine sends batches with sendmmsg.
type Flood struct {
	fd    int
	stop  chan struct{}
	ended sync.WaitGroup
	start time.Time
	sent  uint64
	err   error
}

// batch is how many frames one system call sends: 0.64 ms at 100,000 a second.
const batch = 64

// maxFlood bounds the rate: beyond it one sender cannot keep it up.
const maxFlood = 1_000_000

// StartFlood sends the frames out of a device of a namespace, rate of them a second, until Stop.
func StartFlood(ns *netns.NS, device string, frames [][]byte, rate int) (*Flood, error) {
	if rate < 1 || rate > maxFlood || len(frames) == 0 {
		return nil, fmt.Errorf("flood: rate %d of %d frames: 1 to %d of at least one", rate, len(frames), maxFlood)
	}
	f := &Flood{stop: make(chan struct{}), start: time.Now()}
	err := ns.Do(func() error {
		ifi, err := net.InterfaceByName(device)
		if err != nil {
			return err
		}
		if f.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.Bind(f.fd, &unix.SockaddrLinklayer{Ifindex: ifi.Index}); err != nil {
			return errors.Join(err, unix.Close(f.fd))
		}
		// A flooder asks no queue for permission.
		return unix.SetsockoptInt(f.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	})
	if err != nil {
		return nil, fmt.Errorf("flood on %s of %s: %w", device, ns.Name(), err)
	}
	f.ended.Go(func() { f.err = f.send(frames, rate) })
	return f, nil
}

// Stop ends the flood and returns how many frames were sent in which time.
func (f *Flood) Stop() (sent uint64, took time.Duration, err error) {
	close(f.stop)
	f.ended.Wait()
	took = time.Since(f.start)
	return f.sent, took, errors.Join(f.err, unix.Close(f.fd))
}

// mmsghdr is struct mmsghdr of sys/socket.h.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

func (f *Flood) send(frames [][]byte, rate int) error {
	msgs := make([]mmsghdr, batch)
	iovs := make([]unix.Iovec, batch)
	for i := range msgs {
		msgs[i].hdr.Iov = &iovs[i]
		msgs[i].hdr.Iovlen = 1
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	next := 0
	for {
		due := uint64(time.Since(f.start).Seconds() * float64(rate))
		for f.sent+batch <= due {
			for i := range iovs {
				frame := frames[next]
				next = (next + 1) % len(frames)
				iovs[i].Base = &frame[0]
				iovs[i].SetLen(len(frame))
			}
			n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(f.fd), uintptr(unsafe.Pointer(&msgs[0])), batch, 0, 0, 0)
			switch errno {
			case 0:
				f.sent += uint64(n)
			case unix.EINTR:
			case unix.ENOBUFS, unix.ENETDOWN, unix.EAGAIN:
				f.sent += batch // lost at the sender's own device: a flood does not wait
			default:
				return fmt.Errorf("flood: %w", errno)
			}
			select {
			case <-f.stop:
				return nil
			default:
			}
		}
		select {
		case <-f.stop:
			return nil
		case <-tick.C:
		}
	}
}
