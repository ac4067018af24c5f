// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// segment is an interface with the sockets that are open there at present.
type segment struct {
	Iface
	ears map[uint16]*ear // by EtherType
	used int64           // boot time of the last question
}

// ear sends and hears frames of one EtherType on one interface. Its socket is on the receive path of that EtherType only;
// one for all would make the kernel clone every frame that is sent. For IP that path is the one of all traffic: the kernel clones
// every packet received for an ear there (some 250 ns), so that such ears are open only while a question is.
type ear struct {
	index  int
	conn   *packet.Conn
	opened int64 // boot time

	failing atomic.Bool // reading it gave an error that does not pass by itself
	closing sync.Once
	closed  chan struct{} // by us
}

const (
	// readAgain is how long after an error the same socket is read again, reopenAfter how old a socket that fails must be to be replaced.
	readAgain   = 100 * time.Millisecond
	reopenAfter = time.Second
)

// packetOtherHost is the packet type of a frame that is not for this host.
const packetOtherHost = 3

// filters pass nothing but answers.
var filters = map[uint16][]bpf.Instruction{
	etherTypeARP: {
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packetOtherHost, SkipTrue: 3},
		bpf.LoadAbsolute{Off: etherLen + 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 2, SkipTrue: 1},
		bpf.RetConstant{Val: 128},
		bpf.RetConstant{Val: 0},
	},
	etherTypeIPv4: {
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packetOtherHost, SkipTrue: 6},
		bpf.LoadAbsolute{Off: etherLen + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoICMP, SkipTrue: 4},
		bpf.LoadMemShift{Off: etherLen},
		bpf.LoadIndirect{Off: etherLen, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: icmpEchoReply, SkipTrue: 1},
		bpf.RetConstant{Val: 128},
		bpf.RetConstant{Val: 0},
	},
	etherTypeIPv6: {
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packetOtherHost, SkipTrue: 6},
		bpf.LoadAbsolute{Off: etherLen + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoICMPv6, SkipTrue: 4},
		bpf.LoadAbsolute{Off: etherLen + 40, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: icmp6NA, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: icmp6EchoReply, SkipTrue: 1},
		bpf.RetConstant{Val: 512},
		bpf.RetConstant{Val: 0},
	},
}

// listen returns the ear for an EtherType, and whether it has just been opened.
func (s *segment) listen(etherType uint16, now int64) (e *ear, opened bool, err error) {
	if e := s.ears[etherType]; e != nil {
		if e.hears(now) {
			return e, false, nil
		}
		e.close()
		delete(s.ears, etherType)
	}
	program, err := bpf.Assemble(filters[etherType])
	if err != nil {
		return nil, false, fmt.Errorf("filter: %w", err)
	}
	conn, err := packet.Listen(&net.Interface{Index: s.Index}, packet.Raw, int(etherType), &packet.Config{Filter: program})
	if err != nil {
		return nil, false, err
	}
	if s.ears == nil {
		s.ears = make(map[uint16]*ear)
	}
	e = &ear{index: s.Index, conn: conn, opened: now, closed: make(chan struct{})}
	s.ears[etherType] = e
	return e, true, nil
}

// hush takes the ears for IP that no question needs out of the segment and returns them; the caller closes them without a lock, since
// the kernel waits until no processor uses a socket any more.
func (s *segment) hush(needed map[uint16]bool) (unused []*ear) {
	for _, etherType := range []uint16{etherTypeIPv4, etherTypeIPv6} {
		if e := s.ears[etherType]; e != nil && !needed[etherType] {
			delete(s.ears, etherType)
			unused = append(unused, e)
		}
	}
	return unused
}

func (s *segment) close() {
	for _, e := range s.ears {
		e.close()
	}
	s.ears = nil
}

// send puts a frame on the wire without ever waiting for room: the caller may be the member's loop.
func (e *ear) send(b []byte) error {
	raw, err := e.conn.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { _, sent = unix.Write(int(fd), b) }); err != nil {
		return err
	}
	return sent
}

// hears reports whether the ear is worth keeping. A device that was gone has taken its sockets with it, also where it is back by now with
// the same index, and says so to nobody who waits.
func (e *ear) hears(now int64) bool {
	if e.failing.Load() {
		return now-e.opened < int64(reopenAfter)
	}
	raw, err := e.conn.SyscallConn()
	if err != nil {
		return false
	}
	bound := false
	if err := raw.Control(func(fd uintptr) {
		name, err := unix.Getsockname(int(fd))
		at, is := name.(*unix.SockaddrLinklayer)
		bound = err == nil && is && at.Ifindex == e.index
	}); err != nil {
		return false
	}
	return bound
}

func (e *ear) close() {
	e.closing.Do(func() { close(e.closed) })
	_ = e.conn.Close()
}

// read passes on what the ear hears until it is closed. After an error it goes on.
func (a *Asker) read(e *ear) {
	buf := make([]byte, 2048)
	for {
		n, _, err := e.conn.ReadFrom(buf)
		if errors.Is(err, unix.ENETDOWN) {
			continue // said once when the interface goes down; the socket works again when it is up
		}
		if err != nil {
			select {
			case <-e.closed: // the error of a closed socket has no name that it could be told by
				return
			default:
			}
			if !e.failing.Swap(true) {
				a.log.Warn("answers of neighbours are not heard at present", "interface", e.index, "reason", err)
			}
			select {
			case <-e.closed:
				return
			case <-time.After(readAgain):
			}
			continue
		}
		if e.failing.Load() {
			e.failing.Store(false)
		}
		if h, ok := parse(buf[:n]); ok {
			a.heard(e.index, h)
		}
	}
}
