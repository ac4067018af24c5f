// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// toldMain is what is in a packet.
func toldMain(t *testing.T, packet []byte) (out []Event) {
	t.Helper()
	messages(packet, func(msg []byte) bool {
		e, err := decodeEvent(msg)
		if err != nil {
			t.Errorf("%x: %v", msg, err)
		}
		out = append(out, e)
		return true
	})
	return out
}

func TestMessagesTogether(t *testing.T) {
	alone, events := encodings()
	var o outbox
	ends := []int{1}
	for _, msg := range alone {
		if !o.put(msg) {
			t.Fatal("no room")
		}
		ends = append(ends, o.used)
	}
	packet := o.packet[:o.used]
	if got := toldMain(t, packet); !reflect.DeepEqual(got, events) {
		t.Errorf("\n got %+v\nwant %+v", got, events)
	}
	count := 0
	if messages(packet, func([]byte) bool { count++; return count < 3 }) || count != 3 {
		t.Errorf("went on to message %d", count)
	}
	for n := range packet { // both ends are the same program: what is cut is a bug, and must not be worse than one
		var last error
		messages(packet[:n], func(msg []byte) bool { _, last = decodeEvent(msg); return true })
		if whole := slices.Contains(ends, n); (last == nil) != whole {
			t.Errorf("cut to %d of %d bytes: %v", n, len(packet), last)
		}
	}
	for i := len(alone) - 1; i >= 0; i-- {
		o.takeBack(len(alone[i]))
		if i == 0 {
			break
		}
		if got := toldMain(t, o.packet[:o.used]); !reflect.DeepEqual(got, events[:i]) {
			t.Errorf("%d taken back: %+v", len(alone)-i, got)
		}
	}
	if o.used != 0 {
		t.Errorf("%d bytes of nothing", o.used)
	}
	if o.put(make([]byte, maxPacket-2)) || o.used != 0 || !o.put(make([]byte, maxMessage)) {
		t.Error("the longest message has to fit, and no longer packet")
	}
}

// TestOutbox: what is no news goes with what is, in order and in one packet; where main's socket is full the news is refused, so that it
// stays pending, and what had been taken is kept.
func TestOutbox(t *testing.T) {
	at := int64(0)
	l := quietLoop(t, &at)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	l.control = pair[1]
	read := func() []Event {
		t.Helper()
		b := make([]byte, maxPacket)
		n, err := unix.Read(pair[0], b)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		return toldMain(t, b[:n])
	}
	want := func(what string, events ...Event) {
		t.Helper()
		if got := read(); !reflect.DeepEqual(got, events) {
			t.Errorf("%s:\n got %+v\nwant %+v", what, got, events)
		}
	}
	first, second, news := Health{OnTimeSince: 1}, Health{OnTimeSince: 2}, Silent{Peer: 1}
	if !l.later(appendHealth(nil, &first)) || !l.later(appendHealth(nil, &second)) {
		t.Fatal("refused")
	}
	want("before the round ends")
	if !l.flush() {
		t.Fatal("refused")
	}
	want("at its end", first, second)
	l.flush()
	want("nothing")
	if !l.later(appendHealth(nil, &first)) || !l.tell(appendSilent(nil, &news)) {
		t.Fatal("refused")
	}
	want("with news", first, news)

	filled := 0
	for l.tell(appendSilent(nil, &news)) {
		filled++
	}
	if l.outbox.used != 0 {
		t.Fatalf("%d bytes of refused news are kept", l.outbox.used)
	}
	l.outbox.full = false
	if !l.later(appendHealth(nil, &first)) || l.flush() || l.tell(appendSilent(nil, &news)) || l.later(appendHealth(nil, &second)) {
		t.Error("what was taken before it was known that there is no room has to be kept, all else refused")
	}
	for range filled {
		want("what filled it", news)
	}
	if !l.later(appendHealth(nil, &second)) { // sends what was kept first
		t.Error("refused although there is room")
	}
	want("what was kept", first)
	if !l.flush() {
		t.Error("refused")
	}
	want("what came then", second)
	if n := testing.AllocsPerRun(100, func() {
		l.later(l.in[:100])
		l.flush()
		_, _ = recv(pair[0], l.in[:])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	unix.Close(pair[1])
	l.control = pair[0]
	if l.tell(appendSilent(nil, &news)); !l.ended {
		t.Error("main is gone, and that was not noticed")
	}
}
