// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	_ "embed" // of the rules
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/lab/churn"
	"github.com/holdfast-project/holdfast/lab/observe"
	"github.com/holdfast-project/holdfast/lab/ruleset"
	"github.com/holdfast-project/holdfast/lab/topology"
)

//go:embed sync.nft
var syncRules string

// closeNew empties the chain that lets connections begin.
const closeNew = "flush chain inet sync new\n"

// cache is a system that keeps what it learns of the other member's connections outside the kernel until a takeover.
type cache interface {
	// Cached returns how many connections of the other member are held for it; ok is false when they are in the kernel.
	Cached(member string) (n int, ok bool, err error)
	// Commit puts them into the member's kernel, and returns when they are there.
	Commit(ctx context.Context, member string) error
}

// syncStand is a system of two members with rules, ready, for one measurement.
type syncStand struct {
	*stand
	lab             *topology.Lab
	active, standby *topology.Node
	// stuck is how long a count may stand still before it is what it will be.
	stuck time.Duration
}

// openSync builds it and waits until one member serves and the other stands by. On error nothing is left.
func openSync(ctx context.Context, dir string, s System, name string, stuck time.Duration) (*syncStand, error) {
	sd, err := open(ctx, dir, s, topology.DefaultSpec(name, 2), observe.Options{Priority: senderPriority}, func(lab *topology.Lab) error {
		for _, n := range lab.OfKind(topology.Member) {
			if err := prepareMember(n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &syncStand{stand: sd, lab: sd.stage.System.Lab(), stuck: stuck}
	if err := out.name(ctx); err != nil {
		return nil, errors.Join(err, sd.close())
	}
	return out, nil
}

// name finds out who serves.
func (sd *syncStand) name(ctx context.Context) error {
	server, err := sd.stage.ReadyWithin(ctx, bootWithin)
	if err != nil {
		return err
	}
	other, err := sd.stage.Other(server)
	if err != nil {
		return err
	}
	if sd.active, err = sd.lab.Node(server); err != nil {
		return err
	}
	sd.standby, err = sd.lab.Node(other)
	return err
}

// oldAge is the time in seconds that an entry of UDP lives without packets here: no entry leaves while it is measured.
const oldAge = 3600

// prepareMember loads the rules and sets what a measurement needs, on a machine that has just got its kernel's state anew.
func prepareMember(n *topology.Node) error {
	for _, key := range []string{"nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"} {
		if err := n.NS.Sysctl("netfilter/"+key, strconv.Itoa(oldAge)); err != nil {
			return err
		}
	}
	return ruleset.Load(n.NS, syncRules)
}

// entries returns how many entries a member's kernel has.
func entries(n *topology.Node) (count int, err error) {
	err = n.NS.Do(func() error {
		text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
		if err == nil {
			count, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err
	})
	return count, err
}

// cached is the system as a cache; ok is false when what a member knows is in its kernel.
func (sd *syncStand) cached() (c cache, ok bool) {
	if c, ok = sd.stage.System.(cache); !ok {
		return nil, false
	}
	_, ok, err := c.Cached(sd.standby.Name)
	return c, ok || err != nil
}

// held returns how many connections the standby knows, in its kernel or in a cache.
func (sd *syncStand) held() (int, error) {
	if c, ok := sd.cached(); ok {
		n, _, err := c.Cached(sd.standby.Name)
		return n, err
	}
	return entries(sd.standby)
}

// countEvery is how often a count is looked at that is waited for.
const countEvery = 20 * time.Millisecond

// await waits until count returns want or more, and returns when that was seen. A count that is stuck ends it: got is less than want
// then, and at is when it last grew.
func (sd *syncStand) await(ctx context.Context, want int, count func() (int, error)) (at time.Time, got int, err error) {
	at = time.Now()
	for {
		n, err := count()
		if err != nil {
			return at, got, err
		}
		now := time.Now()
		if n > got {
			at, got = now, n
		}
		if got >= want || now.Sub(at) > sd.stuck {
			return at, got, nil
		}
		if err := wait(ctx, countEvery); err != nil {
			return at, got, err
		}
	}
}

// wait waits for d or until ctx ends, with its error then.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// portsApart is the distance between the server's ports of two fillings of one table.
const portsApart = 100

// fill opens n one-way UDP connections through the gateway, each with a packet of its own; rate is in connections a second, 0 as
// fast as it goes. Packets that are lost on the way to the active member are made up for by others. It returns the rate that it came
// to.
func (sd *syncStand) fill(ctx context.Context, n, rate int) (float64, error) {
	before, err := entries(sd.active)
	if err != nil {
		return 0, err
	}
	took, opened := time.Duration(0), 0
	for again := range uint16(maxFills) {
		rep, err := sd.open(ctx, n-opened, rate, churn.DefaultFirstPort+again*portsApart)
		if err != nil {
			return 0, err
		}
		took += rep.Took
		now, err := entries(sd.active)
		if err != nil {
			return 0, err
		}
		if opened = now - before; opened >= n {
			return float64(opened) / took.Seconds(), nil
		}
	}
	return 0, fmt.Errorf("%s has %d of %d connections in its table", sd.active.Name, opened, n)
}

// maxFills is how often a filling is made up for.
const maxFills = 9

// open opens n connections to the server's ports from first on.
func (sd *syncStand) open(ctx context.Context, n, rate int, first uint16) (churn.Report, error) {
	run, err := churn.Start(ctx, churn.Config{
		Client: sd.lab.OfKind(topology.Client)[0], Server: sd.lab.OfKind(topology.Server)[0], Count: n, Rate: rate, FirstPort: first,
	})
	if err != nil {
		return churn.Report{}, err
	}
	select {
	case <-run.Done():
	case <-ctx.Done():
	}
	rep, err := run.Stop()
	if err = errors.Join(err, ctx.Err()); err == nil && rep.Refused > 0 {
		err = fmt.Errorf("the client could not send %d of %d packets", rep.Refused, n)
	}
	return rep, err
}

// filled fills the active member's table and waits until the standby has everything.
func (sd *syncStand) filled(ctx context.Context, n, rate int) error {
	if _, err := sd.fill(ctx, n, rate); err != nil {
		return err
	}
	_, got, err := sd.await(ctx, n, sd.held)
	if err != nil {
		return err
	}
	if got < n {
		return fmt.Errorf("%s knows %d of %d connections", sd.standby.Name, got, n)
	}
	return nil
}

// cpu is the processor time that everything on a member has used since its boot.
func (sd *syncStand) cpu(n *topology.Node) (time.Duration, error) {
	m, err := sd.stage.System.Machine(n.Name)
	if err != nil {
		return 0, err
	}
	return m.CPU()
}

// memory is the most that a member's processes have had resident, in MB, of the member that had more.
func (sd *syncStand) memory() (float64, error) {
	most := int64(0)
	for _, n := range []*topology.Node{sd.active, sd.standby} {
		m, err := sd.stage.System.Machine(n.Name)
		if err != nil {
			return 0, err
		}
		bytes, err := m.PeakMemory()
		if err != nil {
			return 0, err
		}
		most = max(most, bytes)
	}
	return float64(most) / (1 << 20), nil
}
