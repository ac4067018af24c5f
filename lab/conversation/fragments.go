// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/checksum"
)

// largeLen is the payload of a datagram of three fragments.
const largeLen = 3000

// Of IP and UDP (RFC 791, RFC 8200, RFC 768).
const (
	ipv4Len, ipv6Len, udpLen, fragmentLen = 20, 40, 8, 8
	protoUDP, protoFragment               = 17, 44
	hops                                  = 64
	moreFragments                         = 0x2000
	// pieceLen is what of a datagram is in one fragment, a multiple of 8: all but the last one.
	pieceLen = 1440
)

// orders are those in which fragments are sent, in turn.
var orders = [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}}

// padding fills what of a large datagram is behind its header, by its number.
func padding(b []byte) { fill(b[dataLen:largeLen], binary.BigEndian.Uint64(b[offNumber:])) }

// whole tells whether a large datagram is as it was sent.
func whole(b []byte) bool {
	is := make([]byte, largeLen)
	copy(is, b[:dataLen])
	padding(is)
	return bytes.Equal(b, is)
}

// raw sends packets with whole IP headers.
type raw int

// Close implements io.Closer.
func (r raw) Close() error { return unix.Close(int(r)) }

// openRaw opens a raw socket connected to an address.
func openRaw(do func(func() error) error, to netip.Addr) (r raw, err error) {
	err = do(func() error {
		family, peer := unix.AF_INET, unix.Sockaddr(nil)
		if to.Is6() {
			family, peer = unix.AF_INET6, &unix.SockaddrInet6{Addr: to.As16()}
		} else {
			peer = &unix.SockaddrInet4{Addr: to.As4()}
		}
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return fmt.Errorf("open a raw socket: %w", err)
		}
		r = raw(fd)
		return unix.Connect(fd, peer)
	})
	return r, err
}

// fragments sends datagrams piece by piece in every order, and counts their answers.
func (t *talk) fragments(ctx context.Context) error {
	var conn *net.UDPConn
	err := t.Client.NS.Do(func() (err error) {
		conn, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(t.from(), 0)), net.UDPAddrFromAddrPort(t.To))
		return err
	})
	if err != nil {
		return err
	}
	t.ends(conn.LocalAddr())
	if err := t.keep(conn); err != nil {
		return err
	}
	out, err := openRaw(t.Client.NS.Do, t.To.Addr())
	if err != nil {
		return err
	}
	defer out.Close() // nothing is lost with it
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() { t.listen(conn) })
	from := conn.LocalAddr().(*net.UDPAddr).AddrPort() //nolint:forcetypeassert // of a UDP socket
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	b := make([]byte, largeLen)
	binary.BigEndian.PutUint32(b[offID:], t.id)
	for n := uint64(0); ctx.Err() == nil; n++ {
		binary.BigEndian.PutUint64(b[offNumber:], n)
		padding(b)
		pieces := fragment(from, t.To, b, t.nextDatagram(n))
		t.asked(time.Now())
		for _, i := range orders[n%uint64(len(orders))] {
			_, _ = unix.Write(int(out), pieces[i]) // what does not come is counted
		}
		t.beat(ctx)
	}
	return nil
}

// nextDatagram makes the identification of a datagram's fragments. Those of the conversations of a group, which may have the same two
// addresses, differ for as long as a host waits for missing ones; 0 is left out, since the kernel would replace it.
func (t *talk) nextDatagram(n uint64) uint32 {
	const each = 2048 // of one conversation, then anew
	return 1 + uint32(uint64(t.id)*each+n%each)%0xffff
}

// fragment makes the packets of a datagram; id tells its fragments from others'.
func fragment(from, to netip.AddrPort, payload []byte, id uint32) (out [][]byte) {
	u := make([]byte, udpLen, udpLen+len(payload))
	binary.BigEndian.PutUint16(u[0:], from.Port())
	binary.BigEndian.PutUint16(u[2:], to.Port())
	binary.BigEndian.PutUint16(u[4:], uint16(udpLen+len(payload)))
	u = append(u, payload...)
	sum := checksum.Fold(checksum.Sum(from.Addr().AsSlice()) + checksum.Sum(to.Addr().AsSlice()) + protoUDP + uint32(len(u)) + checksum.Sum(u))
	if sum = ^sum; sum == 0 {
		sum = 0xffff // 0 would say that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(u[6:], sum)
	for at := 0; at < len(u); at += pieceLen {
		piece := u[at:min(at+pieceLen, len(u))]
		more := at+pieceLen < len(u)
		out = append(out, header(from.Addr(), to.Addr(), piece, at, more, id))
	}
	return out
}

func header(from, to netip.Addr, piece []byte, at int, more bool, id uint32) []byte {
	if from.Is6() {
		b := make([]byte, ipv6Len+fragmentLen, ipv6Len+fragmentLen+len(piece))
		b[0] = 6 << 4
		binary.BigEndian.PutUint16(b[4:], uint16(fragmentLen+len(piece)))
		b[6], b[7] = protoFragment, hops
		copy(b[8:], from.AsSlice())
		copy(b[24:], to.AsSlice())
		b[40] = protoUDP
		offset := uint16(at) // in units of 8 bytes, shifted by 3
		if more {
			offset |= 1
		}
		binary.BigEndian.PutUint16(b[42:], offset)
		binary.BigEndian.PutUint32(b[44:], id)
		return append(b, piece...)
	}
	b := make([]byte, ipv4Len, ipv4Len+len(piece))
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(ipv4Len+len(piece)))
	binary.BigEndian.PutUint16(b[4:], uint16(id))
	offset := uint16(at / 8)
	if more {
		offset |= moreFragments
	}
	binary.BigEndian.PutUint16(b[6:], offset)
	b[8], b[9] = hops, protoUDP
	copy(b[12:], from.AsSlice())
	copy(b[16:], to.AsSlice())
	return append(b, piece...) // the kernel adds the header up
}
