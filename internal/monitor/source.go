// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dial connects from the configured source.
func (s Source) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1, FallbackDelay: -1, ControlContext: func(_ context.Context, network, address string, c syscall.RawConn) error {
		return s.bind(network, address, c)
	}}
	return d.DialContext(ctx, network, address)
}

// bind binds a socket to device and source before it connects.
func (s Source) bind(network, address string, c syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %s: %w", address, err)
	}
	if err := s.toDevice(c); err != nil {
		return err
	}
	from := s.own(to.Addr())
	if !from.IsValid() {
		return s.refuse(to.Addr())
	}
	var bound error
	if err := c.Control(func(fd uintptr) {
		if strings.HasSuffix(network, "4") {
			bound = unix.Bind(int(fd), &unix.SockaddrInet4{Addr: from.As4()})
		} else {
			bound = unix.Bind(int(fd), &unix.SockaddrInet6{Addr: from.As16()})
		}
	}); err != nil {
		return err
	}
	if bound != nil {
		return fmt.Errorf("source %v: %w", from, bound)
	}
	return nil
}

func (s Source) toDevice(c syscall.RawConn) error {
	if s.Device == "" {
		return nil
	}
	var bound error
	if err := c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), s.Device) }); err != nil {
		return err
	}
	if bound != nil {
		return fmt.Errorf("device %s: %w", s.Device, bound)
	}
	return nil
}

// own is the configured source for a target; the zero Addr if the kernel is to choose.
func (s Source) own(to netip.Addr) netip.Addr {
	if to.Unmap().Is4() {
		return s.IPv4
	}
	return s.IPv6
}

// refuse returns an error if the kernel would ask target from an address of the cluster. It sends nothing.
func (s Source) refuse(to netip.Addr) error {
	if len(s.Never) == 0 {
		return nil
	}
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error { return s.toDevice(c) }}
	c, err := d.Dial("udp", netip.AddrPortFrom(to.Unmap(), 9).String())
	if err != nil {
		return err
	}
	defer c.Close()
	from, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return err
	}
	if a := from.Addr().Unmap().WithZone(""); slices.Contains(s.Never, a) && a != to.Unmap() {
		return fmt.Errorf("the kernel would ask %v from %v, an address of the cluster: set interface or source", to, a)
	}
	return nil
}
