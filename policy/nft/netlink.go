// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Message types (linux/netfilter/nfnetlink.h, nf_tables.h), the subsystem in the upper byte.
const (
	subsystem     = unix.NFNL_SUBSYS_NFTABLES << 8
	msgNewTable   = subsystem | unix.NFT_MSG_NEWTABLE
	msgGetTable   = subsystem | unix.NFT_MSG_GETTABLE
	msgDelTable   = subsystem | unix.NFT_MSG_DELTABLE
	msgGetSet     = subsystem | unix.NFT_MSG_GETSET
	msgNewElement = subsystem | unix.NFT_MSG_NEWSETELEM
	msgGetElement = subsystem | unix.NFT_MSG_GETSETELEM
	msgDelElement = subsystem | unix.NFT_MSG_DELSETELEM
	msgNewGen     = subsystem | unix.NFT_MSG_NEWGEN
	msgGetGen     = subsystem | unix.NFT_MSG_GETGEN

	tableName, tableFlags, tableUserdata = 1, 2, 6
	genID, genPID, genName               = 1, 2, 3

	flagDormant = 1

	// answerTime bounds how long the kernel may take for a transaction: a commit waits for others, and for grace periods.
	answerTime = 30 * time.Second
)

// families by the kernel's numbers (linux/netfilter.h).
var families = map[string]uint8{"ip": 2, "ip6": 10, "inet": 1, "arp": 3, "bridge": 7, "netdev": 5}

func familyName(number uint8) string {
	for name, n := range families {
		if n == number {
			return name
		}
	}
	return fmt.Sprint(number)
}

// conn talks to nf_tables of one network namespace.
type conn struct {
	*netlink.Conn
	namespace int
	made      *uint32 // transactions
}

func dial(namespace int) (conn, error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: namespace})
	if err != nil {
		return conn{}, fmt.Errorf("nftables: netlink: %w", err)
	}
	// A batch may be large, and each of its messages may be answered at once.
	_ = c.SetReadBuffer(4 << 20)
	if err := errors.Join(c.SetWriteBuffer(16<<20), c.SetOption(netlink.CapAcknowledge, true)); err != nil {
		return conn{}, errors.Join(fmt.Errorf("nftables: netlink: %w", err), c.Close())
	}
	return conn{c, namespace, new(uint32)}, nil
}

func message(typ uint16, flags netlink.HeaderFlags, family uint8, attrs []byte) netlink.Message {
	data := append([]byte{family, unix.NFNETLINK_V0, 0, 0}, attrs...)
	return netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(typ), Flags: netlink.Request | flags}, Data: data}
}

func text(out []byte, typ uint16, s string) []byte { return attribute(out, typ, append([]byte(s), 0)) }

func attribute(out []byte, typ uint16, v []byte) []byte {
	out = binary.NativeEndian.AppendUint16(out, uint16(4+len(v))) //nolint:gosec // callers bound it
	out = binary.NativeEndian.AppendUint16(out, typ)
	out = append(out, v...)
	for len(out)%4 != 0 {
		out = append(out, 0)
	}
	return out
}

// attributes calls f with type and value of each attribute.
func attributes(b []byte, f func(typ uint16, v []byte)) error {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return fmt.Errorf("nftables: an attribute of %d bytes, %d are left", n, len(b))
		}
		f(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[4:n])
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// dump asks for all of a kind and calls f with each message's attributes.
func (c conn) dump(m netlink.Message, f func(family uint8, attrs []byte) error) error {
	if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	m.Header.Flags |= netlink.Dump
	all, err := c.Execute(m)
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.Header.Flags&netlink.DumpInterrupted != 0 {
			return unix.EINTR
		}
		if len(a.Data) >= 4 {
			if err := f(a.Data[0], a.Data[4:]); err != nil {
				return err
			}
		}
	}
	return nil
}

// batch sends messages as one transaction and waits for its end. The error is the first one that the kernel told.
func (c conn) batch(messages []netlink.Message) error {
	if len(messages) == 0 {
		return nil
	}
	frame := func(typ uint16) netlink.Message {
		m := message(typ, 0, unix.AF_UNSPEC, nil)
		binary.BigEndian.PutUint16(m.Data[2:], unix.NFNL_SUBSYS_NFTABLES)
		return m
	}
	all := make([]netlink.Message, 0, len(messages)+2)
	all = append(all, frame(unix.NFNL_MSG_BATCH_BEGIN))
	all = append(append(all, messages...), frame(unix.NFNL_MSG_BATCH_END))
	// Answers to the last message tell that all are there: the end of the batch is not acknowledged before Linux 6.10.
	all[len(all)-2].Header.Flags |= netlink.Acknowledge
	if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	sent, err := c.SendMessages(all)
	if err != nil {
		return fmt.Errorf("nftables: send a transaction: %w", err)
	}
	begin, last := sent[0].Header.Sequence, sent[len(sent)-2].Header.Sequence
	for {
		answers, err := c.Receive()
		if err != nil {
			var op *netlink.OpError
			if !errors.As(err, &op) || errors.Is(err, os.ErrDeadlineExceeded) {
				return fmt.Errorf("nftables: a transaction's answer: %w", err)
			}
			// The library does not say whose answer an error is. Errors are queued before the call that sent the batch returns, so that
			// whatever there will be is there.
			first := op.Err
			if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				return err
			}
			for {
				if _, err := c.Receive(); errors.Is(err, os.ErrDeadlineExceeded) {
					return first
				}
			}
		}
		for _, a := range answers {
			if a.Header.Sequence == last || a.Header.Sequence == begin {
				*c.made++
				return nil
			}
		}
	}
}

// transaction is the number of the newest transaction that the kernel has made here.
func (c conn) transaction() (uint32, error) {
	if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return 0, err
	}
	all, err := c.Execute(message(msgGetGen, 0, unix.AF_UNSPEC, nil))
	if err != nil {
		return 0, fmt.Errorf("nftables: number of the newest transaction: %w", err)
	}
	for _, m := range all {
		if m.Header.Type != netlink.HeaderType(msgNewGen) || len(m.Data) < 4 {
			continue
		}
		if g, err := generation(m.Data[4:]); err != nil || g.id != 0 {
			return g.id, err
		}
	}
	return 0, errors.New("nftables: the kernel does not tell the number of its newest transaction")
}

// transaction is what the kernel tells of one.
type transaction struct {
	id   uint32 // 0: not told
	pid  uint32
	name string // of the process
}

func generation(attrs []byte) (t transaction, err error) {
	err = attributes(attrs, func(typ uint16, v []byte) {
		switch {
		case typ == genID && len(v) == 4:
			t.id = binary.BigEndian.Uint32(v)
		case typ == genPID && len(v) == 4:
			t.pid = binary.BigEndian.Uint32(v)
		case typ == genName:
			t.name = strings.TrimRight(string(v), "\x00")
		}
	})
	return t, err
}

// table is one table of the kernel's.
type table struct {
	family  uint8
	name    string
	dormant bool
	comment string
}

func (c conn) tables() ([]table, error) {
	var all []table
	for range 5 {
		all = all[:0]
		err := c.dump(message(msgGetTable, 0, unix.AF_UNSPEC, nil), func(family uint8, attrs []byte) error {
			t := table{family: family}
			err := attributes(attrs, func(typ uint16, v []byte) {
				switch {
				case typ == tableName:
					t.name = strings.TrimRight(string(v), "\x00")
				case typ == tableFlags && len(v) == 4:
					t.dormant = binary.BigEndian.Uint32(v)&flagDormant != 0
				case typ == tableUserdata:
					t.comment = comment(v)
				}
			})
			all = append(all, t)
			return err
		})
		if !errors.Is(err, unix.EINTR) {
			if err != nil {
				return nil, fmt.Errorf("nftables: list tables: %w", err)
			}
			return all, nil
		}
	}
	return nil, errors.New("nftables: list tables: they changed each time while they were read")
}

// comment finds the comment in the data that nft(8) keeps with a table: type, length, value (libnftnl udata.h), type 0 the comment.
func comment(v []byte) string {
	for len(v) >= 2 {
		n := int(v[1])
		if 2+n > len(v) {
			return ""
		}
		if v[0] == 0 {
			return strings.TrimRight(string(v[2:2+n]), "\x00")
		}
		v = v[2+n:]
	}
	return ""
}

// sleep is the message that sets whether a table is dormant.
func sleep(t table, dormant bool) netlink.Message {
	var flags uint32
	if dormant {
		flags = flagDormant
	}
	attrs := text(nil, tableName, t.name)
	attrs = attribute(attrs, tableFlags, binary.BigEndian.AppendUint32(nil, flags))
	return message(msgNewTable, 0, t.family, attrs)
}

func remove(t table) netlink.Message {
	return message(msgDelTable, 0, t.family, text(nil, tableName, t.name))
}
