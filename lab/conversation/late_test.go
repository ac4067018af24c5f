// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

// TestLateIsNotLost holds segments back for longer than TCP waits: they are sent again, and none was lost.
func TestLateIsNotLost(t *testing.T) {
	const rate, burst = 500, 130 // bytes a second, bytes: a message is some 120 on the wire
	client, server := linktest.New(t), linktest.New(t)
	linktest.Veth(client, "c0", server, "s0")
	client.Addr("c0", "10.9.0.1/24")
	server.Addr("s0", "10.9.0.2/24")
	var l net.Listener
	server.Do(func() (err error) { l, err = net.Listen("tcp4", "10.9.0.2:0"); return err })
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			defer conn.Close()
			echo(conn)
		}
	}()
	var conn net.Conn
	client.Do(func() (err error) { conn, err = net.Dial("tcp4", l.Addr().String()); return err })
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	exchange := func() {
		t.Helper()
		b := make([]byte, messageLen+sumLen+lostLen)
		if _, err := conn.Write(b[:messageLen]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 { // it learns how fast answers are
		exchange()
	}
	client.Do(func() error {
		link, err := netlink.LinkByName("c0")
		if err != nil {
			return err
		}
		return netlink.QdiscReplace(&netlink.Tbf{
			QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)},
			Rate:       rate, Limit: 100_000, Buffer: netlink.Xmittime(rate, burst),
		})
	})
	again := func() (count uint32) {
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) {
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
				count = info.Total_retrans
			}
		})
		return count
	}
	for again() == 0 {
		exchange()
	}
	for lostOn(conn) != 0 { // the copy comes late as well
		exchange()
	}
	t.Logf("%d segments were sent again", again())
}

// TestTakenBack: what was taken for lost is taken back when its copy is told of, whichever window that falls into.
func TestTakenBack(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	p := &progress{}
	p.sentAgain(at(1), 2)
	p.sentAgain(at(3), 0)
	p.sentAgain(at(5), 1)
	for _, c := range []struct{ from, to, want int }{{0, 2, 2}, {0, 4, 0}, {2, 4, 0}, {4, 6, 1}} {
		if got := p.report(at(c.from), at(c.to)).Resent; got != c.want {
			t.Errorf("from %d to %d: %d, want %d", c.from, c.to, got, c.want)
		}
	}
}
