// SPDX-License-Identifier: Apache-2.0

package members

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Cluster is Holdfast on all members of a topology. It is a machine.System and safe for concurrent use.
type Cluster struct {
	lab     *topology.Lab
	opts    Options
	members []*Member
	events  eventLog
	follow  context.CancelFunc
	tasks   *errgroup.Group
}

var _ machine.System = (*Cluster)(nil)

// New writes the cluster's files and prepares its members; they are off until Boot. Close must be called in any case.
func New(lab *topology.Lab, o Options) (*Cluster, error) {
	if len(o.Dir) > 60 {
		return nil, fmt.Errorf("directory %s: too long a path for sockets in it", o.Dir)
	}
	binary, err := FindBinary(o.Binary)
	if err != nil {
		return nil, err
	}
	if err := writeFiles(lab, o); err != nil {
		return nil, fmt.Errorf("cluster's files: %w", err)
	}
	c := &Cluster{lab: lab, opts: o, tasks: new(errgroup.Group)}
	ctx, cancel := context.WithCancel(context.Background())
	c.follow = cancel
	for _, n := range lab.OfKind(topology.Member) {
		m := &Member{
			name: n.Name, opts: o, binary: binary, config: o.Config(),
			machine: machine.New(lab, n), client: control.NewClient(o.Socket(n.Name)),
		}
		if build := o.Builds[n.Name]; build != ThisBuild {
			if err := m.Use(build); err != nil {
				return nil, errors.Join(err, c.Close())
			}
		}
		c.members = append(c.members, m)
		c.tasks.Go(func() error { c.events.follow(ctx, m); return nil })
	}
	return c, nil
}

// Name implements machine.System: holdfast, or holdfast-PROFILE.
func (c *Cluster) Name() string {
	if c.opts.Profile == "" || c.opts.Profile == "appliance" {
		return "holdfast"
	}
	return "holdfast-" + c.opts.Profile
}

// Lab implements machine.System.
func (c *Cluster) Lab() *topology.Lab { return c.lab }

// Options returns what the cluster was made with.
func (c *Cluster) Options() Options { return c.opts }

// Members lists the members in order.
func (c *Cluster) Members() []*Member { return slices.Clone(c.members) }

// Member returns the member of that name.
func (c *Cluster) Member(name string) (*Member, error) {
	for _, m := range c.members {
		if m.name == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("no member %q", name)
}

// Machine implements machine.System.
func (c *Cluster) Machine(name string) (*machine.Machine, error) {
	m, err := c.Member(name)
	if err != nil {
		return nil, err
	}
	return m.machine, nil
}

// Boot implements machine.System. It returns when all daemons answer on their sockets.
func (c *Cluster) Boot(ctx context.Context) error {
	var names []string
	for _, m := range c.members {
		if !m.machine.Booted() {
			names = append(names, m.name)
		}
	}
	return c.BootOnly(ctx, names...)
}

// BootOnly switches these members on, at the same time, and returns when their daemons answer.
func (c *Cluster) BootOnly(ctx context.Context, names ...string) error {
	var g errgroup.Group
	for _, name := range names {
		m, err := c.Member(name)
		if err != nil {
			return err
		}
		g.Go(func() error {
			if err := m.boot(); err != nil {
				return err
			}
			return m.awaitAnswer(ctx)
		})
	}
	return g.Wait()
}

// States asks every member that is on. Members that do not answer in time are not in the result.
func (c *Cluster) States(ctx context.Context) map[string]control.State {
	var mu sync.Mutex
	var wg sync.WaitGroup
	states := map[string]control.State{}
	for _, m := range c.members {
		if !m.Answering() {
			continue
		}
		wg.Go(func() {
			s, err := m.state(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			states[m.name] = s
		})
	}
	wg.Wait()
	return states
}

// Serving implements machine.System.
func (c *Cluster) Serving(ctx context.Context) []string {
	var serving []string
	states := c.States(ctx)
	for _, m := range c.members {
		for _, s := range states[m.name].Members {
			if s.Local && s.Answer {
				serving = append(serving, m.name)
			}
		}
	}
	return serving
}

// PowerOff implements machine.System.
func (c *Cluster) PowerOff(name string) error {
	m, err := c.Member(name)
	if err != nil {
		return err
	}
	_, err = m.machine.PowerOff()
	return err
}

// PowerOn implements machine.System. It returns when the daemon answers.
func (c *Cluster) PowerOn(ctx context.Context, name string) error {
	m, err := c.Member(name)
	if err != nil {
		return err
	}
	if err := m.boot(); err != nil {
		return err
	}
	return m.awaitAnswer(ctx)
}

// Kill implements machine.System.
func (c *Cluster) Kill(name string, part machine.Part) error {
	return c.signal(name, unix.SIGKILL, part)
}

// Stop implements machine.System.
func (c *Cluster) Stop(name string, part machine.Part) error {
	return c.signal(name, unix.SIGSTOP, part)
}

// Continue implements machine.System.
func (c *Cluster) Continue(name string, part machine.Part) error {
	return c.signal(name, unix.SIGCONT, part)
}

func (c *Cluster) signal(name string, sig unix.Signal, part machine.Part) error {
	m, err := c.Member(name)
	if err != nil {
		return err
	}
	return m.signal(sig, part)
}

// Start implements machine.System.
func (c *Cluster) Start(ctx context.Context, name string) error {
	m, err := c.Member(name)
	if err != nil {
		return err
	}
	if err := m.start(); err != nil {
		return err
	}
	return m.awaitAnswer(ctx)
}

// Restart implements machine.System: it ends the daemon as systemd does and starts it again.
func (c *Cluster) Restart(ctx context.Context, name string) error {
	m, err := c.Member(name)
	if err != nil {
		return err
	}
	if err := m.signal(unix.SIGTERM, machine.MainPart); err != nil {
		return err
	}
	if err := m.awaitEnd(ctx); err != nil {
		return err
	}
	return c.Start(ctx, name)
}

// Upgrade restarts a member's daemon from another build; the gate in its kernel serves on meanwhile.
func (c *Cluster) Upgrade(ctx context.Context, name string, b Build) error {
	m, err := c.Member(name)
	if err != nil {
		return err
	}
	if err := m.Use(b); err != nil {
		return err
	}
	return c.Restart(ctx, name)
}

// Configure gives a member a configuration of its own with these lines instead of the ones of the same top-level key, from its
// daemon's next start or reload on; without lines the one that all have.
func (c *Cluster) Configure(name string, lines []string) error {
	m, err := c.Member(name)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		m.setConfig(c.opts.Config())
		return nil
	}
	own := c.opts.OwnConfig(name)
	if err := os.WriteFile(own, []byte(override(YAML(c.lab, c.opts), lines)), 0o644); err != nil {
		return err
	}
	m.setConfig(own)
	return nil
}

// Handover implements machine.System.
func (c *Cluster) Handover(ctx context.Context, to string) error {
	return c.FailoverTo(ctx, to, 0)
}

// FailoverTo moves the gateway to a member and holds it there for some time.
func (c *Cluster) FailoverTo(ctx context.Context, to string, hold time.Duration) error {
	m, err := c.Member(to)
	if err != nil {
		return err
	}
	_, err = m.client.Failover(ctx, control.FailoverRequest{To: to, For: control.Duration(hold)})
	return err
}

// Watch implements machine.System.
func (c *Cluster) Watch(ctx context.Context, fn func(machine.Change)) {
	c.events.watch(ctx, func(e Event) {
		if e.OwnChange() {
			fn(machine.Change{At: e.At, Member: e.On, From: e.From, To: e.To, Reason: e.Reason})
		}
	})
}

// WatchEvents calls fn with every event of every member from now on, until ctx ends. fn must be safe for concurrent use.
func (c *Cluster) WatchEvents(ctx context.Context, fn func(Event)) { c.events.watch(ctx, fn) }

// Events returns what the members have told so far, each member's in its order.
func (c *Cluster) Events() []Event { return c.events.all() }

// Close implements machine.System.
func (c *Cluster) Close() error {
	c.follow()
	errs := make([]error, len(c.members))
	var wg sync.WaitGroup
	for i, m := range c.members { // at the same time: the kernel takes a while to let a machine go
		wg.Go(func() {
			errs[i] = m.machine.Close()
			m.client.Close()
		})
	}
	wg.Wait()
	return errors.Join(append(errs, c.tasks.Wait())...)
}
