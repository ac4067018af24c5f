// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Messages and attributes of the connection table (linux/netfilter/nfnetlink_conntrack.h).
const (
	msgGetConnection    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1
	msgDeleteConnection = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2

	ctOriginal, ctReply, ctStatus, ctID, ctMaster, ctZone  = 1, 2, 3, 12, 14, 18
	tupleIP, tupleProto                                    = 1, 2
	protoNumber, protoFrom, protoTo, protoEcho, protoEcho6 = 1, 2, 3, 4, 7

	statusExpected = 1 << 0 // IPS_EXPECTED
)

// tuple is one direction of a connection; proto 0: none, or of a kind that is not known here.
type tuple struct {
	from, to         netip.Addr
	proto            uint8
	fromPort, toPort uint16 // of an echo: its number, and type and code
}

func (t tuple) String() string {
	return fmt.Sprintf("%v:%d to %v:%d, protocol %d", t.from, t.fromPort, t.to, t.toPort, t.proto)
}

// connection is an entry of the connection table.
type connection struct {
	original, reply, master tuple
	status                  uint32
	zoned                   bool
	family                  uint8
	attrs                   []byte // that find it: the original tuple and the number
}

// translated reports whether it was led to another address or port than it was for.
func (e *connection) translated() bool {
	return e.reply.proto != 0 && (e.reply.from != e.original.to || e.original.proto != unix.IPPROTO_ICMP && e.original.proto != unix.IPPROTO_ICMPV6 && e.reply.fromPort != e.original.toPort)
}

// connections reads the table. One that changes while it is read has what was there all the time, which is enough.
func (k *Kernel) connections() ([]connection, error) {
	var all []connection
	err := walk(k.options.Namespace, netlink.Message{
		Header: netlink.Header{Type: msgGetConnection, Flags: netlink.Request},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	}, func(attrs []byte) error {
		var e connection
		err := attributes(attrs, func(typ uint16, v []byte) {
			switch typ {
			case ctOriginal:
				e.original = parseTuple(v)
				e.attrs = attribute(e.attrs, ctOriginal|unix.NLA_F_NESTED, v)
			case ctReply:
				e.reply = parseTuple(v)
			case ctID:
				e.attrs = attribute(e.attrs, ctID, v)
			case ctMaster:
				e.master = parseTuple(v)
			case ctZone:
				e.zoned = true
			case ctStatus:
				if len(v) == 4 {
					e.status = binary.BigEndian.Uint32(v)
				}
			}
		})
		e.family = unix.AF_INET
		if e.original.from.Is6() {
			e.family = unix.AF_INET6
		}
		all = append(all, e)
		return err
	})
	if err != nil && !errors.Is(err, unix.EINTR) {
		return nil, fmt.Errorf("read the connection table: %w", err)
	}
	return all, nil
}

func parseTuple(b []byte) (t tuple) {
	_ = attributes(b, func(typ uint16, v []byte) {
		_ = attributes(v, func(inner uint16, v []byte) {
			switch {
			case typ == tupleIP:
				a, ok := netip.AddrFromSlice(v)
				if ok && (inner == 1 || inner == 3) {
					t.from = a
				} else if ok {
					t.to = a
				}
			case typ == tupleProto && inner == protoNumber && len(v) == 1:
				t.proto = v[0]
			case typ == tupleProto && len(v) == 2 && (inner == protoFrom || inner == protoEcho || inner == protoEcho6):
				t.fromPort = binary.BigEndian.Uint16(v)
			case typ == tupleProto && len(v) == 2 && inner == protoTo:
				t.toPort = binary.BigEndian.Uint16(v)
			case typ == tupleProto && len(v) == 1 && (inner == 5 || inner == 8): // of an echo, whose code is 0
				t.toPort = uint16(v[0]) << 8
			}
		})
	})
	if !t.from.IsValid() || !t.to.IsValid() {
		t.proto = 0
	}
	return t
}

func (c conn) deleteConnection(e *connection) error {
	if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	_, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: msgDeleteConnection, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append([]byte{e.family, unix.NFNETLINK_V0, 0, 0}, e.attrs...),
	})
	return err
}
