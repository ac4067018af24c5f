// SPDX-License-Identifier: Apache-2.0

package node

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/internal/monitor"
	"github.com/holdfast-project/holdfast/members"
)

// outlive is how long commands may go on once the daemon ends, all together: longer than that, and what it takes to kill one, nobody
// shall wait for a member that leaves.
const outlive = 1500 * time.Millisecond

// commands runs the routing commands beside the loop, one after the other. Of those that come while one runs only the last remains: it
// is the one that fits the state.
type commands struct {
	runner *monitor.Runner
	store  *store
	next   chan command
	ended  chan commandEnd
	// before is what an earlier daemon of this boot ran last, nil for nothing, and settled is set once that is in line with the state; the
	// loop's.
	before  *lastCommand
	settled bool
}

// command is what one change of the serving member asks for.
type command struct {
	when    string // as in cluster.yaml
	run     monitor.Command
	timeout time.Duration
}

// commandEnd is what became of a command.
type commandEnd struct {
	when, last string
	err        error
}

func (n *node) newCommands() {
	n.commands = commands{runner: monitor.NewRunner(n.log), store: n.store, before: n.store.lastCommand(), next: make(chan command, 1), ended: make(chan commandEnd, 8)}
}

// runOnChange asks for the command of a change of this member's state, if there is one. A daemon that finds its member serving, or not,
// changed nothing: it asks for the command only if its predecessor did not get it done.
func (n *node) runOnChange(r members.Record) {
	serves := func(s members.State) bool { return s == members.StateActive || s == members.StateActiveAttention }
	when, state, line := "on-standby", "standby", n.cfg.Routing.OnStandby
	if serves(r.To) {
		when, state, line = "on-active", "active", n.cfg.Routing.OnActive
	}
	changed := r.Code != members.CodeAdopted && serves(r.From) != serves(r.To)
	if !changed && (n.commands.settled || r.To == members.StateInit) {
		return // nothing new, or not known yet
	}
	before := n.commands.before
	owed := !n.commands.settled && before != nil && (before.When != when || !before.Done)
	n.commands.settled = true
	if !changed && !owed {
		return
	}
	select {
	case <-n.commands.next: // what waits is out of date
	default:
	}
	if line != "" {
		n.commands.next <- command{when: when, timeout: n.cfg.Routing.Timeout,
			run: n.command(line, n.cfg.Routing.User, "HOLDFAST_STATE="+state)}
	}
}

// serve runs commands until ctx ends, and then the one that waits.
func (c *commands) serve(ctx context.Context) error {
	defer c.runner.Close()
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(outlive, cancel) })()
	for {
		select {
		case next := <-c.next:
			c.runOne(ctx, life, next)
		case <-ctx.Done():
			select {
			case next := <-c.next:
				c.runOne(ctx, life, next)
			default:
			}
			return nil
		}
	}
}

// runOne runs a command until it ends, its time does, or that of all commands.
func (c *commands) runOne(ctx, life context.Context, next command) {
	limit, cancel := context.WithTimeout(life, next.timeout)
	defer cancel()
	noted := make(chan struct{})
	go func() { // the command does not wait for the disk
		defer close(noted)
		c.store.noteCommand(next.when, false)
	}()
	last, err := c.runner.Run(limit, next.when, next.run)
	<-noted
	if err == nil {
		c.store.noteCommand(next.when, true)
	}
	select {
	case c.ended <- commandEnd{next.when, last, err}:
	case <-ctx.Done(): // nobody reads any more
	}
}

// commandEnded tells operators what became of a command.
func (n *node) commandEnded(e commandEnd) {
	if e.err == nil {
		n.say(members.CodeCommandDone, "routing."+e.when+" has run")
		return
	}
	n.say(members.CodeCommandFailed, fmt.Sprintf("routing.%s: %v: %s", e.when, e.err, cmp.Or(e.last, "it said nothing")))
}
