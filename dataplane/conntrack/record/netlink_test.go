// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

// message is one message of ctnetlink.
type message struct {
	typ, flags uint16
	payload    []byte
}

// kernelSocket talks to ctnetlink in a namespace, as plainly as can be.
type kernelSocket struct {
	t  testing.TB
	fd int
}

// openKernel opens a socket in the namespace; with groups it hears all events.
func openKernel(t testing.TB, n *linktest.Namespace, groups uint32) *kernelSocket {
	t.Helper()
	k := &kernelSocket{t: t}
	n.Do(func() (err error) {
		if k.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(k.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20); err != nil {
			return err
		}
		return unix.Bind(k.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups})
	})
	t.Cleanup(func() { _ = unix.Close(k.fd) })
	return k
}

// receive returns the messages of one read, or none when nothing came within the given milliseconds.
func (k *kernelSocket) receive(wait int64) []message {
	k.t.Helper()
	tv := unix.NsecToTimeval(wait * 1e6)
	if err := unix.SetsockoptTimeval(k.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		k.t.Fatal(err)
	}
	b := make([]byte, 1<<16)
	n, _, err := unix.Recvfrom(k.fd, b, 0)
	if errors.Is(err, unix.EAGAIN) {
		return nil
	}
	if err != nil {
		k.t.Fatal(err)
	}
	var ms []message
	for b = b[:n]; len(b) >= unix.SizeofNlMsghdr; {
		l := binary.LittleEndian.Uint32(b)
		ms = append(ms, message{binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:]), b[unix.SizeofNlMsghdr:l:l]})
		b = b[min(int(l+3)&^3, len(b)):]
	}
	return ms
}

// drain returns what comes until nothing has for a while.
func (k *kernelSocket) drain() (all []message) {
	for {
		ms := k.receive(150)
		if ms == nil {
			return all
		}
		all = append(all, ms...)
	}
}

func (k *kernelSocket) send(typ, flags uint16, family uint8, attrs []byte) {
	k.t.Helper()
	b := binary.LittleEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+nfgenmsgLen+len(attrs)))
	b = binary.LittleEndian.AppendUint16(b, typ)
	b = binary.LittleEndian.AppendUint16(b, flags|unix.NLM_F_REQUEST)
	b = append(b, 1, 0, 0, 0, 0, 0, 0, 0, family, 0, 0, 0)
	b = append(b, attrs...)
	if err := unix.Sendto(k.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		k.t.Fatal(err)
	}
}

// ask sends a request and returns the kernel's answer.
func (k *kernelSocket) ask(typ, flags uint16, family uint8, attrs []byte) error {
	k.t.Helper()
	k.send(typ, flags|unix.NLM_F_ACK, family, attrs)
	for _, m := range k.receive(2000) {
		if m.typ == unix.NLMSG_ERROR {
			if errno := -int32(binary.LittleEndian.Uint32(m.payload)); errno != 0 {
				return unix.Errno(errno)
			}
			return nil
		}
	}
	return fmt.Errorf("no answer to message %#x", typ)
}

// dump returns all entries of a table: the connections' (subsystem 1) or the expectations' (2).
func (k *kernelSocket) dump(subsystem uint16) (all []message) {
	k.t.Helper()
	k.send(subsystem<<8|1, unix.NLM_F_DUMP, 0, nil)
	for {
		ms := k.receive(2000)
		if ms == nil {
			k.t.Fatal("the dump does not end")
		}
		for _, m := range ms {
			switch m.typ {
			case unix.NLMSG_DONE:
				return all
			case unix.NLMSG_ERROR:
				k.t.Fatalf("dump: %v", unix.Errno(-int32(binary.LittleEndian.Uint32(m.payload))))
			}
			all = append(all, m)
		}
	}
}
