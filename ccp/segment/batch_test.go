// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var syncFilter = Filter{Class: Sync, Cluster: testCluster}

// numbered are n SYNC frames for mac, each with its number and a length of its own.
func numbered(n int, mac [6]byte) []Frame {
	frames := make([]Frame, n)
	for i := range frames {
		b := append(frame(1, typeSync, testCluster), make([]byte, i)...)
		binary.BigEndian.PutUint32(b[60:], uint32(i))
		frames[i] = Frame{MAC: mac, Bytes: b}
	}
	return frames
}

// room are n empty frames.
func room(n int) []Frame {
	frames := make([]Frame, n)
	for i := range frames {
		frames[i].Bytes = make([]byte, 0, 1400)
	}
	return frames
}

// receiveAll receives until there are n frames, and returns them and the number of calls that it took.
func receiveAll(t *testing.T, c *Conn, n int) (all []Frame, calls int) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for len(all) < n {
		in := room(BatchLen)
		got, err := c.RecvBatch(in)
		if err != nil {
			t.Fatalf("after %d of %d frames: %v", len(all), n, err)
		}
		all, calls = append(all, in[:got]...), calls+1
	}
	return all, calls
}

func testBatches(t *testing.T, a, b end) {
	for _, vlan := range []uint16{0, 7} {
		f := syncFilter
		f.VLAN = vlan
		out, in := a.dial(t, f), b.dial(t, f)
		frames := numbered(200, b.mac)
		frames[0].MAC, frames[1].MAC = Group(testCluster), Broadcast
		if sent, err := out.SendBatch(frames); sent != 200 || err != nil {
			t.Fatalf("sent %d, %v", sent, err)
		}
		got, calls := receiveAll(t, in, 200)
		for i, g := range got {
			if g.MAC != a.mac || !bytes.Equal(g.Bytes, frames[i].Bytes) {
				t.Fatalf("frame %d: % x from % x, want % x", i, g.Bytes, g.MAC, frames[i].Bytes)
			}
		}
		if calls > 100 {
			t.Errorf("%d calls for 200 frames", calls)
		}
	}
}

func testBatchesAllocateNothing(t *testing.T, a, b end) {
	out, in := a.dial(t, syncFilter), b.dial(t, syncFilter)
	frames, buffers := numbered(80, b.mac), room(BatchLen)
	if n := testing.AllocsPerRun(20, func() {
		if sent, err := out.SendBatch(frames); sent != len(frames) || err != nil {
			t.Fatal(sent, err)
		}
		for left := len(frames); left > 0; {
			n, err := in.RecvBatch(buffers)
			if err != nil {
				t.Fatal(err)
			}
			left -= n
		}
	}); n != 0 {
		t.Fatalf("%v allocations for %d frames", n, len(frames))
	}
}

// testBatchSizes: a buffer that is too small, none at all, and the ends of a socket's life.
func testBatchSizes(t *testing.T, a, b end) {
	out, in := a.dial(t, syncFilter), b.dial(t, syncFilter)
	if sent, err := out.SendBatch(nil); sent != 0 || err != nil {
		t.Fatalf("sent %d of nothing, %v", sent, err)
	}
	frames := numbered(3, b.mac)
	if sent, err := out.SendBatch(frames); sent != 3 || err != nil {
		t.Fatalf("sent %d, %v", sent, err)
	}
	for i := range frames {
		small := []Frame{{Bytes: make([]byte, 0, 64+i)}}
		if n, err := in.RecvBatch(small); n != 1 || err != nil || !bytes.Equal(small[0].Bytes, frames[i].Bytes[:64+i]) {
			t.Fatalf("received %d, % x, %v", n, small[0].Bytes, err)
		}
	}
	if err := in.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.RecvBatch(room(1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("at the deadline: %v", err)
	}
	if err := in.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := in.RecvBatch(room(1))
		got <- err
	}()
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, os.ErrClosed) {
		t.Fatalf("waiting receive at close: %v", err)
	}
	if sent, err := in.SendBatch(frames); sent != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("sent %d after close, %v", sent, err)
	}
	if _, err := in.Lost(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("statistics after close: %v", err)
	}
	// A frame that no interface takes ends the batch, and says how far it came.
	frames[1].Bytes = make([]byte, 3000)
	if sent, err := out.SendBatch(frames); sent != 1 || !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("sent %d of a batch with a giant, %v", sent, err)
	}
}

// testLost: a socket that nobody reads takes many frames, more than another class would, and says what it could not take.
func testLost(t *testing.T, a, b end) {
	out, in := a.dial(t, syncFilter), b.dial(t, syncFilter)
	// Socket buffers count what the kernel allocates for a packet: small ones are enough to fill them.
	frames := numbered(BatchLen, b.mac)
	for range 10 {
		if sent, err := out.SendBatch(frames); sent != len(frames) || err != nil {
			t.Fatalf("sent %d, %v", sent, err)
		}
	}
	if lost, err := in.Lost(); lost != 0 || err != nil {
		t.Fatalf("%d of 640 frames lost, %v", lost, err)
	}
	if err := unix.SetsockoptInt(in.FD(), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096); err != nil {
		t.Fatal(err)
	}
	if sent, err := out.SendBatch(frames); sent != len(frames) || err != nil {
		t.Fatalf("sent %d, %v", sent, err)
	}
	lost, err := in.Lost()
	if lost != BatchLen || err != nil {
		t.Fatalf("%d of %d frames lost, %v", lost, BatchLen, err)
	}
	if lost, err = in.Lost(); lost != 0 || err != nil {
		t.Fatalf("%d lost the second time, %v", lost, err)
	}
}

// BenchmarkFrames compares one frame a system call with batches, from one end of a cable to the other: per frame, both sides.
func BenchmarkFrames(b *testing.B) {
	x, y := cable(b)
	out, in := x.dial(b, syncFilter), y.dial(b, syncFilter)
	payload := append(frame(1, typeSync, testCluster), make([]byte, 1400-104)...)
	frames, buffers := make([]Frame, BatchLen), room(BatchLen)
	for i := range frames {
		frames[i] = Frame{MAC: y.mac, Bytes: payload}
	}
	b.Run("one by one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := out.Send(payload, y.mac); err != nil {
				b.Fatal(err)
			}
			if _, _, _, err := in.Recv(buffers[0].Bytes[:1400]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("batches", func(b *testing.B) {
		b.ReportAllocs()
		for left := b.N; left > 0; {
			n := min(left, BatchLen)
			if _, err := out.SendBatch(frames[:n]); err != nil {
				b.Fatal(err)
			}
			for left -= n; n > 0; {
				got, err := in.RecvBatch(buffers)
				if err != nil {
					b.Fatal(err)
				}
				n -= got
			}
		}
	})
}
