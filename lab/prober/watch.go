// SPDX-License-Identifier: Apache-2.0

package prober

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/lab/tap"
	"github.com/holdfast-project/holdfast/lab/traffic"
)

// Limits of a watch.
const (
	// watchEvery is how often the taps are read; the times are the kernel's.
	watchEvery = 5 * time.Millisecond
	// maxTwice bounds the list of packets in a report.
	maxTwice = 1000
	// maxSequence bounds the memory: 3 hours at 1000/s.
	maxSequence = 10_000_000
)

// Watch looks for packets that two members forward. Its methods are safe for concurrent use.
type Watch struct {
	cfg   ForwardConfig
	start time.Time
	taps  []*tap.Tap
	stop  context.CancelFunc
	task  errgroup.Group

	mu     sync.Mutex
	flows  []*track
	byName map[flowName]*track
	twice  []Twice
	again  []int64 // moments of repeated packets
	missed uint
	server uint8
	last   int64
}

// flowName is a flow of one run of traffic.
type flowName struct {
	run  uint32
	flow uint16
}

// track is a flow's packets by number.
type track struct {
	flowName
	seen []seen
}

// seen is when a packet was first forwarded, in ns since the start, and by which member, counted from 1; 0 is nobody.
type seen struct {
	at     int64
	member uint8
}

// StartWatch begins to look. It runs until Stop or until ctx ends; Stop must be called in any case.
func StartWatch(ctx context.Context, cfg ForwardConfig) (*Watch, error) {
	if cfg.UDPPort == 0 {
		cfg.UDPPort = traffic.DefaultPort
	}
	if len(cfg.Ports) == 0 || len(cfg.Ports) > maxPorts {
		return nil, fmt.Errorf("prober: %d ports of members to watch, must be 1 to %d", len(cfg.Ports), maxPorts)
	}
	filter, err := trafficFilter(cfg.UDPPort)
	if err != nil {
		return nil, err
	}
	w := &Watch{cfg: cfg, start: time.Now(), byName: map[flowName]*track{}}
	if w.taps, err = openTaps(cfg.Switch, cfg.Ports, filter); err != nil {
		return nil, fmt.Errorf("prober: watch: %w", err)
	}
	ctx, w.stop = context.WithCancel(ctx)
	w.task.Go(func() error { return tap.Follow(ctx, watchEvery, w.collect) })
	return w, nil
}

// collect reads what the members forwarded.
func (w *Watch) collect() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var buf [2048]byte
	for member, t := range w.taps {
		n, err := t.Drain(buf[:], func(f tap.Frame) {
			udp, ok := payload(f.Data)
			if !ok {
				return
			}
			if p, _, ok := traffic.ParsePacket(udp); ok {
				w.file(uint8(member), p, int64(f.At.Sub(w.start)))
			}
		})
		if err != nil {
			return fmt.Errorf("prober: watch: %w", err)
		}
		w.missed += n
	}
	return nil
}

// file notes that a member forwarded a packet.
func (w *Watch) file(member uint8, p traffic.Packet, at int64) {
	if p.Sequence >= maxSequence {
		return
	}
	name := flowName{p.Run, p.Flow}
	t := w.byName[name]
	if t == nil {
		t = &track{flowName: name}
		w.byName[name] = t
		w.flows = append(w.flows, t)
	}
	for uint64(len(t.seen)) <= p.Sequence {
		t.seen = append(t.seen, seen{})
	}
	if at >= w.last {
		w.server, w.last = member+1, at
	}
	switch s := &t.seen[p.Sequence]; s.member {
	case 0:
		*s = seen{at: at, member: member + 1}
	case member + 1:
		w.again = append(w.again, at)
	default:
		first, second := *s, seen{at: at, member: member + 1}
		if second.at < first.at { // the taps are read one after the other
			first, second = second, first
		}
		w.twice = append(w.twice, Twice{
			Run: p.Run, Flow: p.Flow, Sequence: p.Sequence,
			First: w.name(first.member), FirstAt: w.at(first.at), Second: w.name(second.member), SecondAt: w.at(second.at),
		})
	}
}

func (w *Watch) name(member uint8) string { return w.cfg.Ports[member-1].Member }

func (w *Watch) at(ns int64) time.Time { return w.start.Add(time.Duration(ns)) }

// Server returns the member that forwarded last and when; empty when nobody has.
func (w *Watch) Server() (member string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.server == 0 {
		return "", time.Time{}
	}
	return w.name(w.server), w.at(w.last)
}

// Window tells what was forwarded from from until to.
func (w *Watch) Window(from, to time.Time) ForwardReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	rep := ForwardReport{From: from, To: to, Forwarded: map[string]int{}, Missed: w.missed}
	lo, hi := int64(from.Sub(w.start)), int64(to.Sub(w.start))
	for _, t := range w.flows {
		before := uint8(0)
		for seq, s := range t.seen {
			if s.member == 0 {
				continue
			}
			in := s.at >= lo && s.at < hi
			if in {
				rep.Forwarded[w.name(s.member)]++
			}
			if in && before != 0 && before != s.member {
				rep.Handovers = append(rep.Handovers, Handover{
					At: w.at(s.at), Flow: t.flow, From: w.name(before), To: w.name(s.member), Sequence: uint64(seq),
				})
			}
			before = s.member
		}
	}
	for _, tw := range w.twice {
		if tw.SecondAt.Before(from) || !tw.SecondAt.Before(to) {
			continue
		}
		rep.TwiceCount++
		if len(rep.Twice) < maxTwice {
			rep.Twice = append(rep.Twice, tw)
		}
	}
	for _, at := range w.again {
		if at >= lo && at < hi {
			rep.Repeated++
		}
	}
	return rep
}

// Stop ends the looking and returns the report of the whole run.
func (w *Watch) Stop() (ForwardReport, error) {
	w.stop()
	err := w.task.Wait()
	closeTaps(w.taps)
	return w.Window(w.start, time.Now()), err
}
