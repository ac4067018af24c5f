// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

const (
	testEther   = 0x88B5
	testCluster = 0x1234
)

// end is one end of a cable.
type end struct {
	*linktest.Namespace
	index int
	mac   [6]byte
}

// cable makes two namespaces joined by a veth pair that is up.
func cable(t testing.TB) (a, b end) {
	t.Helper()
	a.Namespace, b.Namespace = linktest.New(t), linktest.New(t)
	a.index, b.index = linktest.Veth(a.Namespace, "a", b.Namespace, "b")
	a.mac, b.mac = a.MAC("a"), b.MAC("b")
	a.await(t)
	b.await(t)
	return a, b
}

// await returns when the interface can send: the kernel gives it a queue only some time after its carrier.
func (e *end) await(t testing.TB) {
	t.Helper()
	updates, done := make(chan netlink.LinkUpdate), make(chan struct{})
	defer func() {
		close(done)
		for range updates { // until the subscription has ended
		}
	}()
	e.Do(func() error {
		return netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{ListExisting: true})
	})
	timeout := time.After(30 * time.Second)
	for {
		select {
		case u := <-updates:
			if u.Attrs().Index == e.index && u.Attrs().OperState == netlink.OperUp {
				return
			}
		case <-timeout:
			t.Fatalf("interface %d does not come up", e.index)
		}
	}
}

func (e *end) dial(t testing.TB, f Filter) *Conn {
	t.Helper()
	var c *Conn
	e.Do(func() (err error) {
		c, err = Dial(e.index, testEther, f)
		return err
	})
	t.Cleanup(func() { c.Close() })
	return c
}

// frame is a CCP frame as far as the filter looks at it.
func frame(version, typ byte, cluster uint16) []byte {
	b := make([]byte, 104)
	b[0], b[1] = version, typ
	binary.BigEndian.PutUint16(b[4:], cluster)
	for i := 56; i < len(b); i++ {
		b[i] = typ ^ byte(i)
	}
	return b
}

// expect receives one frame, which must be want from the sender.
func expect(t *testing.T, c *Conn, want []byte, from end) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	n, src, vlan, err := c.Recv(buf)
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	if !bytes.Equal(buf[:n], want) || src != from.mac || vlan != c.vlan {
		t.Fatalf("received % x from % x VLAN %d, want % x from % x", buf[:n], src, vlan, want, from.mac)
	}
}

func send(t *testing.T, c *Conn, f []byte, dst [6]byte) {
	t.Helper()
	if err := c.Send(f, dst); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// TestConn runs all tests on one cable: the kernel takes a second to put one into service.
func TestConn(t *testing.T) {
	a, b := cable(t)
	for _, tc := range []struct {
		name string
		run  func(t *testing.T, a, b end)
	}{
		{"unicast multicast broadcast", testUnicastMulticastBroadcast},
		{"filter", testFilter},
		{"VLAN", testVLAN},
		{"own frames are not received", testOwnFramesAreNotReceived},
		{"deadline and close unblock", testDeadlineAndCloseUnblock},
		{"pulse path", testPulsePath},
		{"batches", testBatches},
		{"batches allocate nothing", testBatchesAllocateNothing},
		{"batch of another size", testBatchSizes},
		{"lost frames are counted", testLost},
		{"dial refuses", testDialRefuses},
		{"interface down and up", testDownAndUp},
		{"device away and back", testAwayAndBack},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, a, b) })
	}
}

// testAwayAndBack: a device that comes back with its index has none of its sockets, and they can tell.
func testAwayAndBack(t *testing.T, a, b end) {
	c, in := a.dial(t, Filter{Class: Sealed, Cluster: testCluster}), b.dial(t, Filter{Class: Sealed, Cluster: testCluster})
	a.SetUp("a", false)
	a.SetUp("a", true)
	if !c.Bound() {
		t.Error("a socket is lost when its device goes down")
	}
	elsewhere := linktest.New(t)
	move := func(from, to *linktest.Namespace) {
		var there netns.NsHandle
		to.Do(func() (err error) { there, err = netns.Get(); return err })
		defer there.Close()
		from.Do(func() error {
			l, err := netlink.LinkByName("a")
			if err != nil {
				return err
			}
			return netlink.LinkSetNsFd(l, int(there))
		})
	}
	move(a.Namespace, elsewhere)
	if c.Bound() {
		t.Error("a socket is bound to a device that has gone")
	}
	move(elsewhere, a.Namespace)
	if index := a.Index("a"); index != a.index {
		t.Fatalf("the device came back as %d, was %d", index, a.index)
	}
	a.SetUp("a", true)
	a.await(t)
	if c.Bound() || c.Send(frame(1, 16, testCluster), b.mac) == nil {
		t.Error("a socket has come back with its device")
	}
	again := a.dial(t, Filter{Class: Sealed, Cluster: testCluster})
	f := frame(1, 16, testCluster)
	send(t, again, f, b.mac)
	expect(t, in, f, a)
	if err := again.Close(); err != nil || again.Bound() {
		t.Errorf("a closed socket is bound; %v", err)
	}
}

func testUnicastMulticastBroadcast(t *testing.T, a, b end) {
	out, in := a.dial(t, Filter{Class: Sealed, Cluster: testCluster}), b.dial(t, Filter{Class: Sealed, Cluster: testCluster})
	if out.Source() != a.mac {
		t.Fatalf("source % x, the interface has % x", out.Source(), a.mac)
	}
	for i, dst := range [][6]byte{b.mac, Group(testCluster), Broadcast} {
		f := frame(1, []byte{16, 17, 19}[i], testCluster)
		send(t, out, f, dst)
		expect(t, in, f, a)
	}
}

// testFilter sends every frame that a class must not see before one that it must: what arrives first decides.
func testFilter(t *testing.T, a, b end) {
	elsewhere := [6]byte{0x02, 0xff, 0, 0, 0, 1}
	out := a.dial(t, Filter{Class: Any})
	type sent struct {
		f   []byte
		dst [6]byte
	}
	foreign := []sent{
		{frame(2, 16, testCluster), b.mac},       // another version
		{frame(1, 16, testCluster+1), b.mac},     // another cluster
		{frame(1, 2, testCluster+1), b.mac},      // another cluster's reply
		{frame(1, 1, testCluster), b.mac},        // a probe that no gate answered
		{frame(1, 3, testCluster), b.mac},        // a yield
		{frame(1, 0, testCluster), b.mac},        // no type at all
		{frame(1, 16, testCluster)[:103], b.mac}, // too short a body
		{frame(1, 16, testCluster)[:1], b.mac},   // next to nothing
		{frame(1, 16, testCluster), elsewhere},   // another host's
	}
	for _, tc := range []struct {
		name   string
		class  Class
		accept byte
		other  byte
	}{
		{"sealed", Sealed, 200, 4},
		{"sealed, not state synchronisation", Sealed, 17, 18},
		{"state synchronisation", Sync, 18, 17},
		{"state synchronisation, not what comes after it", Sync, 18, 19},
		{"gate replies", GateReplies, 4, 16},
		{"gate replies to probes", GateReplies, 2, 17},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := b.dial(t, Filter{Class: tc.class, Cluster: testCluster})
			for _, s := range foreign {
				send(t, out, s.f, s.dst)
			}
			send(t, out, frame(1, tc.other, testCluster), b.mac)
			want := frame(1, tc.accept, testCluster)
			send(t, out, want, b.mac)
			expect(t, in, want, a)
			if _, _, _, err := in.TryRecv(make([]byte, 64)); !errors.Is(err, ErrWouldBlock) {
				t.Fatalf("something else arrived: %v", err)
			}
		})
	}
}

// testVLAN: a tag without a device of its own keeps to the socket that was opened for it.
func testVLAN(t *testing.T, a, b end) {
	tagged, plain := Filter{Class: Sealed, Cluster: testCluster, VLAN: 7}, Filter{Class: Sealed, Cluster: testCluster}
	outTagged, outPlain := a.dial(t, tagged), a.dial(t, plain)
	inTagged, inPlain := b.dial(t, tagged), b.dial(t, plain)
	f7, f0 := frame(1, 16, testCluster), frame(1, 17, testCluster)
	send(t, outTagged, f7, b.mac)
	send(t, outPlain, f0, b.mac)
	expect(t, inTagged, f7, a)
	expect(t, inPlain, f0, a)
	for _, c := range []*Conn{inTagged, inPlain} {
		if _, _, _, err := c.TryRecv(make([]byte, 64)); !errors.Is(err, ErrWouldBlock) {
			t.Fatalf("VLAN %d: a second frame: %v", c.vlan, err)
		}
	}
}

func testOwnFramesAreNotReceived(t *testing.T, a, b end) {
	one, other := a.dial(t, Filter{Class: Any}), a.dial(t, Filter{Class: Any})
	far := b.dial(t, Filter{Class: Any})
	f := frame(1, 16, testCluster)
	send(t, one, f, Broadcast)
	expect(t, far, f, a) // by now it has passed every tap of its own host
	if _, _, _, err := other.TryRecv(make([]byte, 64)); !errors.Is(err, ErrWouldBlock) {
		t.Fatalf("the host's own frame came back: %v", err)
	}
}

func testDeadlineAndCloseUnblock(t *testing.T, a, _ end) {
	c := a.dial(t, Filter{Class: Sealed, Cluster: testCluster})
	if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := c.Recv(make([]byte, 64)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("at the deadline: %v", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, _, _, err := c.Recv(make([]byte, 64))
		got <- err
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, os.ErrClosed) {
		t.Fatalf("waiting receive at close: %v", err)
	}
	for what, err := range map[string]error{
		"close again": c.Close(), "send": c.Send(frame(1, 16, testCluster), Broadcast), "deadline": c.SetReadDeadline(time.Time{}),
	} {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s after close: %v", what, err)
		}
	}
}

// testPulsePath is how the pulse uses a Conn: its own poll on FD, no runtime poller, no allocation.
func testPulsePath(t *testing.T, a, b end) {
	out, in := a.dial(t, Filter{Class: Any}), b.dial(t, Filter{Class: GateReplies, Cluster: testCluster})
	f, buf := frame(1, 2, testCluster), make([]byte, 256)
	fds := []unix.PollFd{{Fd: int32(in.FD()), Events: unix.POLLIN}}
	if n := testing.AllocsPerRun(50, func() {
		send(t, out, f, b.mac)
		if n, err := unix.Poll(fds, 5000); n != 1 || err != nil {
			t.Fatalf("poll: %d, %v", n, err)
		}
		if n, _, _, err := in.TryRecv(buf); err != nil || !bytes.Equal(buf[:n], f) {
			t.Fatalf("received % x, %v", buf[:n], err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations a frame", n)
	}
}

func testDialRefuses(t *testing.T, a, _ end) {
	for _, tc := range []struct {
		name  string
		index int
		f     Filter
		want  error
	}{
		{"no class", a.index, Filter{}, nil},
		{"VLAN out of range", a.index, Filter{Class: Sealed, VLAN: 4095}, nil},
		{"no such interface", 4000, Filter{Class: Sealed}, unix.ENODEV},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a.Do(func() error {
				c, err := Dial(tc.index, testEther, tc.f)
				if err == nil {
					c.Close()
					t.Error("dialled")
				} else if tc.want != nil && !errors.Is(err, tc.want) {
					t.Error(err)
				}
				return nil
			})
		})
	}
}

// testDownAndUp: a socket outlives its interface's time out of service, and its group is joined still.
func testDownAndUp(t *testing.T, a, b end) {
	f := Filter{Class: Sealed, Cluster: testCluster}
	out, in := a.dial(t, f), b.dial(t, f)
	b.SetUp("b", false)
	if err := in.Send(frame(1, 16, testCluster), a.mac); !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("send while down: %v", err)
	}
	if _, _, _, err := in.Recv(make([]byte, 64)); !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("receive while down: %v", err)
	}
	b.SetUp("b", true)
	a.await(t)
	b.await(t)
	want := frame(1, 17, testCluster)
	send(t, out, want, Group(testCluster))
	expect(t, in, want, a)
}
