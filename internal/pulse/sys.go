// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below go past Go's scheduler: a call through the runtime gives up the scheduler slot, and a thread at normal
// priority may have to run before it comes back. They keep the slot blocked while they wait, which is fine in a process
// that has nothing else to run. None of them allocates: what the kernel writes to lies in a kernelBuffers.
// Where the error is ignored, only a wrong address or number could cause one.

// kernelBuffers is the memory that the loop's system calls write to. It lies on the heap once, for good.
type kernelBuffers struct {
	ts      unix.Timespec
	timeout unix.Timespec
	poll    unix.PollFd
	watched unix.EpollEvent
	events  [3 + MaxInterfaces]unix.EpollEvent
	address unix.RawSockaddrLinklayer
	addrLen uint32
	frame   [2048]byte
	usage   unix.Rusage
	ifreq   struct { // as SIOCGIFNAME uses it
		name  [unix.IFNAMSIZ]byte
		index int32
		_     [20]byte
	}
}

// boottime returns CLOCK_BOOTTIME in nanoseconds.
func (k *kernelBuffers) boottime() int64 {
	_, _, _ = syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&k.ts)), 0)
	return k.ts.Nano()
}

// waitFor waits until there is something to read from one descriptor or wait nanoseconds have passed.
func (k *kernelBuffers) waitFor(fd int32, wait int64) {
	k.timeout, k.poll = unix.NsecToTimespec(wait), unix.PollFd{Fd: fd, Events: unix.POLLIN}
	_, _, _ = syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&k.poll)), 1, uintptr(unsafe.Pointer(&k.timeout)), 0, 0, 0)
}

// watch adds a descriptor to those that wait waits for, until it is closed.
func (k *kernelBuffers) watch(set, fd int32) syscall.Errno {
	k.watched = unix.EpollEvent{Events: unix.EPOLLIN, Fd: fd}
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(set), unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&k.watched)), 0, 0)
	return errno
}

// wait waits until there is something to read from watched descriptors or wait nanoseconds have passed (at once if none are left), and
// returns how many of the events are those descriptors.
func (k *kernelBuffers) wait(set int32, wait int64) int {
	k.timeout = unix.NsecToTimespec(max(wait, 0))
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(set), uintptr(unsafe.Pointer(&k.events)), uintptr(len(k.events)),
		uintptr(unsafe.Pointer(&k.timeout)), 0, 0)
	if errno != 0 {
		return 0 // interrupted
	}
	return int(n)
}

// recvPacket reads one packet into the frame buffer without waiting, its sender into the address buffer.
func (k *kernelBuffers) recvPacket(fd int) (n int, errno syscall.Errno) {
	k.addrLen = unix.SizeofSockaddrLinklayer
	r, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&k.frame)), uintptr(len(k.frame)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&k.address)), uintptr(unsafe.Pointer(&k.addrLen)))
	return int(r), errno
}

// recv reads one message into b without waiting.
func recv(fd int, b []byte) (n int, errno syscall.Errno) {
	r, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	return int(r), errno
}

// send writes one message or frame without waiting.
func send(fd int, b []byte) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return errno
}

// faults returns the page faults of the calling thread so far.
func (k *kernelBuffers) faults() uint64 {
	_, _, _ = syscall.RawSyscall(unix.SYS_GETRUSAGE, unix.RUSAGE_THREAD, uintptr(unsafe.Pointer(&k.usage)), 0)
	return uint64(k.usage.Minflt + k.usage.Majflt)
}

// exists reports whether there is an interface of this index; fd is any socket of the namespace.
func (k *kernelBuffers) exists(fd, index int) bool {
	k.ifreq.index = int32(index)
	_, _, errno := syscall.RawSyscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGIFNAME, uintptr(unsafe.Pointer(&k.ifreq)))
	return errno == 0
}
