// SPDX-License-Identifier: Apache-2.0

package tap_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/netns"
	"github.com/holdfast-project/holdfast/lab/tap"
)

// cable makes a namespace with the two ends of a cable, a and b.
func cable(t *testing.T) *netns.NS {
	t.Helper()
	labtest.Require(t)
	ns, err := netns.New("tap")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	plug(t, ns)
	return ns
}

func plug(t *testing.T, ns *netns.NS) {
	t.Helper()
	h, err := ns.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b"}
	if err := h.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		link, err := h.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
	// Until the kernel has noticed the carrier it drops what is sent.
	for _, name := range []string{"a", "b"} {
		for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
			link, err := h.LinkByName(name)
			if err != nil {
				t.Fatal(err)
			}
			if link.Attrs().OperState == netlink.OperUp {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is %v after 30 s", name, link.Attrs().OperState)
			}
		}
	}
}

func frame(etherType uint16, last byte) []byte {
	f := make([]byte, 60)
	copy(f, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, byte(etherType >> 8), byte(etherType)})
	f[59] = last
	return f
}

// next returns the next frame with our EtherType (the kernel speaks on the cable too).
func next(t *testing.T, in *tap.Tap) tap.Frame {
	t.Helper()
	buf := make([]byte, 256)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		f, ok, err := in.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if ok && bytes.Equal(f.Data[12:14], []byte{0x12, 0x34}) {
			return f
		}
	}
	t.Fatal("no frame within 30 s")
	return tap.Frame{}
}

func TestTapTellsDirections(t *testing.T) {
	ns := cable(t)
	in, err := tap.Open(ns.Do, "a", tap.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for _, end := range []string{"a", "b"} {
		out, err := tap.Inject(ns.Do, end)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		before := time.Now()
		if err := out.Send(frame(0x1234, 7)); err != nil {
			t.Fatal(err)
		}
		f := next(t, in)
		if f.Outgoing != (end == "a") || f.Length != 60 || f.Data[59] != 7 {
			t.Errorf("sent at %s: outgoing %v length %d", end, f.Outgoing, f.Length)
		}
		if f.At.Before(before.Add(-time.Millisecond)) || f.At.After(time.Now()) {
			t.Errorf("stamp %v is not between %v and now", f.At, before)
		}
	}
}

func TestTapTakesOnlyWhatItWasAskedFor(t *testing.T) {
	ns := cable(t)
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 59, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 7, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 65535},
	})
	if err != nil {
		t.Fatal(err)
	}
	in, err := tap.Open(ns.Do, "a", tap.Options{Incoming: true, Filter: filter})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	send := func(end string, last byte) {
		out, err := tap.Inject(ns.Do, end)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if err := out.Send(frame(0x1234, last)); err != nil {
			t.Fatal(err)
		}
	}
	send("a", 7)
	send("b", 8)
	send("b", 7)
	if f := next(t, in); f.Outgoing || f.Data[59] != 7 {
		t.Errorf("got %+v, want the incoming frame that ends with 7", f)
	}
	if f, ok, _ := in.Read(make([]byte, 64)); ok {
		t.Errorf("a second frame came: %x", f.Data)
	}
}

func TestTapFollowsAPortThatIsMadeAnew(t *testing.T) {
	t.Run("removed", func(t *testing.T) { follow(t, false) })
	t.Run("taken down, then removed", func(t *testing.T) { follow(t, true) })
}

func follow(t *testing.T, downFirst bool) {
	t.Helper()
	ns := cable(t)
	in, err := tap.Open(ns.Do, "a", tap.Options{Incoming: true})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	h, err := ns.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	old, err := h.LinkByName("a")
	if err != nil {
		t.Fatal(err)
	}
	read := func() {
		for range 3 { // reads what is left, then meets the error, then finds nothing
			if _, _, err := in.Read(make([]byte, 64)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if downFirst {
		if err := h.LinkSetDown(old); err != nil {
			t.Fatal(err)
		}
		read()
	}
	if err := h.LinkDel(old); err != nil {
		t.Fatal(err)
	}
	read()
	plug(t, ns)
	out, err := tap.Inject(ns.Do, "b")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	got := make(chan tap.Frame, 1)
	buf := make([]byte, 64)
	for deadline := time.Now().Add(30 * time.Second); len(got) == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the tap did not find the new port within 30 s")
		}
		if err := out.Send(frame(0x1234, 9)); err != nil {
			t.Fatal(err)
		}
		if f, ok, err := in.Read(buf); err != nil {
			t.Fatal(err)
		} else if ok && f.Data[59] == 9 {
			got <- f
		}
	}
}

// TestFollowReadsOnceMore: what has come when the end is told is read too, and the first error ends it.
func TestFollowReadsOnceMore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reads, late := 0, 0
	read := func() error {
		reads++
		if ctx.Err() != nil {
			late++
		}
		if reads == 2 {
			cancel()
		}
		return nil
	}
	if err := tap.Follow(ctx, time.Millisecond, read); err != nil || late != 1 {
		t.Errorf("%v, %d of %d reads after the end, want 1", err, late, reads)
	}
	broken := errors.New("broken")
	if err := tap.Follow(t.Context(), time.Millisecond, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
