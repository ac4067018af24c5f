// SPDX-License-Identifier: Apache-2.0

package tap

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/stamp"
)

// Namespace runs fn on a thread that is in a certain network namespace and returns fn's error. A nil Namespace is the caller's
// own. What fn opens stays in that namespace and may be used from anywhere.
type Namespace func(fn func() error) error

// Do runs fn in n, or as it is when n is nil.
func (n Namespace) Do(fn func() error) error {
	if n == nil {
		return fn()
	}
	return n(fn)
}

// Options say what a tap takes. The zero value takes every frame, both ways.
type Options struct {
	// Filter is a classic BPF program that starts at the Ethernet header; nil takes everything.
	Filter []bpf.RawInstruction
	// Incoming takes only what arrives at the port: what the device at the other end of the cable sent.
	Incoming bool
	// Buffer is the socket's receive buffer in bytes; 0 means 4 MiB.
	Buffer int
}

// Frame is what one Read returns.
type Frame struct {
	// Data is the frame from its Ethernet header on, in the buffer that was given to Read. Length is what it was on the wire.
	Data   []byte
	Length int
	// At is the kernel's time of arrival, with a monotonic reading.
	At time.Time
	// Outgoing is true when the port sent the frame to the device at the other end.
	Outgoing bool
}

// Tap is an open tap. Read is not safe for concurrent use.
type Tap struct {
	name  string
	fd    int
	index int
	oob   [stamp.Space]byte
	// away is true after the port went down or was removed; tried is when it was last looked for.
	away  bool
	tried time.Time
}

// lookEvery is how often a port that went away is looked for.
const lookEvery = time.Millisecond

// Open opens a tap at the interface called name in the namespace in. The filter is in force before the first frame arrives.
func Open(in Namespace, name string, o Options) (*Tap, error) {
	t := &Tap{name: name, fd: -1}
	if err := in.Do(func() error { return t.open(o) }); err != nil {
		_ = t.Close()
		return nil, fmt.Errorf("tap at %s: %w", name, err)
	}
	return t, nil
}

func (t *Tap) open(o Options) error {
	ifi, err := net.InterfaceByName(t.name)
	if err != nil {
		return err
	}
	// Protocol 0 receives nothing: the filter and options are set before bind names a protocol and opens the door.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open AF_PACKET socket: %w", err)
	}
	t.fd = fd
	if err := stamp.Enable(fd); err != nil {
		return err
	}
	buffer := o.Buffer
	if buffer == 0 {
		buffer = 4 << 20
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer); err != nil {
		return fmt.Errorf("set SO_RCVBUFFORCE to %d: %w", buffer, err)
	}
	if o.Incoming {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return fmt.Errorf("set PACKET_IGNORE_OUTGOING: %w", err)
		}
	}
	if err := attach(fd, o.Filter); err != nil {
		return err
	}
	return t.bind(ifi.Index)
}

func (t *Tap) bind(index int) error {
	addr := &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index}
	if err := unix.Bind(t.fd, addr); err != nil {
		return fmt.Errorf("bind to interface %d: %w", index, err)
	}
	t.index = index
	return nil
}

// Read reads the next frame into buf without waiting. ok is false when there is none. Frames longer than buf are cut.
// A port that went down or away is no error: there is nothing to read until it is back, also as a new interface of the same
// name (a member that was powered on again).
func (t *Tap) Read(buf []byte) (f Frame, ok bool, err error) {
	if t.away {
		// Go on reading meanwhile: a frame that was on its way through the kernel is queued after the port has gone.
		if err := t.look(); err != nil {
			return Frame{}, false, err
		}
	}
	for {
		n, oobn, _, from, err := unix.Recvmsg(t.fd, buf, t.oob[:], unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENETDOWN): // said once; what is queued can still be read
			t.away = true
			continue
		case errors.Is(err, unix.EAGAIN):
			return Frame{}, false, nil
		case err != nil:
			return Frame{}, false, fmt.Errorf("read tap at %s: %w", t.name, err)
		}
		f := Frame{Data: buf[:min(n, len(buf))], Length: n}
		f.At, _ = stamp.Arrival(t.oob[:oobn], time.Now())
		if ll, ok := from.(*unix.SockaddrLinklayer); ok {
			f.Outgoing = ll.Pkttype == unix.PACKET_OUTGOING
		}
		return f, true, nil
	}
}

// look finds the port again. The kernel takes the socket up with the port, but a port that is down may be removed without
// another word and come back as a new interface, which needs a new bind: so it is looked for until it is up.
func (t *Tap) look() error {
	now := time.Now()
	if now.Sub(t.tried) < lookEvery {
		return nil
	}
	t.tried = now
	req, err := unix.NewIfreq(t.name)
	if err != nil {
		return fmt.Errorf("tap at %s: %w", t.name, err)
	}
	err = unix.IoctlIfreq(t.fd, unix.SIOCGIFINDEX, req)
	switch {
	case errors.Is(err, unix.ENODEV):
		return nil // not there yet
	case err != nil:
		return fmt.Errorf("tap at %s: %w", t.name, err)
	}
	if index := int(req.Uint32()); index != t.index {
		if err := t.bind(index); err != nil {
			return fmt.Errorf("tap at %s: %w", t.name, err)
		}
	}
	if err := unix.IoctlIfreq(t.fd, unix.SIOCGIFFLAGS, req); err == nil {
		t.away = req.Uint16()&unix.IFF_UP == 0
	}
	return nil
}

// Dropped returns how many frames the kernel dropped because the buffer was full, since the last call.
func (t *Tap) Dropped() (uint, error) {
	s, err := unix.GetsockoptTpacketStats(t.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("read statistics of tap at %s: %w", t.name, err)
	}
	return uint(s.Drops), nil
}

// Close closes the tap. A second Close does nothing.
func (t *Tap) Close() error {
	if t.fd < 0 {
		return nil
	}
	fd := t.fd
	t.fd = -1
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close tap at %s: %w", t.name, err)
	}
	return nil
}

// CloseAll closes taps side by side: for each the kernel waits until all its processors have let go.
func CloseAll(taps ...*Tap) error {
	errs := make([]error, len(taps))
	var wg sync.WaitGroup
	for i, t := range taps {
		wg.Go(func() { errs[i] = t.Close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// attach installs a classic BPF program; it has no effect when prog is empty.
func attach(fd int, prog []bpf.RawInstruction) error {
	if len(prog) == 0 {
		return nil
	}
	filter := make([]unix.SockFilter, len(prog))
	for i, in := range prog {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog); err != nil {
		return fmt.Errorf("attach filter of %d instructions: %w", len(filter), err)
	}
	return nil
}

// htons swaps a protocol number for sockaddr_ll, which wants network order whatever the machine's is.
func htons(v uint16) uint16 { return v<<8 | v>>8 }
