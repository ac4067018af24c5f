// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ICMP echo (RFC 792, RFC 4443).
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
	echoLen                  = 8 + 16 // header, then number and identity
	firstEchoID              = 0x4f00
)

// echoNumbers tells conversations of one process apart from those of another on the same host.
var echoNumbers = struct {
	sync.Mutex
	next uint16
}{next: firstEchoID}

func echoID() uint16 {
	echoNumbers.Lock()
	defer echoNumbers.Unlock()
	echoNumbers.next++
	return echoNumbers.next
}

// ping sends echo requests of one identity and reads the replies.
func (t *talk) ping(ctx context.Context) error {
	network, request, reply := "ip4:icmp", byte(echoRequest4), byte(echoReply4)
	if t.Family == 6 {
		network, request, reply = "ip6:ipv6-icmp", echoRequest6, echoReply6
	}
	var conn *net.IPConn
	err := t.Client.NS.Do(func() (err error) {
		conn, err = net.ListenIP(network, &net.IPAddr{IP: t.from().AsSlice()})
		return err
	})
	if err == nil {
		err = t.keep(conn)
	}
	if err != nil {
		return fmt.Errorf("ICMP socket: %w", err)
	}
	id := echoID()
	t.between(netip.AddrPortFrom(t.from(), id))
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() { t.replies(conn, reply, id) })
	to := &net.IPAddr{IP: t.To.Addr().AsSlice()}
	for n := uint64(0); ctx.Err() == nil; n++ {
		t.asked(time.Now())
		_, _ = conn.WriteToIP(echoPacket(request, id, n), to) // what does not come back is counted
		pause(ctx, t.Every)
	}
	return nil
}

func echoPacket(kind byte, id uint16, n uint64) []byte {
	b := make([]byte, echoLen)
	b[0] = kind
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], uint16(n))
	binary.BigEndian.PutUint64(b[8:], n)
	fill(b[16:], n)
	if kind == echoRequest4 { // the kernel adds up ICMPv6, which covers addresses
		var sum uint32
		for i := 0; i < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
	}
	return b
}

// replies reads until the socket is closed.
func (t *talk) replies(conn *net.IPConn, kind byte, id uint16) {
	b := make([]byte, 2048)
	want := make([]byte, 8)
	for {
		n, _, err := conn.ReadFromIP(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n != echoLen || b[0] != kind || binary.BigEndian.Uint16(b[4:]) != id {
			continue
		}
		number := binary.BigEndian.Uint64(b[8:])
		fill(want, number)
		if !bytes.Equal(b[16:n], want) {
			t.die(fmt.Sprintf("the reply to echo %d differs from what was sent", number))
			return
		}
		t.came(time.Now(), number)
	}
}
