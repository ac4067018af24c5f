// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrWouldBlock is TryRecv's answer while no frame is waiting.
var ErrWouldBlock error = unix.EAGAIN

// Conn is a raw Ethernet socket on one interface. Send, Recv, their batches and Close may be called concurrently with each other.
//
// While the interface is down, Send gives an error and one Recv may give ENETDOWN; the socket stays good and carries frames again
// when the interface comes up. An interface that is deleted takes its socket with it: every call gives ENXIO or ENODEV.
type Conn struct {
	fd      int
	ifindex int
	vlan    uint16
	ether   uint16

	sending  sync.Mutex
	tx       int                    // the socket to send by: fd, until that is registered with the poller
	head     [ethLen + vlanLen]byte // Ethernet header of the next frame
	out      [2]unix.Iovec          // head and frame, kept so that sending allocates nothing
	outBatch *messages              // SendBatch's, for the same reason; nil before the first

	receiving sync.Mutex
	in        [2]unix.Iovec // Ethernet header and the caller's buffer
	inHead    [ethLen]byte
	read      func(fd uintptr) bool // tryRead, kept for the same reason
	inBatch   *messages             // RecvBatch's, nil before the first
	readBatch func(fd uintptr) bool
	n         int
	err       error

	// file registers the socket with the runtime's poller. It is made by the first blocking call only: the pulse polls for itself,
	// and the runtime should not wake a thread of its own for each of its packets.
	blocking sync.Mutex
	file     *os.File
	raw      syscall.RawConn
	closed   atomic.Bool
}

// Dial opens a socket on the interface ifindex for frames of etherType that f wants. It needs CAP_NET_RAW in the network namespace
// of the calling thread. No frame that f refuses is ever received: the filter is installed before the socket is bound. The frames
// that this host sends are not received.
func Dial(ifindex int, etherType uint16, f Filter) (*Conn, error) {
	c, err := dial(ifindex, etherType, f)
	if err != nil {
		return nil, fmt.Errorf("segment: open socket for EtherType %#04x on interface %d: %w", etherType, ifindex, err)
	}
	return c, nil
}

func dial(ifindex int, etherType uint16, f Filter) (_ *Conn, err error) {
	if f.VLAN > 4094 {
		return nil, fmt.Errorf("VLAN %d: want 0 (untagged) to 4094", f.VLAN)
	}
	prog, err := f.program(etherType)
	if err != nil {
		return nil, err
	}
	// Protocol 0: nothing arrives before bind names one.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	code := make([]unix.SockFilter, len(prog))
	for i, ins := range prog {
		code[i] = unix.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}); err != nil {
		return nil, fmt.Errorf("attach filter: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return nil, fmt.Errorf("ignore outgoing packets: %w", err)
	}
	if f.Class == Sync {
		makeRoom(fd)
	}
	if f.Class != Any {
		group := Group(f.Cluster)
		mreq := unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_MULTICAST, Alen: 6}
		copy(mreq.Address[:], group[:])
		if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
			return nil, fmt.Errorf("join multicast group %x: %w", group, err)
		}
	}
	protocol := etherType
	if f.VLAN != 0 {
		protocol = unix.ETH_P_ALL // only there the kernel has not yet removed the tag of a VLAN that it knows no device for
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: hton(protocol), Ifindex: ifindex}); err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, fmt.Errorf("read the interface's address: %w", err)
	}
	ll, ok := sa.(*unix.SockaddrLinklayer)
	if !ok || ll.Halen != 6 {
		return nil, errors.New("not an Ethernet interface")
	}
	c := &Conn{fd: fd, tx: fd, ifindex: ifindex, vlan: f.VLAN, ether: etherType}
	c.in[0].Base = &c.inHead[0]
	c.in[0].SetLen(ethLen)
	c.read = c.tryRead
	c.SetSource([6]byte(ll.Addr[:6]))
	return c, nil
}

// Room for Sync frames: at 20,000 a second some 100 ms of them while the daemon is not at its desk, and what a burst of
// retransmissions queues on the way out. The kernel counts 2 to 4 KiB for a frame.
const (
	syncReceive = 8 << 20
	syncSend    = 2 << 20
)

// makeRoom gives a socket room for many frames, beyond what the system's limits allow if this process may.
func makeRoom(fd int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, syncReceive) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, syncReceive) // as much as the limit is
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, syncSend) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, syncSend)
	}
}

func hton(v uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)) }

// FD is the non-blocking socket, for a poll loop that belongs to the caller. It stays the Conn's: do not close it.
func (c *Conn) FD() int { return c.fd }

// Source is the MAC address that frames leave with: the interface's, as it was when the socket was opened or SetSource was called.
func (c *Conn) Source() [6]byte {
	c.sending.Lock()
	defer c.sending.Unlock()
	return [6]byte(c.head[6:12])
}

// SetSource makes frames leave with mac, after the interface's address has changed.
func (c *Conn) SetSource(mac [6]byte) {
	c.sending.Lock()
	defer c.sending.Unlock()
	copy(c.head[6:12], mac[:])
	if c.vlan == 0 {
		binary.BigEndian.PutUint16(c.head[12:], c.ether)
		c.setHead(ethLen)
		return
	}
	binary.BigEndian.PutUint16(c.head[12:], 0x8100)
	binary.BigEndian.PutUint16(c.head[14:], c.vlan)
	binary.BigEndian.PutUint16(c.head[16:], c.ether)
	c.setHead(ethLen + vlanLen)
}

func (c *Conn) setHead(length int) {
	c.out[0].Base = &c.head[0]
	c.out[0].SetLen(length)
}

// Send sends frame, which begins with the CCP header, to the MAC address dst. It never blocks: where the device's queue is full the
// error is EAGAIN or ENOBUFS and the frame is lost, as it may be on any wire. It allocates nothing.
func (c *Conn) Send(frame []byte, dst [6]byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.closed.Load() {
		return os.ErrClosed
	}
	copy(c.head[:6], dst[:])
	put(&c.out[1], frame)
	_, errno := vectored(unix.SYS_WRITEV, c.tx, &c.out)
	c.out[1].Base = nil
	if errno != 0 {
		return errno
	}
	return nil
}

// vectored reads or writes one frame of a socket that does not block, past the scheduler: what is told of every system call else wakes the
// runtime's monitor thread, which looks after calls that may last, some hundreds of times a second where one frame comes at a time.
func vectored(trap uintptr, fd int, parts *[2]unix.Iovec) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(parts)), uintptr(len(parts)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// put makes b a part of the next frame. The pointer is to be forgotten when it has gone: the memory is the caller's.
func put(part *unix.Iovec, b []byte) {
	part.Base = unsafe.SliceData(b)
	part.SetLen(len(b))
}

// TryRecv puts the next frame into buf, from its CCP header on, without waiting: ErrWouldBlock when there is none. It returns the
// frame's length (cut to buf's), the sender's MAC address and the VLAN that the filter let it in by. It allocates nothing. It may
// not be mixed with Recv on one Conn.
func (c *Conn) TryRecv(buf []byte) (n int, src [6]byte, vlan uint16, err error) {
	c.receiving.Lock()
	defer c.receiving.Unlock()
	if c.closed.Load() {
		return 0, src, 0, os.ErrClosed
	}
	put(&c.in[1], buf)
	c.tryRead(uintptr(c.fd))
	return c.received()
}

// Recv is TryRecv that waits for a frame until the read deadline (os.ErrDeadlineExceeded) or Close (os.ErrClosed).
func (c *Conn) Recv(buf []byte) (n int, src [6]byte, vlan uint16, err error) {
	raw, err := c.pollable()
	if err != nil {
		return 0, src, 0, err
	}
	c.receiving.Lock()
	defer c.receiving.Unlock()
	put(&c.in[1], buf)
	if err := raw.Read(c.read); err != nil {
		c.in[1].Base = nil
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			err = os.ErrClosed // the poller's own word for it is none that errors.Is knows
		}
		return 0, src, 0, err
	}
	return c.received()
}

// tryRead reads once into c.in and reports whether there was anything to say, as syscall.RawConn.Read wants it.
func (c *Conn) tryRead(fd uintptr) bool {
	for {
		n, errno := vectored(unix.SYS_READV, int(fd), &c.in)
		if errno == unix.EINTR {
			continue
		}
		if c.n, c.err = n, nil; errno != 0 {
			c.err = errno
		}
		return errno != unix.EAGAIN
	}
}

func (c *Conn) received() (n int, src [6]byte, vlan uint16, err error) {
	c.in[1].Base = nil
	if c.err != nil {
		return 0, src, 0, c.err
	}
	return max(0, c.n-ethLen), [6]byte(c.inHead[6:12]), c.vlan, nil
}

// Bound reports whether the socket is still its interface's. A device that was gone has taken it away, also where it is back by now with the
// same index, and says so to nobody who waits.
func (c *Conn) Bound() bool {
	c.blocking.Lock()
	defer c.blocking.Unlock()
	if c.closed.Load() {
		return false
	}
	name, err := unix.Getsockname(c.fd)
	at, is := name.(*unix.SockaddrLinklayer)
	return err == nil && is && at.Ifindex == c.ifindex
}

// SetReadDeadline sets until when Recv waits; the zero time is for ever. A Recv that is waiting already is told too.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if _, err := c.pollable(); err != nil {
		return err
	}
	return c.file.SetReadDeadline(t)
}

// pollable registers the socket with the runtime's poller if that has not been done.
func (c *Conn) pollable() (syscall.RawConn, error) {
	c.blocking.Lock()
	defer c.blocking.Unlock()
	switch {
	case c.closed.Load():
		return nil, os.ErrClosed
	case c.raw != nil:
		return c.raw, nil
	}
	file := os.NewFile(uintptr(c.fd), "ccp")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("segment: poll socket: %w", err)
	}
	c.file, c.raw = file, raw
	c.sendApart()
	return raw, nil
}

// sendApart gives frames another socket to leave by. A socket that has just sent is writable, again and again, and the runtime's poller
// would wake a thread to hear it: once for every frame. This one receives nothing and nobody polls it.
func (c *Conn) sendApart() {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return // it works without, and costs a little more
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: c.ifindex}); err != nil {
		_ = unix.Close(fd)
		return
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	c.tx = fd
}

// Close closes the socket; a Recv that is waiting returns os.ErrClosed. Closing twice gives os.ErrClosed.
func (c *Conn) Close() error {
	c.blocking.Lock()
	defer c.blocking.Unlock()
	// The number of a closed descriptor may be another file's a moment later, so nobody may be about to use it.
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.closed.Swap(true) {
		return os.ErrClosed
	}
	if c.tx != c.fd {
		_ = unix.Close(c.tx) // a socket without anything in it
	}
	if c.file != nil {
		return c.file.Close()
	}
	c.receiving.Lock()
	defer c.receiving.Unlock()
	return unix.Close(c.fd)
}
