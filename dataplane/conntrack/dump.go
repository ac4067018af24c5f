// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// DumpOptions say what a dump is to list, and how. The zero value lists all connections. What the options name is judged by the kernel.
type DumpOptions struct {
	// Expectations lists expectations rather than connections; Family alone restricts them.
	Expectations bool
	// Family is AF_INET or AF_INET6; 0: both.
	Family uint8
	// Protocol is the IP protocol number of the original direction, and needs Family; 0: every protocol.
	Protocol uint8
	// Zone, if not nil, is the only zone. Linux before 6.8 does not know this filter; for those it is judged here.
	Zone *uint16
	// Mark and MarkMask list connections whose mark has these bits among those of MarkMask; a MarkMask of 0: every mark.
	Mark, MarkMask uint32
	// Status and StatusMask are the same for the status.
	Status, StatusMask uint32
	// Chunk, if not nil, is called after every part that the kernel delivered (some 100 entries), with the number of entries so far. The
	// dump goes on when it returns: waiting here paces it. An error ends it.
	Chunk func(entries int) error
}

// dumpBuffer is more than the kernel ever puts into one part of a dump (32 KiB).
const dumpBuffer = 64 << 10

// Dump calls each for every entry. The table goes on changing meanwhile: an entry that is there from beginning to end is listed at
// least once, seldom twice; one that comes or goes may be listed or not. If the table is resized meanwhile, entries may be missed.
// Payloads are good until each returns. An error of each or Chunk, or the context's end, ends the dump with that error. Dumps may run
// beside each other and beside everything else.
func (t *Table) Dump(ctx context.Context, o DumpOptions, each func(Message) error) error {
	if err := t.dump(ctx, o, each); err != nil {
		return fmt.Errorf("conntrack: dump: %w", err)
	}
	return nil
}

func (t *Table) dump(ctx context.Context, o DumpOptions, each func(Message) error) error {
	request, err := o.request()
	if err != nil {
		return err
	}
	fd := -1
	if err := t.space.do(func() (err error) { fd, _, err = dial(0, 0); return err }); err != nil {
		return err
	}
	// Whatever is left of a dump that is given up goes with its socket.
	defer func() { _ = unix.Close(fd) }()
	if _, err := unix.Write(fd, request); err != nil {
		return err
	}
	buf := make([]byte, dumpBuffer)
	entries := 0
	listed := func(_ uint32, m Message) error {
		switch m.Type {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			if len(m.Payload) >= 4 {
				if errno := unix.Errno(-int32(binary.NativeEndian.Uint32(m.Payload))); errno != 0 {
					return errno
				}
			}
			return io.EOF
		}
		if !o.inZone(m) {
			return nil
		}
		entries++
		return each(m)
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := receivePart(ctx, fd, buf)
		if err != nil {
			return err
		}
		if err := eachMessage(buf[:n], listed); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if o.Chunk != nil {
			if err := o.Chunk(entries); err != nil {
				return err
			}
		}
	}
}

// receivePart reads the next part of a dump. The kernel makes it when the one before is read, so it is there.
func receivePart(ctx context.Context, fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		switch err { //nolint:errorlint // bare errnos
		case unix.EINTR:
		case unix.EAGAIN:
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 1000); err != nil && err != unix.EINTR { //nolint:errorlint // the same
				return 0, err
			}
			if err := ctx.Err(); err != nil {
				return 0, err
			}
		default:
			return n, err
		}
	}
}

// Flags of CTA_FILTER_ORIG_FLAGS (net/netfilter/nf_internals.h).
const filterProtoNum = 1 << 3

// Attributes of CTA_FILTER (enum ctattr_filter).
const ctaFilterOrigFlags = 1

// request makes the message that begins the dump.
func (o DumpOptions) request() ([]byte, error) {
	typ := uint16(msgGet)
	if o.Expectations {
		typ = expGet
	}
	b := binary.NativeEndian.AppendUint32(nil, 0)
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, o.Family, unix.NFNETLINK_V0, 0, 0)
	if o.Protocol != 0 {
		if o.Family == 0 {
			return nil, errors.New("a filter by protocol needs the family")
		}
		// The number of the flags is in host order, other than all else.
		b = nest(b, ctaFilter, func(b []byte) []byte {
			return binary.NativeEndian.AppendUint32(appendHead(b, ctaFilterOrigFlags, 4), filterProtoNum)
		})
		b = nest(b, ctaTupleOrig, func(b []byte) []byte {
			return nest(b, ctaTupleProto, func(b []byte) []byte { return appendU8(b, ctaProtoNum, o.Protocol) })
		})
	}
	if o.MarkMask != 0 {
		b = appendU32(appendU32(b, ctaMark, o.Mark), ctaMarkMask, o.MarkMask)
	}
	if o.StatusMask != 0 {
		b = appendU32(appendU32(b, ctaStatus, o.Status), ctaStatusMask, o.StatusMask)
	}
	if o.Zone != nil {
		b = appendU16(b, ctaZone, *o.Zone)
	}
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	return b, nil
}

// inZone judges an entry's zone.
func (o DumpOptions) inZone(m Message) bool {
	if o.Zone == nil || o.Expectations || len(m.Payload) < nfgenLen {
		return true
	}
	zone := find(m.Payload[nfgenLen:], ctaZone)
	if len(zone) != 2 {
		return *o.Zone == 0
	}
	return binary.BigEndian.Uint16(zone) == *o.Zone
}
