// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// RematchOptions bound Rematch. Zero values are the defaults.
type RematchOptions struct {
	// Most is how many connections are looked at: default 262,144.
	Most int
	// Within is how long it may take until what has not been judged is left alone: default 10 s.
	Within time.Duration
}

// Rematched is what became of the connections when a policy was matched with them again.
type Rematched struct {
	Entries int // of the connection table
	Judged  int // whose first packet was tried
	Ended   int // that the policy denies, and that are no more
	// Kept are those that cannot be judged:
	//   - of another protocol than TCP, UDP and echo,
	//   - of a zone,
	//   - expected by a helper, whose master stays,
	//   - translated by somebody else's rules,
	//   - of which no packet would come through without any policy either.
	Kept int
	Left int // that the bounds of RematchOptions left out
	Took time.Duration
}

// Rematch ends the connections that the policy, which is in force, would not let begin. The first packet of each entry of the connection table is
// tried in a network namespace made for it, with stand-ins for this host's devices, its addresses and the routes of its main table, first
// without the policy and then with it. What comes through without it and does not with it, twice, is denied: its entry is deleted.
//
// A packet is a TCP SYN, a UDP datagram or an echo request of four bytes, without options, and it comes in by the device to which its answer is
// routed. Sets that are kept have the elements that they have now. A limit, a quota or a number of connections counts as not reached: what is tried
// all at once did not come all at once. Rules that ask for an Ethernet address see none, and chains of families bridge and netdev see nothing.
//
// It needs CAP_SYS_ADMIN and CAP_NET_ADMIN, and the devices TUN of the kernel. If the error is not nil nothing was ended, unless it is one of ending.
func (k *Kernel) Rematch(ctx context.Context, p *Policy, o RematchOptions) (r Rematched, err error) {
	begin := time.Now()
	defer func() { r.Took = time.Since(begin) }()
	if o.Most <= 0 {
		o.Most = 1 << 18
	}
	if o.Within <= 0 {
		o.Within = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, o.Within)
	defer cancel()
	all, err := k.connections()
	if err != nil {
		return r, err
	}
	r.Entries = len(all)
	all = all[:min(len(all), o.Most)]
	host, err := k.host()
	if err != nil {
		return r, err
	}
	try := host.packets(all, strings.Contains(p.Ruleset.Text(), "dnat") || strings.Contains(p.Ruleset.Text(), "redirect"))
	s, err := k.standIn(ctx, p, host)
	if err != nil {
		return r, err
	}
	defer s.close()
	able, _, err := s.pass(ctx, try)
	if err == nil {
		err = s.enforce(ctx, k, p)
	}
	if err != nil {
		return r, err
	}
	passed, tried, err := s.pass(ctx, able)
	if err != nil {
		return r, err
	}
	denied := without(able[:tried], passed)
	again, twice, err := s.pass(ctx, denied)
	if err != nil {
		return r, err
	}
	r.Judged = tried - (len(denied) - twice)
	r.Kept = len(all) - len(able)
	r.Left = r.Entries - r.Judged - r.Kept
	r.Ended, err = k.end(all, without(denied[:twice], again))
	return r, err
}

// without is all but those that are in some.
func without(all, some []packet) []packet {
	in := make(map[int]bool, len(some))
	for i := range some {
		in[some[i].of] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(p packet) bool { return in[p.of] })
}

// end deletes the entries of the packets, and those that they are the masters of.
func (k *Kernel) end(all []connection, denied []packet) (int, error) {
	c, err := dial(k.options.Namespace)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	masters := map[tuple]bool{}
	n := 0
	var failed error
	del := func(e *connection) {
		switch err := c.deleteConnection(e); {
		case err == nil:
			n++
		case !errors.Is(err, unix.ENOENT): // it ended by itself, or is another one now
			failed = errors.Join(failed, fmt.Errorf("end connection %s: %w", e.original, err))
		}
	}
	for i := range denied {
		e := &all[denied[i].of]
		masters[e.original] = true
		del(e)
	}
	for i := range all {
		if e := &all[i]; e.status&statusExpected != 0 && e.master.proto != 0 && masters[e.master] {
			del(e)
		}
	}
	return n, failed
}

// standIn is the namespace in which packets are tried.
type standIn struct {
	file   *os.File
	kernel *Kernel
	tuns   map[string]int // descriptors by device
	raw4   int
	raw6   int
	atOnce int // packets between two readings of the counter
}

// stamp is in every packet that is tried, where the kernel's own answers have none: a sequence number, or the beginning of the data.
const stamp = 0x5a5a5a5a

// judge counts the packets that come through, and lets none further: no neighbour is asked for, and no connection begins.
const judge = `table inet holdfast_rematch {
	counter through { }
	chain judge {
		meta l4proto tcp @th,32,32 0x5a5a5a5a counter name through
		meta l4proto { udp, icmp, icmpv6 } @th,64,32 0x5a5a5a5a counter name through
		drop
	}
	chain input { type filter hook input priority 2147483646; jump judge; }
	chain postrouting { type filter hook postrouting priority 2147483646; jump judge; }
}
`

// standIn makes the namespace, without the policy.
func (k *Kernel) standIn(ctx context.Context, p *Policy, h *host) (*standIn, error) {
	file, err := scratch(nil)
	if err != nil {
		return nil, err
	}
	s := &standIn{file: file, tuns: map[string]int{}, raw4: -1, raw6: -1, atOnce: 64}
	if strings.Contains(p.Ruleset.Text(), "dup") {
		s.atOnce = 1 // one that is there twice is not two
	}
	s.kernel = New(Options{Cluster: p.Mark.Cluster, Namespace: int(file.Fd()), Command: k.options.Command})
	err = within(int(file.Fd()), func() error { return h.build(s) })
	if err == nil {
		_, err = s.kernel.nft(ctx, judge, "-f", "-")
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("scratch namespace to try connections in: %w", err)
	}
	return s, nil
}

func (s *standIn) close() {
	for _, fd := range s.tuns {
		_ = unix.Close(fd)
	}
	for _, fd := range []int{s.raw4, s.raw6} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	_ = s.file.Close()
}

// enforce puts the policy into force there, with the elements of the kept sets as they are here, and no limit reached.
func (s *standIn) enforce(ctx context.Context, k *Kernel, p *Policy) error {
	if _, err := s.kernel.Prepare(ctx, p); err != nil {
		return err
	}
	from, err := dial(k.options.Namespace)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := dial(s.kernel.options.Namespace)
	if err != nil {
		return err
	}
	defer to.Close()
	for _, set := range p.Keep {
		if err := copySet(from, to, set, p.Mark.Generation); err != nil {
			return err
		}
	}
	if _, err := s.kernel.Commit(ctx, p); err != nil {
		return err
	}
	return s.unlimited(ctx, p) // nft 1.0.6 does not list a table that is asleep as JSON: it reads its flags from anywhere
}

// pass tries packets and returns those that come through, of the first tried: when ctx ends, no more are.
func (s *standIn) pass(ctx context.Context, all []packet) (through []packet, tried int, err error) {
	c, err := dial(s.kernel.options.Namespace)
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	err = within(s.kernel.options.Namespace, func() error {
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), gentle) // of this thread, which ends here: what serves goes first
		for tried < len(all) && ctx.Err() == nil {
			part := all[tried:min(tried+s.atOnce, len(all))]
			if through, err = s.try(c, part, through); err != nil {
				return err
			}
			tried += len(part)
		}
		return nil
	})
	return through, tried, err
}

// try sends packets, each of which has been through, or not, when the call that sends it returns. Of some it is found by halves which do.
func (s *standIn) try(c conn, part, through []packet) ([]packet, error) {
	before, err := c.counted()
	if err != nil {
		return nil, err
	}
	for i := range part {
		s.send(&part[i])
	}
	after, err := c.counted()
	switch n := after - before; {
	case err != nil:
		return nil, err
	case n == 0:
		return through, nil
	case n == uint64(len(part)) || len(part) == 1:
		return append(through, part...), nil
	}
	if through, err = s.try(c, part[:len(part)/2], through); err != nil {
		return nil, err
	}
	return s.try(c, part[len(part)/2:], through)
}

// counted reads the judge's counter.
func (c conn) counted() (n uint64, err error) {
	if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return 0, err
	}
	attrs := text(text(nil, objectTable, "holdfast_rematch"), objectName, "through")
	attrs = attribute(attrs, objectType, binary.BigEndian.AppendUint32(nil, 1))
	answers, err := c.Execute(message(msgGetObject, 0, families["inet"], attrs))
	if err != nil {
		return 0, fmt.Errorf("what came through: %w", err)
	}
	for _, a := range answers {
		if len(a.Data) < 4 {
			continue
		}
		err = errors.Join(err, attributes(a.Data[4:], func(typ uint16, v []byte) {
			if typ == objectData {
				err = errors.Join(err, attributes(v, func(typ uint16, v []byte) {
					if typ == counterPackets && len(v) == 8 {
						n = binary.BigEndian.Uint64(v)
					}
				}))
			}
		}))
	}
	return n, err
}

// Of objects (linux/netfilter/nf_tables.h), a counter being of type 1.
const (
	msgGetObject                                    = subsystem | unix.NFT_MSG_GETOBJ
	objectTable, objectName, objectType, objectData = 1, 2, 3, 4
	counterPackets                                  = 2
)
