// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"encoding/binary"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	softirqRetry = int64(1e9) // after the loopback could not be used
	softirqLost  = int64(2e9) // a datagram that takes longer was not late but filtered out
	softirqEvery = int64(5e7) // between two datagrams, and at a tick
	softirqMost  = 8          // datagrams read in a row: the one that is out, and those given up
)

// softirq measures how long received packets wait for their softirq, by a datagram that the pulse sends to itself over the
// loopback after a round of probes, every 50 ms: the loopback queues it like a received packet (netif_rx, the backlog of the CPU), and only
// the CPU's receiving softirq takes it from there to the socket. The delay is from just before the send to when the datagram can be read.
//
// It is the delay on the CPU that the pulse runs on at that moment, behind all that waits for that softirq already, a softirq that
// was left to ksoftirqd or to a backlog thread included. It holds the cost of the way itself (a few microseconds), and, if the
// datagram was not there when the send returned, the pulse's own waking up: it is never less than the delay. The kernel's receive
// stamp cannot take the two apart: with net.core.netdev_tstamp_prequeue=1 it is taken before the queue, and the setting is the whole
// machine's.
//
// It is not the delay of a frame from a card: what happens before the queue (interrupts held back by the card or the hypervisor, NAPI
// threads, other CPUs) is not in it; the round trips of probes show that of both ends. And where a send from a process runs waiting
// softirqs itself (kernels from 6.4 on always do, older ones unless ksoftirqd has them) a wait that was about to go on ends here.
type softirq struct {
	fd      int32 // -1: none
	next    int64 // boot time of the next measurement
	again   int64 // boot time of the next try to open it
	sentAt  int64 // of the datagram that is out; 0: none
	told    bool  // main knows that nothing is measured
	address unix.RawSockaddrInet4
	length  uint32
	out     [8]byte // boot time of the send
	in      [16]byte
}

// measureSoftirq sends the next datagram, unless one is out.
func (l *loop) measureSoftirq(now int64) {
	s := &l.softirq
	if s.sentAt != 0 {
		if now-s.sentAt >= softirqLost {
			l.unmeasured(now, unix.ETIMEDOUT)
		}
		return
	}
	if s.fd < 0 {
		if now < s.again {
			return
		}
		errno := s.open()
		if errno == 0 {
			errno = l.watch(l.set, s.fd)
		}
		if errno != 0 {
			l.unmeasured(now, errno)
			return
		}
	}
	at := l.now()
	binary.NativeEndian.PutUint64(s.out[:], uint64(at))
	switch errno := send(int(s.fd), s.out[:]); errno {
	case 0:
		s.sentAt = at
		l.readSoftirq() // mostly it is there by now
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
	default:
		l.unmeasured(now, errno)
	}
}

// readSoftirq takes in a datagram that has arrived.
func (l *loop) readSoftirq() {
	s := &l.softirq
	for range softirqMost {
		switch n, errno := recv(int(s.fd), s.in[:]); {
		case errno == unix.EAGAIN:
			return
		case errno != 0 || n != len(s.out): // the socket's pending error, which is read with that
			continue
		}
		at := int64(binary.NativeEndian.Uint64(s.in[:]))
		delay := time.Duration(l.now() - at)
		st := &l.engine.stats
		st.Softirq, st.MaxSoftirq = max(st.Softirq, delay), max(st.MaxSoftirq, delay)
		if at == s.sentAt {
			s.sentAt = 0
		}
	}
}

// unmeasured gives up for a while, and says so once.
func (l *loop) unmeasured(now int64, errno syscall.Errno) {
	s := &l.softirq
	s.close()
	s.again = now + softirqRetry
	if !s.told {
		event := Notice{Code: NoticeSoftirq, Text: errno.Error()}
		s.told = l.engine.say(appendNotice(l.engine.message[:0], &event))
	}
}

// open makes a socket that is connected to itself, so that nobody else can send to it. It fails where lo is down.
func (s *softirq) open() syscall.Errno {
	fd, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errno != 0 {
		return errno
	}
	s.fd = int32(fd)
	s.address = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte{127, 0, 0, 1}}
	s.length = unix.SizeofSockaddrInet4
	_, _, errno = syscall.RawSyscall(unix.SYS_BIND, fd, uintptr(unsafe.Pointer(&s.address)), unix.SizeofSockaddrInet4)
	if errno == 0 {
		_, _, errno = syscall.RawSyscall(unix.SYS_GETSOCKNAME, fd, uintptr(unsafe.Pointer(&s.address)), uintptr(unsafe.Pointer(&s.length)))
	}
	if errno == 0 {
		_, _, errno = syscall.RawSyscall(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&s.address)), unix.SizeofSockaddrInet4)
	}
	if errno != 0 {
		s.close()
	}
	return errno
}

func (s *softirq) close() {
	if s.fd >= 0 {
		_, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, uintptr(s.fd), 0, 0)
	}
	s.fd, s.sentAt = -1, 0
}
