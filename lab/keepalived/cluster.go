// SPDX-License-Identifier: Apache-2.0

package keepalived

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Cluster is keepalived on all members of a topology. It is a machine.System and safe for concurrent use.
type Cluster struct {
	lab     *topology.Lab
	opts    Options
	members []*member

	mu       sync.Mutex
	watchers []watcher
}

type watcher struct {
	ctx context.Context
	fn  func(machine.Change)
}

var _ machine.System = (*Cluster)(nil)

// New writes the members' configurations; they are off until Boot. Close must be called in any case.
func New(lab *topology.Lab, o Options) (*Cluster, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	c := &Cluster{lab: lab, opts: o}
	for _, n := range lab.OfKind(topology.Member) {
		if err := os.MkdirAll(filepath.Join(o.Dir, n.Name), 0o700); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		if err := os.WriteFile(o.path(n.Name, "keepalived.conf"), []byte(Config(lab, o, n)), 0o600); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		m := &member{name: n.Name, opts: o, machine: machine.New(lab, n), groups: len(groups(lab, o, n)), states: map[string]string{}, notify: c.notify}
		c.members = append(c.members, m)
		if err := m.open(); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// Name implements machine.System.
func (c *Cluster) Name() string {
	switch {
	case c.opts.Name != "":
		return c.opts.Name
	case c.opts.Advert == 0:
		return "keepalived-default"
	default:
		return "keepalived-" + c.opts.Advert.String()
	}
}

// Lab implements machine.System.
func (c *Cluster) Lab() *topology.Lab { return c.lab }

func (c *Cluster) member(name string) (*member, error) {
	for _, m := range c.members {
		if m.name == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("no member %q", name)
}

// Machine implements machine.System.
func (c *Cluster) Machine(name string) (*machine.Machine, error) {
	m, err := c.member(name)
	if err != nil {
		return nil, err
	}
	return m.machine, nil
}

// Machines are all members', in order.
func (c *Cluster) Machines() []*machine.Machine {
	var out []*machine.Machine
	for _, m := range c.members {
		out = append(out, m.machine)
	}
	return out
}

// Boot implements machine.System. It returns when every keepalived has said a state.
func (c *Cluster) Boot(ctx context.Context) error {
	var g errgroup.Group
	for _, m := range c.members {
		if !m.machine.Booted() {
			g.Go(func() error { return m.boot(ctx) })
		}
	}
	return g.Wait()
}

// Serving implements machine.System.
func (c *Cluster) Serving(context.Context) []string {
	var out []string
	for _, m := range c.members {
		if m.serves() {
			out = append(out, m.name)
		}
	}
	return out
}

// PowerOff implements machine.System.
func (c *Cluster) PowerOff(name string) error {
	m, err := c.member(name)
	if err != nil {
		return err
	}
	_, err = m.machine.PowerOff()
	return err
}

// PowerOn implements machine.System.
func (c *Cluster) PowerOn(ctx context.Context, name string) error {
	m, err := c.member(name)
	if err != nil {
		return err
	}
	return m.boot(ctx)
}

// Kill implements machine.System. Its processes are stopped first: a keepalived whose parent is killed alone leaves in good
// order, which is not what is to be measured.
func (c *Cluster) Kill(name string, _ machine.Part) error {
	m, err := c.member(name)
	if err != nil {
		return err
	}
	if err := m.signal(unix.SIGSTOP); err != nil {
		return err
	}
	return m.signal(unix.SIGKILL)
}

// Stop implements machine.System.
func (c *Cluster) Stop(name string, _ machine.Part) error { return c.signal(name, unix.SIGSTOP) }

// Continue implements machine.System.
func (c *Cluster) Continue(name string, _ machine.Part) error { return c.signal(name, unix.SIGCONT) }

func (c *Cluster) signal(name string, sig unix.Signal) error {
	m, err := c.member(name)
	if err != nil {
		return err
	}
	return m.signal(sig)
}

// Start implements machine.System.
func (c *Cluster) Start(ctx context.Context, name string) error {
	m, err := c.member(name)
	if err != nil {
		return err
	}
	return m.start(ctx)
}

// Restart implements machine.System.
func (c *Cluster) Restart(ctx context.Context, name string) error {
	m, err := c.member(name)
	if err != nil {
		return err
	}
	if err := m.end(ctx); err != nil {
		return err
	}
	return m.start(ctx)
}

// Handover implements machine.System: keepalived has no command for it, so operators stop it on the others (standbys first,
// that the gateway does not go to them), and start it again.
func (c *Cluster) Handover(ctx context.Context, to string) error {
	taker, err := c.member(to)
	if err != nil {
		return err
	}
	var others []*member
	for _, m := range c.members {
		if m != taker && m.machine.Booted() {
			others = append(others, m)
		}
	}
	slices.SortStableFunc(others, func(a, b *member) int { return rank(a) - rank(b) })
	for _, m := range others {
		if err := m.end(ctx); err != nil {
			return err
		}
	}
	for !taker.serves() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("hand-over to %s: it does not take over: %w", to, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
	for _, m := range others {
		if err := m.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// rank puts who serves last.
func rank(m *member) int {
	if m.serves() {
		return 1
	}
	return 0
}

// Watch implements machine.System.
func (c *Cluster) Watch(ctx context.Context, fn func(machine.Change)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers = append(c.watchers, watcher{ctx, fn})
}

func (c *Cluster) notify(change machine.Change) {
	c.mu.Lock()
	c.watchers = slices.DeleteFunc(c.watchers, func(w watcher) bool { return w.ctx.Err() != nil })
	watchers := slices.Clone(c.watchers)
	c.mu.Unlock()
	for _, w := range watchers {
		w.fn(change)
	}
}

// Close implements machine.System.
func (c *Cluster) Close() error {
	var errs []error
	for _, m := range c.members {
		errs = append(errs, m.machine.Close(), m.close())
	}
	return errors.Join(errs...)
}
