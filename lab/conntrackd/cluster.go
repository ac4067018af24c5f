// SPDX-License-Identifier: Apache-2.0

package conntrackd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/holdfast-project/holdfast/lab/keepalived"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Options say how the two are configured.
type Options struct {
	// Name is the system's name in reports; "" makes conntrackd or conntrackd-direct.
	Name string
	// Dir is an existing directory for configurations, logs and sockets, of a short path.
	Dir string
	// Advert is keepalived's advertisement interval.
	Advert time.Duration
	// Direct puts entries straight into the backup's kernel instead of a cache of its own that is committed at a takeover.
	Direct bool
	// Share lets both members serve, each its share of the load (keepalived.Options.Shares), and returns the command that a member's keepalived has
	// follow what becomes of the shares, in place of the script that conntrack-tools ships. nil: one serves.
	Share func(member string) string
	// Prepare prepares a machine each time that it has booted, before conntrackd starts there. nil does nothing.
	Prepare func(m *machine.Machine) error
}

// Cluster is keepalived and conntrackd on both members of a topology. It is a machine.System and safe for concurrent use.
type Cluster struct {
	*keepalived.Cluster
	opts Options
}

var _ machine.System = (*Cluster)(nil)

// New writes the members' configurations; they are off until Boot. Close must be called in any case.
func New(lab *topology.Lab, o Options) (*Cluster, error) {
	if o.Name == "" {
		o.Name = "conntrackd"
		if o.Direct {
			o.Name = "conntrackd-direct"
		}
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir = dir
	for _, n := range lab.OfKind(topology.Member) {
		if err := writeFiles(lab, o, n); err != nil {
			return nil, err
		}
	}
	c := &Cluster{opts: o}
	with := keepalived.Options{Name: o.Name, Dir: o.Dir, Advert: o.Advert, RealTime: true, Beside: c.start}
	if o.Share != nil {
		with.Shares, with.Follow = true, o.Share
	} else {
		with.Notify = func(member string) string { return o.path(member, "primary-backup.sh") }
	}
	c.Cluster, err = keepalived.New(lab, with)
	return c, err
}

// pollEvery is how often a daemon that starts is asked whether it answers.
const pollEvery = 5 * time.Millisecond

// start starts conntrackd on a machine and waits until it answers.
func (c *Cluster) start(ctx context.Context, m *machine.Machine) error {
	member := m.Node().Name
	if c.opts.Prepare != nil {
		if err := c.opts.Prepare(m); err != nil {
			return err
		}
	}
	path, err := exec.LookPath("conntrackd")
	if err != nil {
		return fmt.Errorf("%w: install Debian's package conntrackd", err)
	}
	for _, file := range []string{"conntrackd.lock", "conntrackd.ctl"} { // what a machine without power left
		if err := os.Remove(c.opts.path(member, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	out, err := os.OpenFile(c.opts.path(member, "conntrackd.out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close() // the daemon has its own
	cmd := exec.Command(path, "-C", ConfigFile(c.opts.Dir, member))
	cmd.Stdout, cmd.Stderr = out, out
	run, err := m.Start(cmd)
	if err != nil {
		return err
	}
	for {
		_, err := c.Stats(member)
		if err == nil {
			return nil
		}
		select {
		case <-run.Done():
			return fmt.Errorf("conntrackd ended: %w: see %s", run.Wait(), out.Name())
		case <-ctx.Done():
			return fmt.Errorf("conntrackd does not answer: %w", err)
		case <-time.After(pollEvery):
		}
	}
}

// Cached returns how many connections of the other member a member has in its external cache; ok is false when it has none, because
// they are in its kernel. Benchmarks ask for it, and for Commit, by an interface of theirs.
func (c *Cluster) Cached(member string) (n int, ok bool, err error) {
	if c.opts.Direct {
		return 0, false, nil
	}
	s, err := c.Stats(member)
	return s.External, true, err
}

// Commit puts a member's external cache into its kernel, and returns when that is done.
func (c *Cluster) Commit(ctx context.Context, member string) error {
	return c.command(ctx, member, "-c")
}

// command runs conntrackd as a client on a member ("-c" commits) and returns when that has ended.
func (c *Cluster) command(ctx context.Context, member string, args ...string) error {
	m, err := c.Machine(member)
	if err != nil {
		return err
	}
	path, err := exec.LookPath("conntrackd")
	if err != nil {
		return err
	}
	cmd := exec.Command(path, append([]string{"-C", ConfigFile(c.opts.Dir, member)}, args...)...)
	run, err := m.Start(cmd)
	if err != nil {
		return err
	}
	select {
	case <-run.Done():
		if err := run.Wait(); err != nil {
			return fmt.Errorf("member %s: conntrackd %v: %w", member, args, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("member %s: conntrackd %v: %w", member, args, ctx.Err())
	}
}
