// SPDX-License-Identifier: Apache-2.0

package tap

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Injector sends raw frames out of an interface. It is safe for concurrent use.
type Injector struct {
	name string
	fd   int
	to   unix.SockaddrLinklayer
}

// Inject opens an injector at the interface called name in the namespace in. It receives nothing.
func Inject(in Namespace, name string) (*Injector, error) {
	i := &Injector{name: name, fd: -1}
	err := in.Do(func() error {
		ifi, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		i.to.Ifindex = ifi.Index
		i.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("injector at %s: %w", name, err)
	}
	return i, nil
}

// Send sends a frame, from its Ethernet header on.
func (i *Injector) Send(frame []byte) error {
	if err := unix.Sendto(i.fd, frame, 0, &i.to); err != nil {
		return fmt.Errorf("inject %d bytes at %s: %w", len(frame), i.name, err)
	}
	return nil
}

// Close closes the injector. A second Close does nothing: the descriptor may be another's by then.
func (i *Injector) Close() error {
	if i.fd < 0 {
		return nil
	}
	fd := i.fd
	i.fd = -1
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close injector at %s: %w", i.name, err)
	}
	return nil
}
