// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Message types of nf_tables (linux/netfilter/nfnetlink.h, nf_tables.h), the subsystem in the upper byte, and lengths of headers.
const (
	subNftables   = unix.NFNL_SUBSYS_NFTABLES << 8
	msgGetSet     = subNftables | unix.NFT_MSG_GETSET
	msgNewElement = subNftables | unix.NFT_MSG_NEWSETELEM
	msgGetElement = subNftables | unix.NFT_MSG_GETSETELEM
	msgDelElement = subNftables | unix.NFT_MSG_DELSETELEM
	msgBatchBegin = unix.NFNL_MSG_BATCH_BEGIN
	msgBatchEnd   = unix.NFNL_MSG_BATCH_END

	nlmsgLen = 16
	nfgenLen = 4
	headLen  = nlmsgLen + nfgenLen

	// receiveLen is the longest message of a dump that the kernel makes, and more.
	receiveLen = 64 << 10
	// answerTime bounds in s how long the kernel may take for an answer: it answers at once, if at all.
	answerTime = 10
)

var errInterrupted = errors.New("the ruleset changed while it was read")

// socket talks to nf_tables in the network namespace of the thread that opened it. Not safe for concurrent use.
type socket struct {
	fd       int
	port     uint32
	sequence uint32
	in       []byte
	out      []byte
}

func dial() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("netlink socket: %w", err)
	}
	s := &socket{fd: fd, in: make([]byte, receiveLen)}
	err = func() error {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerTime}); err != nil {
			return fmt.Errorf("time for answers: %w", err)
		}
		// Of a batch every message may be answered, and the answers come all at once.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20); err != nil {
			return fmt.Errorf("receive buffer: %w", err)
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20); err != nil {
			return fmt.Errorf("send buffer: %w", err)
		}
		// An error's answer repeats the request otherwise.
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
			return fmt.Errorf("short acknowledgements: %w", err)
		}
		if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return fmt.Errorf("port id: %w", err)
		}
		if nl, ok := sa.(*unix.SockaddrNetlink); ok {
			s.port = nl.Pid
		}
		return nil
	}()
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return s, nil
}

func (s *socket) close() error { return unix.Close(s.fd) }

// begin appends the head of a message to s.out and returns where it begins; end completes it.
func (s *socket) begin(typ, flags uint16, family uint8, resource uint16) int {
	at := len(s.out)
	s.sequence++
	ne := binary.NativeEndian
	s.out = append(s.out, 0, 0, 0, 0)
	s.out = ne.AppendUint16(s.out, typ)
	s.out = ne.AppendUint16(s.out, flags|unix.NLM_F_REQUEST)
	s.out = ne.AppendUint32(s.out, s.sequence)
	s.out = ne.AppendUint32(s.out, 0)
	s.out = append(s.out, family, unix.NFNETLINK_V0)
	s.out = binary.BigEndian.AppendUint16(s.out, resource)
	return at
}

func (s *socket) end(at int) {
	binary.NativeEndian.PutUint32(s.out[at:], uint32(len(s.out)-at)) //nolint:gosec // a message has some KiB
}

// flush sends what s.out holds.
func (s *socket) flush() error {
	defer func() { s.out = s.out[:0] }()
	return unix.Sendto(s.fd, s.out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// message is one answer.
type message struct {
	typ, flags uint16
	sequence   uint32
	// body is what follows the headers of netlink and of nfnetlink.
	body []byte
	// errno is that of an NLMSG_ERROR.
	errno unix.Errno
}

// receive reads some answers and gives each to f.
func (s *socket) receive(f func(message)) error {
	n, from, err := unix.Recvfrom(s.fd, s.in, 0)
	for errors.Is(err, unix.EINTR) {
		n, from, err = unix.Recvfrom(s.fd, s.in, 0)
	}
	if err != nil {
		return fmt.Errorf("answer of the kernel: %w", err)
	}
	if nl, ok := from.(*unix.SockaddrNetlink); !ok || nl.Pid != 0 {
		return nil // not the kernel's
	}
	for b := s.in[:n]; len(b) >= nlmsgLen; {
		ne := binary.NativeEndian
		length := int(ne.Uint32(b))
		if length < nlmsgLen || length > len(b) {
			return fmt.Errorf("answer of the kernel: message of %d bytes, %d are left", length, len(b))
		}
		m := message{typ: ne.Uint16(b[4:]), flags: ne.Uint16(b[6:]), sequence: ne.Uint32(b[8:])}
		switch {
		case (m.typ == unix.NLMSG_ERROR || m.typ == unix.NLMSG_DONE) && length >= nlmsgLen+4:
			m.errno = unix.Errno(-int32(ne.Uint32(b[nlmsgLen:]))) //nolint:gosec // two's complement
		case length >= headLen:
			m.body = b[headLen:length]
		}
		f(m)
		b = b[min(align(length), len(b)):]
	}
	return nil
}

// setInfo is what matters of a set.
type setInfo struct {
	flags uint32
	// timeout is the default of its elements in ms, 0 for none.
	timeout uint64
}

// intervals reports whether the kernel keeps two elements for an interval.
func (i setInfo) intervals() bool { return i.flags&flagInterval != 0 && i.flags&flagConcat == 0 }

// info asks for a set: the error is ENOENT if there is none.
func (s *socket) info(set Set) (info setInfo, err error) {
	at := s.begin(msgGetSet, unix.NLM_F_ACK, set.Family, 0)
	s.out = appendString(s.out, 1, set.Table)
	s.out = appendString(s.out, 2, set.Name)
	s.end(at)
	err = s.ask(func(body []byte) error {
		for len(body) > 0 {
			typ, v, rest, err := nextAttr(body)
			switch {
			case err != nil:
				return err
			case typ == setFlags && len(v) == 4:
				info.flags = binary.BigEndian.Uint32(v)
			case typ == setTimeout && len(v) == 8:
				info.timeout = binary.BigEndian.Uint64(v)
			}
			body = rest
		}
		return nil
	})
	return info, err
}

// elements reads the elements of a set and calls visit for each, which must copy what it keeps.
func (s *socket) elements(set Set, info setInfo, visit func(*element)) error {
	var parts []element // of intervals
	at := s.begin(msgGetElement, unix.NLM_F_DUMP, set.Family, 0)
	s.out = appendString(s.out, listTable, set.Table)
	s.out = appendString(s.out, listSet, set.Name)
	s.end(at)
	var e element
	err := s.ask(func(body []byte) error {
		for len(body) > 0 {
			typ, list, rest, err := nextAttr(body)
			if err != nil {
				return err
			}
			body = rest
			for typ == listElements && len(list) > 0 {
				_, v, rest, err := nextAttr(list)
				if err != nil {
					return err
				}
				list = rest
				if e, err = parseElement(v); err != nil {
					return err
				}
				if info.intervals() {
					parts = append(parts, e.clone())
				} else {
					visit(&e)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	parts = pairIntervals(parts)
	for i := range parts {
		visit(&parts[i])
	}
	return nil
}

// ask sends the one request in s.out and gives what comes to each until it has been answered.
func (s *socket) ask(each func(body []byte) error) error {
	sequence := s.sequence
	if err := s.flush(); err != nil {
		return fmt.Errorf("ask the kernel: %w", err)
	}
	var failed error
	for done := false; !done; {
		err := s.receive(func(m message) {
			if m.sequence != sequence {
				return // of a question before, whose answer took too long
			}
			if m.flags&unix.NLM_F_DUMP_INTR != 0 {
				failed = errors.Join(failed, errInterrupted)
			}
			switch {
			case m.typ == unix.NLMSG_ERROR || m.typ == unix.NLMSG_DONE:
				done = true
				if m.errno != 0 {
					failed = m.errno
				}
			case failed == nil:
				failed = each(m.body)
			}
		})
		if err != nil {
			return err
		}
	}
	return failed
}
