// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/flow"
)

// Plane is the sync plane of one member. All methods may be called from any goroutine.
//
// One lock guards everything that decides: lanes, tallies, roles, the asker. It is held for microseconds: goroutines that wait for the
// kernel (the event reader, the frame readers, the injector, the dumper) do that without it.
type Plane struct {
	log     *slog.Logger
	inc     uint64
	within  func(func() error) error
	changes chan struct{}
	kick    chan struct{} // the timer is to look again

	mu      sync.Mutex
	cfg     Config
	group   *errgroup.Group // nil unless serving
	ctx     context.Context //nolint:containedctx // the group's own, for tasks that begin later
	cancel  context.CancelFunc
	tried   bool          // Serve has tried to open what it needs: until then the plane is only about to run
	turned  chan struct{} // the configuration changed
	sealer  *ccp.Sealer
	opener  *ccp.Opener
	hasher  *record.Hasher
	judge   *record.Judge
	checker record.Checker
	sender  *flow.Sender
	peers   [ccp.MaxMembers]peer
	ports   []*port
	echoes  [ccp.MaxMembers]Echo

	events *conntrack.Events
	table  *conntrack.Table

	role      Role
	term      uint32
	roleAt    int64
	knowPeers bool // SetPeers was called

	tally      *record.Tally
	tallyGood  bool   // it is what the table holds
	made       uint64 // how often it was made from a dump
	keyAt      int64
	askers     []*asker       // one, but in load sharing one for each member
	have       ccp.SyncBitmap // the buckets that are as good as their owner's
	session    uint64         // the number of the last request
	share      share
	held       held
	marks      marks
	inject     injector
	jobs       jobs
	sets       sets
	frames     frames
	drain      drain
	own        ownKeys
	masters    masters
	translated translated
	answers    answers

	verify      verify
	former      uint8 // the owner before a takeover, whose last news still count
	formerUntil int64
	flushedAt   int64 // when a flush was complete
	lingerUntil int64 // after a hand-over from here: until when others hear of what begins here, 0 never
	stopping    bool

	now      int64 // of the batch of events that is being taken
	eventBuf []byte
	wireBuf  []byte
	scratch  []byte
	flowed   []flow.Range

	ticks      uint64
	armed      int64 // when the timer goroutine looks next
	showAt     int64
	shownAt    int64  // when show looked last
	problem    string // of reading the own table
	refusedAt  int64  // when the kernel refused a record last
	refusedWhy string
	shown      shown
	stats      Stats
	skipped    [record.Skips]uint64
	refused    map[string]uint64
	errnos     map[string]uint64
	dropped    [ccp.DropReasons]uint64
	expected   int64 // expectations that were created, less those that went
	rates      rates
	lost       int64 // when events were lost last
	lossy      bool  // events of the owner's were lost since its tally was made
	losses     uint16
}

// New makes a plane. It opens nothing yet: Serve does. The error names what in c cannot be.
func New(c Config, log *slog.Logger) (*Plane, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	p := &Plane{
		log: log, inc: random(), within: c.Within, changes: make(chan struct{}, 1), kick: make(chan struct{}, 1),
		cfg: c, tally: record.NewTally(), role: RoleCopy, armed: never,
		former: ccp.Nobody, flushedAt: math.MinInt64 / 2, showAt: never, refusedAt: never, scratch: make([]byte, 0, ccp.MaxPlainLen),
		refused: map[string]uint64{}, errnos: map[string]uint64{},
	}
	p.translated.may = families{true, true}
	p.askers = []*asker{newAsker(allBuckets, &p.have, &p.session)}
	var err error
	if p.within == nil {
		p.within = func(f func() error) error { return f() }
	}
	use := c.key()
	p.sealer = ccp.NewSealer(use.Key, use.Number, c.Cluster, c.Self, p.inc)
	p.opener = ccp.NewOpener(c.Cluster, c.Self, p.inc, c.Keys...)
	p.hasher = record.NewHasher(use.Key.TallyKey(c.Cluster))
	p.stats.Since = time.Now()
	p.inject.wake, p.inject.urgent = make(chan struct{}, 1), make(chan struct{}, 1)
	p.turned = make(chan struct{}, 1)
	p.jobs.init()
	p.sets.init()
	p.sender, err = flow.NewSender(flow.SenderConfig{Log: p.inc, Payload: ccp.MaxSyncRecords, Merge: record.Merge, Created: nowCreates, Packer: &ccp.SyncPacker{}})
	if err != nil {
		return nil, fmt.Errorf("statesync: %w", err)
	}
	for i := range p.peers {
		p.peers[i].init(uint8(i))
	}
	p.judge, p.checker.Zones = p.rules().Compile(), c.Zones
	return p, nil
}

// nowCreates makes a record that has taken the place of a NEW one say that it is new. The op is the fourth byte of its head.
func nowCreates(data []byte) {
	if len(data) > 3 {
		data[3] = byte(record.OpNew)
	}
}

func (c *Config) check() error {
	switch {
	case c.Self >= ccp.MaxMembers || c.Self >= c.Members || c.Members > ccp.MaxMembers:
		return fmt.Errorf("statesync: member %d of %d: want numbers from 0, of %d members at most", c.Self, c.Members, ccp.MaxMembers)
	case len(c.Keys) == 0:
		return errors.New("statesync: no cluster key")
	case c.key().Number == 0:
		return fmt.Errorf("statesync: key %d is to be used and not among those held", c.UseKey)
	}
	return nil
}

// key is the one to seal under.
func (c *Config) key() ccp.Key {
	for _, k := range c.Keys {
		if k.Number == c.UseKey {
			return k
		}
	}
	return ccp.Key{}
}

// rules are the configuration's as package record has them, and what members told of their hosts' addresses.
func (p *Plane) rules() record.Rules {
	own, shared := p.hostAddresses()
	c := &p.cfg
	return record.Rules{Own: append(own, c.Own...), Virtual: append(shared, c.Virtual...), Networks: slices.Clone(c.Networks), Services: c.services(), Zones: c.Zones}
}

func (c *Config) services() (list []record.Service) {
	for _, s := range c.Services {
		protocols := []uint8{s.Protocol}
		if s.Protocol == 0 {
			protocols = []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP}
		}
		for _, proto := range protocols {
			one := record.Service{Protocol: proto, Never: s.Never, After: s.After}
			if s.From != 0 || s.To != 0 {
				one.Ports = []record.PortRange{{First: s.From, Last: s.To}}
			}
			list = append(list, one)
		}
	}
	return list
}

func random() uint64 {
	for {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			panic("statesync: no randomness: " + err.Error())
		}
		if n := binary.BigEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}

// boottime is the clock of everything here.
func boottime() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // cannot fail for a clock that every kernel has
	return ts.Nano()
}

func nanoseconds(n int64) time.Duration { return time.Duration(max(0, n)) }

// Serve runs the plane until ctx ends: it opens the sockets when there is something to synchronise, and closes them when there is not.
// What fails is tried again and shown in State. The error is for a plane that is served already.
func (p *Plane) Serve(ctx context.Context) error {
	for {
		p.mu.Lock()
		served, off := p.group != nil, p.off()
		p.mu.Unlock()
		switch {
		case served:
			return errors.New("statesync: served already")
		case !off:
			err := p.run(ctx)
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it ended because it was told to
			}
			if err != nil {
				p.failed(err)
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(retryAfter):
				}
			}
		}
		p.mu.Lock()
		off = p.off()
		p.mu.Unlock()
		if !off {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.turned:
		}
	}
}

// retryAfter is how long to wait before sockets that failed are opened again.
const retryAfter = time.Second

// failed shows what went wrong.
func (p *Plane) failed(err error) {
	p.log.Error("state synchronisation is interrupted", "error", err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problem, p.tried = err.Error(), true
	p.show(boottime())
}

// off says whether there is nothing to do: no event is listened to then.
func (p *Plane) off() bool { return p.cfg.Disabled || p.cfg.Members < 2 || len(p.cfg.Interfaces) == 0 }

// idle says that the plane does not run, and is not just about to: it has no part in synchronisation then, whatever its role would be.
func (p *Plane) idle() bool { return p.group == nil && (p.tried || p.off()) }

// run is Serve while there is something to do.
func (p *Plane) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	if err := p.openKernel(); err != nil {
		return err
	}
	p.mu.Lock()
	p.group, p.ctx, p.cancel, p.stopping, p.tried = group, ctx, cancel, false, true
	p.tallyGood = false
	for _, a := range p.askers {
		a.ownAt = math.MinInt64 / 2
	}
	p.openPorts()
	p.jobs.ownTally = true
	p.sets.listAll()
	p.tellAll(boottime()) // those that heard this plane's goodbye hear that it is back
	p.show(boottime())
	p.mu.Unlock()
	for _, task := range []func(context.Context) error{p.readEvents, p.runInjector, p.runDumper, p.runTimer, p.runSets, p.runSetsTeller} {
		group.Go(func() error { return task(ctx) })
	}
	group.Go(func() error {
		<-ctx.Done()
		p.close()
		return nil
	})
	err := group.Wait()
	p.mu.Lock()
	p.group = nil
	p.have = ccp.SyncBitmap{}
	p.show(boottime())
	p.mu.Unlock()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

func (p *Plane) openKernel() error {
	return p.within(func() error {
		table, err := conntrack.Open()
		if err != nil {
			return fmt.Errorf("statesync: %w", err)
		}
		table.Displaced = p.displaced
		p.mu.Lock()
		defer p.mu.Unlock()
		buffer := p.cfg.Buffer
		if buffer == 0 {
			buffer = DefaultBuffer
		}
		events, err := conntrack.Listen(conntrack.ListenOptions{
			Buffer: buffer, Ignore: []uint32{table.PortID()}, Services: p.cfg.services(), Expectations: true,
			Kinds: p.kinds(),
		})
		if err != nil {
			table.Close()
			return fmt.Errorf("statesync: %w", err)
		}
		p.table, p.events = table, events
		return nil
	})
}

func (p *Plane) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sayGoodbye()
	p.events.Close()
	for _, port := range p.ports {
		port.close()
	}
	p.ports = nil
	p.table.Close()
}

// Incarnation is the random number of this life of the plane, for HELLO.
func (p *Plane) Incarnation() uint64 { return p.inc }

// Changes has an element whenever State has changed in a way that others should hear of (status, role, owner, current), or what Translated says.
func (p *Plane) Changes() <-chan struct{} { return p.changes }

// errRekeyed says that the keys were replaced while something went on that knew entries by the old ones.
var errRekeyed = errors.New("statesync: the cluster's key was replaced meanwhile, try again")
