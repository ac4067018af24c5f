// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// SweepOptions are for Sweep.
type SweepOptions struct {
	// Timeouts are the kernel's own.
	Timeouts Timeouts
	// Copy is the time-out that copies were given.
	Copy time.Duration
	// All is what to do to all entries, unless Choose is given, which says it for each.
	All    Choice
	Choose func(m Message) Choice
	// Chunk is DumpOptions.Chunk: waiting in it paces the sweep.
	Chunk func(entries int) error
}

// Choice is what becomes of an entry's time-out.
type Choice uint8

// The choices.
const (
	// Shorten gives it that of its protocol, if it has the copies': its packets come here.
	Shorten Choice = iota
	// Lengthen does the reverse, after a hand-over: what would end before half of the copies' time-out gets all of it, because no packet
	// refreshes it here any more; and TCP connections of which this kernel has seen the beginning are made liberal, because it does not
	// see their numbers go on: without that, all they send after they come back is out of its window, invalid, and not translated. Those
	// with a helper are given it again, which lets it begin anew where they then are: FTP's would pass over every command.
	Lengthen
	// Leave leaves it alone.
	Leave
	// Regain is Shorten for what went to another member and is back before it was lengthened: TCP connections are made liberal, and helpers given
	// again, as Lengthen would have done. Without that, a connection that went on there is invalid here for good: it acknowledges what this kernel
	// has not seen.
	Regain
)

func (o *SweepOptions) choose(m Message) Choice {
	if o.Choose != nil {
		return o.Choose(m)
	}
	return o.All
}

// SweepStats are what a Sweep has done.
type SweepStats struct {
	// Seen counts entries, Set those whose time-out was set, Gone those that ended meanwhile, Refused those of which the kernel did not
	// want it.
	Seen, Set, Gone, Refused int
}

// Sweep gives the connections that carry the copies' time-out the one that the kernel gives to connections of their protocol and
// state: after a takeover, when packets refresh entries again. An entry that a packet has already refreshed is left alone: it has less
// left than its protocol's time-out, or more than the copies'.
func (t *Table) Sweep(ctx context.Context, o SweepOptions) (SweepStats, error) {
	var s SweepStats
	var pending []byte // the attributes of requests under way, each with its family and length before it
	n := 0
	flush := func() error {
		err := t.setTimeouts(pending, &s)
		pending, n = pending[:0], 0
		return err
	}
	err := t.Dump(ctx, DumpOptions{Chunk: func(entries int) error {
		if err := flush(); err != nil {
			return err
		}
		if o.Chunk != nil {
			return o.Chunk(entries)
		}
		return nil
	}}, func(m Message) error {
		s.Seen++
		choice := o.choose(m)
		to, ok := o.due(m, choice)
		away := choice == Lengthen || choice == Regain
		if !ok && !(away && missed(m)) {
			return nil
		}
		if !ok {
			to = 0
		}
		pending = appendTimeout(pending, m, to, away)
		if n++; n >= maxRequests {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	return s, err
}

// due returns the time-out that an entry is to get, if it is to get one.
func (o *SweepOptions) due(m Message, choice Choice) (time.Duration, bool) {
	to, ok := o.Timeouts.Of(m)
	if !ok || choice == Leave {
		return 0, false
	}
	left := time.Duration(number(find(m.Payload[nfgenLen:], ctaTimeout))) * time.Second
	if choice == Lengthen {
		return o.Copy, left < o.Copy/2 || missed(m)
	}
	if to < o.Copy {
		return to, left > to
	}
	return to, left <= o.Copy && to != o.Copy
}

// tcpFlags returns the flags of a TCP connection, which both directions share in this respect; false for other protocols.
func tcpFlags(m Message) (byte, bool) {
	tcp := find(find(m.Payload[nfgenLen:], ctaProtoInfo), ctaProtoInfoTCP)
	both, n := byte(tcpBeLiberal), 0
	for _, typ := range []uint16{ctaProtoInfoTCPFlagsOriginal, ctaProtoInfoTCPFlagsReply} {
		if v := find(tcp, typ); len(v) == 2 { // struct nf_ct_tcp_flags: flags, mask
			both &= v[0]
			n++
		}
	}
	return both, n == 2
}

// strict says that it is a TCP connection whose windows the kernel minds.
func strict(m Message) bool {
	flags, tcp := tcpFlags(m)
	return tcp && flags&tcpBeLiberal == 0
}

// helped says that it is a connection whose helper can be given to it again: the kernel keeps that of a helper's own connections.
func helped(m Message) bool {
	has := present(m.Payload[nfgenLen:])
	return has&of(ctaHelp) != 0 && has&of(ctaTupleMaster) == 0
}

// missed says that the kernel minds of the connection what it does not see while that goes through another member.
func missed(m Message) bool { return strict(m) || helped(m) }

// appendTimeout appends a request that sets the time-out of an entry, unless to is 0, and does what else a copy needs that was no copy so far:
// length, family, attributes.
func appendTimeout(dst []byte, m Message, to time.Duration, copied bool) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, m.Payload[0], 0)
	keep := of(ctaTupleOrig, ctaZone)
	if copied && helped(m) {
		keep |= of(ctaHelp)
	}
	dst = appendWithout(dst, m.Payload[nfgenLen:], ^keep)
	if to > 0 {
		dst = appendU32(dst, ctaTimeout, uint32(to/time.Second))
	}
	if copied && strict(m) {
		dst = appendTCPFlags(dst, tcpBeLiberal)
	}
	n := len(dst) - at
	dst[at], dst[at+1] = byte(n), byte(n>>8)
	return dst
}

// appendTCPFlags appends whether both directions are liberal, alone: the state stays as it is.
func appendTCPFlags(dst []byte, flags byte) []byte {
	return nest(dst, ctaProtoInfo, func(dst []byte) []byte {
		return nest(dst, ctaProtoInfoTCP, func(dst []byte) []byte {
			for _, typ := range []uint16{ctaProtoInfoTCPFlagsOriginal, ctaProtoInfoTCPFlagsReply} {
				dst = append(appendHead(dst, typ, 2), flags, tcpBeLiberal, 0, 0)
			}
			return dst
		})
	})
}

// setTimeouts sends such requests.
func (t *Table) setTimeouts(requests []byte, s *SweepStats) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return os.ErrClosed
	}
	before := s.Gone + s.Refused
	sent := 0
	answer := func(_ request, errno unix.Errno, _ Message) {
		switch errno {
		case 0:
		case unix.ENOENT, unix.ETIME:
			s.Gone++
		default:
			s.Refused++
		}
	}
	for len(requests) > 0 {
		n := int(requests[0]) | int(requests[1])<<8
		at := t.begin(msgNew, 0, requests[2], request{})
		t.out = append(t.out, requests[4:n]...)
		t.end(at)
		requests = requests[n:]
		sent++
		if t.full() {
			if err := t.exchange(answer); err != nil {
				return err
			}
		}
	}
	if err := t.exchange(answer); err != nil {
		return err
	}
	s.Set += sent - (s.Gone + s.Refused - before)
	return nil
}
