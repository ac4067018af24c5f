// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/dataplane/announce"
	"github.com/holdfast-project/holdfast/dataplane/link"
	"github.com/holdfast-project/holdfast/dataplane/neighbour"
	"github.com/holdfast-project/holdfast/internal/build"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/metrics"
	"github.com/holdfast-project/holdfast/internal/notify"
	"github.com/holdfast-project/holdfast/internal/pulse"
	"github.com/holdfast-project/holdfast/internal/sdnotify"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/margin"
)

// Options say which member of which cluster to be.
type Options struct {
	// Config is the path of cluster.yaml, Member the name of this member in it.
	Config, Member string
	// Exe is the binary that is run again as the pulse process; empty for the running one.
	Exe string
	Log *slog.Logger
	// Level is the level of Log, which a reload may change. May be nil.
	Level *slog.LevelVar
	// Hangup makes the member reload its configuration, as SIGHUP does. May be nil.
	Hangup <-chan os.Signal
	// EverySecond is called about once a second by the loop, and must not wait for anything. May be nil.
	EverySecond func()
}

// gateway is the only VIP group of this version: the gateway's own addresses.
const gateway uint8 = 0

// node is one running member. The loop's goroutine owns all fields.
type node struct {
	o     Options
	log   *slog.Logger
	cfg   *config.Cluster
	local config.Local
	store *store

	gate      *bpf.Gate
	words     *bpf.Words
	host      *link.Host
	links     *link.Worker // host and link queries, which may wait for a lock of the kernel's; nil before start
	watcher   *link.Watcher
	listed    bool // the watcher has told what exists
	announcer *announce.Announcer
	asker     *neighbour.Asker
	pulse     *pulse.Pulse
	metrics   *metrics.Metrics
	events    *control.Events
	systemd   sdnotify.Notifier
	wire      *wire
	tasks     *supervisor

	monitors monitoring
	commands commands

	machine *members.Machine
	stepped int64           // when the machine was asked last
	queue   []members.Event // events that effects gave rise to, applied before anything else
	ports   []*port         // by slot
	boot    members.Boot

	settling bool  // the gate still says that this daemon, which adopted it, is restarting
	onTime   int64 // since when the pulse, and this daemon's word to it, are on time, 0: they are not

	asks      chan func()       // from the API's goroutines
	left      chan struct{}     // closed when the loop has returned: nobody answers any more
	waits     []wait            // API requests that wait for the machine to get somewhere
	leave     leaveKind         // why the loop is ending
	again     bool              // the operator wants another daemon to follow
	wakeAt    int64             // next Tick that the machine asked for; 0 none
	due       periodic          // what comes back regularly
	serve     serving           // what has been told to the host about serving
	asked     []neighbourAsking // by slot: neighbours asked and not answered
	trace     *trace
	notify    *notify.Notifier
	told      []notify.Spec // whom notify tells
	desk      desk          // where programs report critical devices
	pulseOwed bool          // the pulse has not taken the newest configuration
	stats     pulse.Stats
	paths     map[[2]uint8]pulse.LinkStats     // by peer and slot: the last Stats
	heard     map[[2]uint8]pulse.Heard         // by peer and slot: the last answer
	silent    map[[2]uint8]bool                // by peer and slot: dead by the pulse's rule
	judges    [members.MaxMembers]margin.Judge // of each member's margins
	cpu       cpuLoad
	guard     guard
	unasked   int64 // the last probe before a silence in which it was looked whether the gate is still there
	ways      ways
	tracking  tracking
	hostFault string // what the last attempt to bring the host in line could not do, "" for nothing
	pinFault  string // why the gate's pins cannot be put back
	pinsGone  repeats
	diskFault string // why what is set on the host is not on record
	sync      syncing
	share     sharing
	policy    policies
}

// port is one interface of this member.
type port struct {
	config.Interface
	device   string
	named    string // what the device is called now: it may have been renamed since it was found
	index    int    // 0 while the device does not exist
	mac      [6]byte
	mtu      int
	up       bool // the operator wants it up
	carrier  bool
	received bool
	attached bool
	removed  bool // somebody took the gate off, and putting it back has failed
	gateGone repeats
	fault    string // why the port is not used although its device is there, in words
	unsent   bool   // the kernel takes no frame of ours
	blocked  string // why it passes nothing on although frames come and go, in words
	bond     link.Bond
	looked   bool // the watcher has told of it, so that bond is right
}

// serves reports whether the cluster's addresses may be on the port: the gate guards it.
func (p *port) serves() bool { return p.Role.Gated() && p.index != 0 && p.attached }

// keepEvents is how many events a follower that comes late can still read.
const keepEvents = 1024

// leaveKind says how the daemon ends.
type leaveKind int

const (
	staying    leaveKind = iota
	restarting           // another daemon will adopt the gate
	stopping             // the member leaves the cluster: everything it set is taken back
)

// ErrRestart is what Run returns after the operator asked for another daemon: whoever supervises this one is to start it.
var ErrRestart = errors.New("restart was asked for")

// Run is a member until ctx ends, the operator stops it, or something fails that it cannot go on without. When ctx ends the gate goes on
// serving, for a daemon that follows at once; a stop takes back everything that was set on the host.
func Run(ctx context.Context, o Options) error {
	n, err := newNode(o)
	if err != nil {
		return err
	}
	return n.run(ctx)
}

func newNode(o Options) (*node, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	cfg, err := config.Load(o.Config)
	if err != nil {
		return nil, err
	}
	local, err := cfg.For(o.Member)
	if err != nil {
		return nil, err
	}
	if err := openDescriptors(cfg); err != nil {
		return nil, err
	}
	n := &node{o: o, log: o.Log, cfg: cfg, local: local,
		asks: make(chan func()), left: make(chan struct{}),
		paths: map[[2]uint8]pulse.LinkStats{}, heard: map[[2]uint8]pulse.Heard{}, silent: map[[2]uint8]bool{},
		events:  control.NewEvents(keepEvents),
		asked:   make([]neighbourAsking, len(cfg.Interfaces)),
		systemd: sdnotify.FromEnvironment(),
	}
	if n.store, err = openStore(local.StateDir, o.Log); err != nil {
		return nil, err
	}
	if err := n.dropTaken(); err != nil { // withdrawn again by the monitors
		n.log.Error("forget registrations of devices that are monitors' now", "error", err)
	}
	for _, i := range cfg.Interfaces {
		n.ports = append(n.ports, &port{Interface: i, device: local.Self.Interfaces[i.Name].Device})
	}
	n.trace = openTrace(local.StateDir, newWallClock(), local.Self.Name, o.Log)
	n.store.remade = n.trace.Keep
	digest := cfg.Digest()
	o.Log.Info("a member starts", "cluster", cfg.Name, "id", cfg.ID, "member", local.Self.Name, "mode", cfg.ModeText(),
		"version", build.Version, "configuration", hex.EncodeToString(digest[:8]))
	if err := n.openNotify(); err != nil {
		return nil, errors.Join(err, n.trace.Close(), n.store.close())
	}
	n.newMonitoring()
	n.newCommands()
	n.metrics = metrics.New(metrics.Source{Cluster: cfg.Name, Member: local.Self.Name, Version: build.Version})
	return n, nil
}

// run opens what the member needs, in the order in which it depends on each other, and closes it in the reverse one.
func (n *node) run(ctx context.Context) error {
	if err := n.open(); err != nil {
		return errors.Join(err, n.close())
	}
	// The tasks outlive ctx: the loop's last words need them.
	n.tasks = newSupervisor(context.WithoutCancel(ctx))
	stop := n.start()
	err := n.loop(ctx)
	close(n.left)
	stop()
	return n.end(err)
}

// end waits for the tasks, takes back what is to be taken back, and closes everything. err is what ended the loop.
func (n *node) end(err error) error {
	err = errors.Join(err, n.waitForTasks())
	if n.leave == stopping {
		n.leaving(err)
		err = nil
		// What cannot be taken back stays on record. It is no reason to start the member again that was told to go.
		if e := n.takeBack(); e != nil {
			n.log.Error("take back what was set on this host", "error", e)
		}
	}
	if n.again {
		err = errors.Join(err, ErrRestart)
	}
	n.leaving(n.close())
	return err
}

// leaving puts on record what failed while the member was going. It must not become the daemon's end: the service manager would start
// the member again that was told to go.
func (n *node) leaving(err error) {
	if err != nil {
		n.log.Error("while leaving", "error", err)
	}
}

// Bounds of waitForTasks.
const (
	// wordsFor is how long the lease is kept alive for tasks that end: longer than commands may take (outlive and their killing).
	wordsFor = 2 * time.Second
	// givenUp is when a daemon ends although a task has not: whatever hangs must not keep a member from leaving, nor the next daemon
	// from starting.
	givenUp = 3 * time.Second
)

// waitForTasks waits until every task has ended, and keeps the lease alive for as long as that may reasonably take: the daemon that
// follows shall find the gate serving.
func (n *node) waitForTasks() error {
	return n.tasks.waitAtMost(givenUp, func(waited time.Duration) {
		if n.leave != stopping && waited < wordsFor {
			n.pulse.Word()
		}
	}, n.log)
}
