// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// maxPacket is room for the longest message together with some others.
const maxPacket = maxMessage + 4<<10

// outbox holds what main is to be told by the end of a round, to be told in one packet: each wakes main.
type outbox struct {
	packet [maxPacket]byte
	used   int  // bytes; 0: it is empty
	full   bool // main's socket had no room for it
}

// put appends a message, if there is room.
func (o *outbox) put(msg []byte) bool {
	if max(o.used, 1)+2+len(msg) > len(o.packet) {
		return false
	}
	if o.used == 0 {
		o.packet[0], o.used = byte(msgTogether), 1
	}
	binary.LittleEndian.PutUint16(o.packet[o.used:], uint16(len(msg)))
	o.used += 2 + copy(o.packet[o.used+2:], msg)
	return true
}

// takeBack removes the last message, of this length.
func (o *outbox) takeBack(length int) {
	if o.used -= 2 + length; o.used == 1 {
		o.used = 0
	}
}

// tell implements kernel.
func (l *loop) tell(msg []byte) bool {
	if !l.later(msg) {
		return false
	}
	sent := l.flush()
	if !sent {
		l.outbox.takeBack(len(msg))
	}
	return sent
}

// later implements kernel.
func (l *loop) later(msg []byte) bool {
	if l.outbox.full && !l.flush() {
		return false
	}
	return l.outbox.put(msg) || l.flush() && l.outbox.put(msg)
}

// flush sends what is in the outbox, and reports whether it is empty now. What main's socket has no room for stays, for the next time.
func (l *loop) flush() bool {
	o := &l.outbox
	if o.used == 0 {
		return true
	}
	switch send(l.control, o.packet[:o.used]) {
	case 0:
		o.used, o.full = 0, false
		return true
	case unix.EPIPE, unix.ECONNRESET:
		l.ended = true
	}
	o.full = true
	return false
}

// messages calls f with each message of a packet from the pulse, until f returns false. It reports whether f always returned true.
func messages(packet []byte, f func(msg []byte) bool) bool {
	if len(packet) == 0 || msgType(packet[0]) != msgTogether {
		return f(packet)
	}
	for r := (reader{b: packet[1:]}); len(r.b) > 0; {
		msg := r.take(int(r.u16()))
		if r.bad {
			return f(nil)
		}
		if !f(msg) {
			return false
		}
	}
	return true
}
