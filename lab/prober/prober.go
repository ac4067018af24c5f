// SPDX-License-Identifier: Apache-2.0

package prober

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/tap"
)

// Limits of a prober.
const (
	// slots is how many hardware addresses the prober uses: an answer can be this many probes of its address late.
	slots = 64
	// maxVIPs bounds what is asked for.
	maxVIPs = 64
	// maxPorts is given by the set of members in a probe.
	maxPorts = 8
	// remembered is for how long a MAC that answered is asked by unicast.
	remembered = time.Second
	// late is how long Stop waits for answers to the last probes.
	late = 100 * time.Millisecond
)

// Prober is a running prober. Its methods are safe for concurrent use.
type Prober struct {
	cfg   Config
	start time.Time
	mac   [6]byte // the last byte is the slot
	out   *tap.Injector
	taps  []*tap.Tap
	index map[netip.Addr]int
	stop  context.CancelFunc
	task  errgroup.Group

	mu       sync.Mutex
	rounds   int
	targets  []target
	answers  []answer
	missed   uint
	server   uint8
	serverAt time.Time
}

// target is one address that is asked for.
type target struct {
	vip    netip.Addr
	probes []probe
	macs   []known
}

// known is a MAC that answered lately.
type known struct {
	mac [6]byte
	at  time.Time
}

// probe is one question. Times are ns since the prober's start.
type probe struct {
	sent, first, answered int64 // the first and the last answer
	round                 int32
	by, firstBy           uint8 // sets of members: all that answered, the first one
}

// answer is an Answer in little space.
type answer struct {
	at           int64
	probe        int32
	target       uint8
	member       uint8
	mac, claimed [6]byte
}

// Start begins to ask. It runs until Stop or until ctx ends; Stop must be called in any case.
func Start(ctx context.Context, cfg Config) (*Prober, error) {
	if cfg.Every == 0 {
		cfg.Every = 10 * time.Millisecond
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	r := rand.Uint32()
	p := &Prober{
		cfg: cfg, start: time.Now(), index: map[netip.Addr]int{},
		mac: [6]byte{0x06, 0x48, 0x50, byte(r >> 8), byte(r), 0},
	}
	for i, vip := range cfg.VIPs {
		p.targets = append(p.targets, target{vip: vip})
		p.index[vip] = i
	}
	if err := p.open(); err != nil {
		p.close()
		return nil, err
	}
	ctx, p.stop = context.WithCancel(ctx)
	p.task.Go(func() error { return p.run(ctx) })
	return p, nil
}

func (c Config) check() error {
	if len(c.VIPs) == 0 || len(c.VIPs) > maxVIPs {
		return fmt.Errorf("prober: segment %s: %d addresses to ask for, must be 1 to %d", c.Segment, len(c.VIPs), maxVIPs)
	}
	if len(c.Ports) == 0 || len(c.Ports) > maxPorts {
		return fmt.Errorf("prober: segment %s: %d ports of members, must be 1 to %d", c.Segment, len(c.Ports), maxPorts)
	}
	for _, vip := range c.VIPs {
		if vip.Is4() && !c.Addr4.Is4() || vip.Is6() && !c.Addr6.Is6() {
			return fmt.Errorf("prober: segment %s: no address of the family of %s to ask from", c.Segment, vip)
		}
	}
	return nil
}

func (p *Prober) open() error {
	filter, err := answersFilter()
	if err != nil {
		return err
	}
	if p.taps, err = openTaps(p.cfg.Switch, p.cfg.Ports, filter); err != nil {
		return fmt.Errorf("prober: segment %s: %w", p.cfg.Segment, err)
	}
	if p.out, err = tap.Inject(p.cfg.Host, p.cfg.Interface); err != nil {
		return fmt.Errorf("prober: segment %s: %w", p.cfg.Segment, err)
	}
	return nil
}

// openTaps opens a tap for what each port's member sends.
func openTaps(in tap.Namespace, ports []Port, filter []bpf.RawInstruction) ([]*tap.Tap, error) {
	var taps []*tap.Tap
	for _, port := range ports {
		t, err := tap.Open(in, port.Interface, tap.Options{Filter: filter, Incoming: true})
		if err != nil {
			closeTaps(taps)
			return nil, err
		}
		taps = append(taps, t)
	}
	return taps, nil
}

func closeTaps(taps []*tap.Tap) {
	_ = tap.CloseAll(taps...) // nothing can be lost that way
}

func (p *Prober) close() {
	closeTaps(p.taps)
	if p.out != nil {
		_ = p.out.Close()
	}
}

// run asks at every tick. Answers are read half way between two rounds, when they are all there, and once more at the end.
func (p *Prober) run(ctx context.Context) error {
	ticker := time.NewTicker(p.cfg.Every)
	defer ticker.Stop()
	for {
		if err := p.round(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			<-time.After(late)
			return p.collect()
		case <-ticker.C:
		}
		if err := p.collect(); err != nil {
			return err
		}
	}
}

// round sends one round of probes: to all in even rounds, to each MAC that answered lately in odd ones.
func (p *Prober) round() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for i := range p.targets {
		t := &p.targets[i]
		t.forget(now)
		if p.rounds%2 == 0 || len(t.macs) == 0 {
			if err := p.ask(t, [6]byte{}); err != nil {
				return err
			}
			continue
		}
		for _, k := range t.macs {
			if err := p.ask(t, k.mac); err != nil {
				return err
			}
		}
	}
	p.rounds++
	return nil
}

// ask sends one probe; a zero to means all.
func (p *Prober) ask(t *target, to [6]byte) error {
	from := p.mac
	from[5] = byte(len(t.probes) % slots)
	var frame []byte
	if t.vip.Is6() {
		frame = askND(from, p.cfg.Addr6, t.vip, to)
	} else {
		if to == ([6]byte{}) {
			to = broadcast
		}
		frame = askARP(from, p.cfg.Addr4, t.vip, to)
	}
	sent := int64(time.Since(p.start))
	switch err := p.out.Send(frame); {
	case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENOBUFS):
		return nil // the prober's own cable is out: not asked
	case err != nil:
		return fmt.Errorf("prober: segment %s: ask for %s: %w", p.cfg.Segment, t.vip, err)
	}
	t.probes = append(t.probes, probe{sent: sent, round: int32(p.rounds)})
	return nil
}

// forget drops the MACs that did not answer lately.
func (t *target) forget(now time.Time) {
	kept := t.macs[:0]
	for _, k := range t.macs {
		if now.Sub(k.at) < remembered {
			kept = append(kept, k)
		}
	}
	t.macs = kept
}

// remember notes that a MAC answered.
func (t *target) remember(mac [6]byte, at time.Time) {
	for i := range t.macs {
		if t.macs[i].mac == mac {
			t.macs[i].at = at
			return
		}
	}
	t.macs = append(t.macs, known{mac, at})
}

// collect reads what the members said.
func (p *Prober) collect() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var buf [256]byte
	for member, t := range p.taps {
		n, err := t.Drain(buf[:], func(f tap.Frame) {
			if s, ok := parse(f.Data); ok {
				p.hear(uint8(member), s, f.At)
			}
		})
		if err != nil {
			return fmt.Errorf("prober: segment %s: %w", p.cfg.Segment, err)
		}
		p.missed += n
	}
	return nil
}

// hear files what a member said at a time.
func (p *Prober) hear(member uint8, s said, at time.Time) {
	i, ok := p.index[s.vip]
	if !ok {
		return
	}
	t := &p.targets[i]
	slot := s.to[5]
	ours := s.to
	ours[5] = 0
	if ours != p.mac || slot >= slots {
		return // an announcement, or an answer to somebody else
	}
	// The newest probe that used this slot and was sent before is the one that is answered.
	when := int64(at.Sub(p.start))
	n := newest(len(t.probes), int(slot))
	for n >= 0 && t.probes[n].sent > when {
		n -= slots
	}
	if n < 0 {
		return
	}
	q := &t.probes[n]
	if q.by == 0 || when < q.first {
		q.first, q.firstBy = when, 1<<member
	}
	q.by |= 1 << member
	q.answered = max(q.answered, when)
	t.remember(s.mac, at)
	p.answers = append(p.answers, answer{
		at: when, probe: int32(n), target: uint8(i), member: member, mac: s.mac, claimed: s.claimed,
	})
	if !at.Before(p.serverAt) {
		p.server, p.serverAt = member, at
	}
}

// newest returns the number of the newest of so many probes that used a slot; negative if none did.
func newest(probes, slot int) int {
	if probes <= slot {
		return -1
	}
	return (probes-1-slot)/slots*slots + slot
}

// Server returns the member that answered last for any address and when; empty when nobody has.
func (p *Prober) Server() (member string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.serverAt.IsZero() {
		return "", time.Time{}
	}
	return p.cfg.Ports[p.server].Member, p.serverAt
}

// Answers returns all answers to probes sent from from until to, in order of arrival.
func (p *Prober) Answers(from, to time.Time) []Answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Answer
	for _, a := range p.answers {
		t := &p.targets[a.target]
		sent := p.start.Add(time.Duration(t.probes[a.probe].sent))
		if sent.Before(from) || !sent.Before(to) {
			continue
		}
		out = append(out, Answer{
			VIP: t.vip, Probe: uint64(a.probe), Sent: sent, At: p.start.Add(time.Duration(a.at)),
			Member: p.cfg.Ports[a.member].Member, MAC: a.mac, Claimed: a.claimed,
		})
	}
	return out
}

// Stop ends the asking, waits for late answers, and returns the report of the whole run.
func (p *Prober) Stop() (Report, error) {
	p.stop()
	err := p.task.Wait()
	p.close()
	return p.Window(p.start, time.Now()), err
}
