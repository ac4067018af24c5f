// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"path/filepath"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/dataplane/announce"
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/link"
	"github.com/holdfast-project/holdfast/dataplane/neighbour"
	"github.com/holdfast-project/holdfast/internal/build"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/defines"
	"github.com/holdfast-project/holdfast/internal/pulse"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/gate"
)

// open loads or adopts the gate before anything of the cluster's becomes an address of this host: otherwise the stack could
// answer for it.
func (n *node) open() error {
	timers := n.cfg.Timers
	if n.cfg.LoadSharing != nil {
		_ = conntrack.Load() // the gate asks for connections only if there are any when it is loaded; the sync plane says what is wrong
	}
	loaded, err := bpf.Open(bpf.Options{
		PinDir: n.local.PinDir, Attach: bpf.Attach(n.cfg.Attach),
		Self: n.local.Self.ID, Members: uint8(len(n.cfg.Members)), Cluster: n.cfg.ID, EtherType: n.cfg.CCP.EtherType,
		Soft: timers.Soft, Hard: timers.Hard, Watch: timers.Watch, Linger: timers.Linger,
		Incarnation: random64(),
	})
	if err != nil {
		return err
	}
	n.gate, n.words = loaded, loaded.Words()
	if orphans := loaded.Orphans(); len(orphans) > 0 {
		n.log.Warn("something on this machine removed the words of the gate that was here, which cannot be adopted without: the rest of it was "+
			"taken off, and the gate begins anew", "directory", n.local.PinDir, "pins", orphans)
	}
	if n.host, err = link.OpenHost(filepath.Join(n.local.StateDir, "host.json"), n.log); err != nil {
		return err
	}
	n.watcher = link.NewWatcher(n.log)
	n.announcer = announce.New(n.log)
	n.asker = neighbour.New(n.log)
	n.guard, n.ways, n.tracking = newGuard(n.gate.Missing), newWays(), newTracking(n.log)
	keys, err := readKeys(n.cfg)
	if err != nil {
		return err
	}
	n.wire = newWire(n)
	if err := n.gate.SetTimers(timers.Soft, timers.Hard, timers.Watch, timers.Linger); err != nil {
		return err
	}
	if err := n.loadKeys(keys); err != nil {
		return err
	}
	if err := n.openSync(); err != nil {
		return err
	}
	if err := n.openShare(); err != nil {
		return err
	}
	if err := n.openPolicy(); err != nil {
		return err
	}
	n.forgetQuiet()
	for _, p := range n.ports {
		n.findDevice(p)
		n.listenFirst(p)
	}
	if n.words.Serving(gateway, bpf.Boottime())&gate.Answer != 0 {
		n.serve.open = true
		n.tellHost(gateway, true)
	}
	if err := n.applyPorts(); err != nil {
		return err
	}
	return n.openMachine()
}

// openMachine starts the state machine with what is found on this machine.
func (n *node) openMachine() error {
	now := bpf.Boottime()
	n.boot = members.Boot{Now: now, Incarnation: n.wire.incarnation, Gate: n.gateState(gateway), AdminDown: n.store.AdminDown}
	// The first claim takes a term above what was used. Now is the time to wait for the disk. One that refuses keeps nobody from serving: the
	// gates know the terms too, all but those that boot together with this one.
	var err error
	if n.boot.StoredTerm, err = n.store.begin(n.gate.Incarnation(), n.gate.Adopted(), n.boot.Gate.FenceTerm); err != nil {
		n.log.Error("the disk takes no terms, going on without; it is tried again", "error", err)
		n.store.want(max(n.boot.StoredTerm, n.boot.Gate.FenceTerm) + 1)
	}
	if n.gate.Adopted() {
		// Nobody shall yield the gateway away while this daemon finds its feet. In load sharing the agreement about slots, if its gate had one,
		// knows when that is (steer.Restarted); else it is endRestart that takes the word back.
		n.words.SetRestarting(now + int64(n.cfg.Timers.Restarting))
		n.settling = !n.share.adopted
		n.log.Info("gate adopted", "serving", n.boot.Gate.Serving, "term", n.boot.Gate.LeaseTerm)
	}
	n.machine = members.New(n.machineConfig(), n.boot)
	n.pulse, err = n.startPulse()
	return err
}

// startPulse starts a pulse. It finds the gate's words by their pin, which somebody may have removed a moment ago.
func (n *node) startPulse() (*pulse.Pulse, error) {
	restored, unpinned := n.gate.KeepPins()
	if len(restored) > 0 {
		n.log.Warn("something on this machine removed pins of the gate; they are put back", "directory", n.local.PinDir, "pins", restored)
	}
	p, err := pulse.Start(context.Background(), n.o.Exe, n.pulseConfig(), n.log)
	if err != nil {
		return nil, errors.Join(unpinned, err)
	}
	return p, nil
}

// close lets go of everything and leaves the gate in place.
func (n *node) close() error {
	var errs []error
	if n.pulse != nil {
		errs = append(errs, n.pulse.Close())
		n.boundRestart()
	}
	if n.wire != nil {
		n.wire.close()
	}
	if n.host != nil {
		errs = append(errs, n.host.Close())
	}
	if n.gate != nil {
		errs = append(errs, n.gate.Close())
	}
	errs = append(errs, n.trace.Close())
	errs = append(errs, n.store.close()) // last: from now on another daemon may be this member
	return errors.Join(errs...)
}

// takeBack undoes everything that was set on this host, the gate last: until then it keeps the stack from answering.
func (n *node) takeBack() error {
	_, unpinned := n.gate.KeepPins() // what is removed is found by them
	return errors.Join(n.pulse.Close(), n.host.Restore(), unpinned, bpf.Remove(n.local.PinDir), defines.Remove(defines.Path(n.cfg.Name, n.local.Self.Name)))
}

// start runs the tasks. The returned function ends those that would outlive the loop.
func (n *node) start() (stop context.CancelFunc) {
	ctx, stop := context.WithCancel(n.tasks.ctx)
	in := func(name string, run func(context.Context) error) {
		n.tasks.start(task{name: name, run: func(context.Context) error { return run(ctx) }})
	}
	n.links = link.NewWorker(n.host, n.log)
	in("links", n.links.Serve)
	in("link watcher", n.watcher.Serve)
	in("gate guard", n.guard.serve)
	in("ways", n.ways.serve)
	in("connection tracking", n.tracking.serve)
	in("announcements", n.announcer.Serve)
	in("neighbours", n.asker.Serve)
	server := &control.Server{Backend: &backend{n}, Events: n.events, Log: n.log, Version: build.Version}
	socket := n.local.Socket // a reload replaces n.local
	in("control", func(ctx context.Context) error { return server.Serve(ctx, socket) })
	if listen := n.local.Listen; listen != "" {
		in("metrics", func(ctx context.Context) error { return n.serveMetrics(ctx, listen) })
	}
	in("store", n.store.serve)
	in("history", n.trace.Serve)
	in("notifications", n.notify.Serve)
	in("monitors", n.monitors.Serve)
	in("routing commands", n.commands.serve)
	in("state synchronisation", n.serveSync)
	if n.policy.plane != nil {
		in("policies", n.servePolicy)
	}
	if n.policy.manager != nil {
		in("management", n.serveManager)
	}
	n.wire.start(in)
	return stop
}

// serveMetrics goes on trying: an address that is not there yet must not keep a member from serving.
func (n *node) serveMetrics(ctx context.Context, listen string) error {
	for ctx.Err() == nil {
		if err := n.metrics.Serve(ctx, listen); ctx.Err() == nil {
			n.log.Warn("metrics endpoint, trying again", "listen", listen, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
	return nil
}

// random64 returns a number that nobody can guess and that is not 0.
func random64() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		if v := binary.NativeEndian.Uint64(b[:]); v != 0 {
			return v
		}
	}
}
