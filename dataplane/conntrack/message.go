// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"encoding/binary"
	"errors"
)

// Message is one message of ctnetlink as the kernel wrote it.
type Message struct {
	// Type and Flags are the header's nlmsg_type and nlmsg_flags. An event of something new has NLM_F_CREATE and NLM_F_EXCL, one
	// of a change has neither.
	Type, Flags uint16
	// Port is the header's nlmsg_pid: in an event the port id of the socket that caused it, 0 if a packet or the clock did.
	Port uint32
	// Payload is struct nfgenmsg and the attributes. It is the batch's memory: copy what is to outlive the next read.
	Payload []byte
}

// errMalformed is for netlink headers that contradict their datagram, which the kernel never sends.
var errMalformed = errors.New("conntrack: netlink message with a wrong length")

// eachMessage calls f for every netlink message in b, with its sequence number.
func eachMessage(b []byte, f func(seq uint32, m Message) error) error {
	for len(b) >= nlmsgLen {
		n := int(binary.NativeEndian.Uint32(b))
		if n < nlmsgLen || n > len(b) {
			return errMalformed
		}
		if err := f(binary.NativeEndian.Uint32(b[8:]), header(b, n)); err != nil {
			return err
		}
		b = b[min(align(n), len(b)):]
	}
	if len(b) > 0 {
		return errMalformed
	}
	return nil
}

// header reads struct nlmsghdr at the head of b, whose length field says n.
func header(b []byte, n int) Message {
	return Message{
		Type: binary.NativeEndian.Uint16(b[4:]), Flags: binary.NativeEndian.Uint16(b[6:]),
		Port: binary.NativeEndian.Uint32(b[12:]), Payload: b[nlmsgLen:n:n],
	}
}

// align rounds up to netlink's alignment.
func align(n int) int { return (n + 3) &^ 3 }
