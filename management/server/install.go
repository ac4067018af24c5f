// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/coordinator"
	"github.com/holdfast-project/holdfast/management/rollout"
	"github.com/holdfast-project/holdfast/policy"
)

// Bounds of times that people may ask for.
const (
	mostPrepare = 10 * time.Minute
	mostConfirm = 24 * time.Hour
)

// install makes a new generation of what the body has.
func (c *call) install() (any, error) {
	var q api.InstallRequest
	if err := c.body(&q); err != nil {
		return nil, err
	}
	b := policy.Bundle{File: filepath.Base(q.File), Ruleset: q.Ruleset, Comment: q.Comment, Author: c.who.User}
	if q.File == "" {
		b.File = "policy.nft"
	}
	if len(q.Ruleset) > policy.MaxRuleset {
		return nil, &api.Error{Code: api.CodeTooLarge, What: fmt.Sprintf("a ruleset of %d bytes", len(q.Ruleset)), WayOut: fmt.Sprintf("at most %d", policy.MaxRuleset)}
	}
	for _, text := range q.Sync {
		r, err := policy.ParseSyncRule(text)
		if err != nil {
			return nil, invalid("sync: "+err.Error(), "write SERVICE=never or SERVICE=3s")
		}
		b.Sync = append(b.Sync, r)
	}
	for _, text := range q.Keep {
		s, err := policy.ParseSet(text)
		if err != nil {
			return nil, invalid("keep: "+err.Error(), "write FAMILY TABLE SET")
		}
		b.Keep = append(b.Keep, s)
	}
	if q.Connections != "" {
		var err error
		if b.Connections, err = policy.ParseConnections(q.Connections); err != nil {
			return nil, invalid("connections: "+err.Error(), "write keep or rematch")
		}
	}
	return c.put(b, q.InstallOptions)
}

// rollback makes a new generation of an old one's content.
func (c *call) rollback() (any, error) {
	var q api.RollbackRequest
	if err := c.body(&q); err != nil {
		return nil, err
	}
	one, err := c.server.o.Records.Cluster(c.context(), c.path("cluster"))
	if err != nil {
		return nil, err
	}
	if q.To == 0 {
		q.To = one.Previous.Generation
	}
	if q.To == 0 {
		return nil, &api.Error{Code: api.CodeRefused, What: fmt.Sprintf("cluster %s has no policy before its current one", one.Name), WayOut: "name the generation"}
	}
	_, sealed, err := c.bundle(q.To)
	if err != nil {
		return nil, err
	}
	b := *sealed.Bundle()
	b.Author, b.Comment, b.Origin = c.who.User, q.Comment, q.To
	if b.Comment == "" {
		b.Comment = fmt.Sprintf("back to generation %d", q.To)
	}
	return c.put(b, q.InstallOptions)
}

// put checks, installs, and tells how it goes, a line at a time.
func (c *call) put(b policy.Bundle, o api.InstallOptions) (any, error) {
	one, err := c.server.o.Records.Cluster(c.context(), c.path("cluster"))
	if err != nil {
		return nil, err
	}
	order, err := c.order(one, b, o)
	if err != nil {
		return nil, err
	}
	k, err := c.check(one, &b, order.Members, o.Strict)
	if err != nil {
		return nil, err
	}
	if o.CheckOnly || len(b.Ruleset) <= checkFirst {
		err = k.all()
	}
	var found api.Checked
	if err == nil {
		found, err = k.result()
	}
	if err != nil || !found.Later {
		k.stop()
	}
	if err != nil {
		return nil, err
	}
	if o.CheckOnly {
		c.lines()(api.InstallLine{Checked: &found})
		return streamed{}, nil
	}
	if found.Later {
		order.Check = k.vote()
	}
	// What was checked is installed even if the client is gone: it may look for it later, and must not leave half of it.
	ctx, cancel := c.lasting(inTime)
	defer cancel()
	a, err := c.server.o.Coordinator.Install(ctx, order)
	if err != nil {
		return nil, err
	}
	c.done() // to watch is nothing: others may begin
	if !found.Later {
		k = nil
	}
	cluster := one.Name
	return streamed{func() {
		say := c.lines()
		say(api.InstallLine{Checked: &found})
		c.follow(cluster, a.Number, k, say)
	}}, nil
}

// order is what the coordinator is asked for.
func (c *call) order(one management.Cluster, b policy.Bundle, o api.InstallOptions) (coordinator.Install, error) {
	order := coordinator.Install{Cluster: one.Name, Bundle: b, BestEffort: o.BestEffort, Manual: o.ConfirmWithinMs != 0, By: c.actor, Members: one.Members}
	for _, t := range []struct {
		name string
		ms   int64
		most time.Duration
		to   *time.Duration
	}{{"prepare_within_ms", o.PrepareWithinMs, mostPrepare, &order.PrepareWithin}, {"confirm_within_ms", o.ConfirmWithinMs, mostConfirm, &order.ConfirmWithin}} {
		if t.ms < 0 || t.ms > t.most.Milliseconds() || t.ms != 0 && t.ms < 1000 {
			return order, invalid(fmt.Sprintf("%s %d", t.name, t.ms), fmt.Sprintf("1000 to %d", t.most.Milliseconds()))
		}
		*t.to = time.Duration(t.ms) * time.Millisecond
	}
	if len(o.Members) == 0 {
		return order, nil
	}
	for i, name := range o.Members {
		if !one.Has(name) || slices.Contains(o.Members[:i], name) {
			return order, invalid(fmt.Sprintf("member %.64q", name), fmt.Sprintf("name members of %s, each once: %v", one.Name, one.Members))
		}
	}
	order.Members = o.Members
	return order, nil
}

// lines begins an answer of newline-delimited JSON and returns what writes a line of it.
func (c *call) lines() func(api.InstallLine) {
	h := c.w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Cache-Control", "no-store")
	out := json.NewEncoder(c.w)
	flush := http.NewResponseController(c.w)
	return func(l api.InstallLine) {
		c.deadlines(c.server.o.lineWithin)
		_ = out.Encode(l) // who is gone needs no answer: its context ends the stream
		_ = flush.Flush()
		// Until the next line there may be nothing to tell for hours, and a deadline ends the stream also then. A client that is gone is found by pings.
		_ = flush.SetReadDeadline(time.Time{})
		_ = flush.SetWriteDeadline(time.Time{})
	}
}

// linger is how long the stream waits, once the end is decided, for the members to say that they know.
const linger = 3 * time.Second

// follow tells of an attempt until it is over, and how its check ends; nil: it has ended.
func (c *call) follow(cluster string, number uint64, k *checking, say func(api.InstallLine)) {
	progress, err := c.server.o.Coordinator.Watch(c.context(), cluster, number)
	if err != nil {
		say(api.InstallLine{Error: c.server.explain(err)})
		return
	}
	var enough <-chan time.Time
	var checked <-chan struct{}
	if k != nil {
		checked = k.over
	}
	ended, committed := false, false
	result := func() {
		if !ended {
			return
		}
		// What it refuses ends the attempt, which says so; and what was not tried was loaded by members if it was committed.
		if found, err := k.result(); err == nil && (committed || len(found.Loaded) == 0) {
			ended = false
			say(api.InstallLine{Checked: &found})
		}
	}
	for {
		select {
		case <-checked:
			checked, ended = nil, true
			result()
		case p, ok := <-progress:
			if !ok {
				return
			}
			switch p.Attempt.Phase {
			case management.Committed, management.Confirmed, management.RolledBack:
				committed = true
				result()
			}
			v := installView(p.Attempt, p.Members)
			say(api.InstallLine{Install: &v})
			if p.Over() {
				return
			}
			if v.Over && enough == nil {
				enough = time.After(linger)
			}
		case <-enough:
			return
		case <-c.context().Done():
			return
		}
	}
}

// installView is an attempt with what is known of its members now.
func installView(a management.Attempt, members []coordinator.MemberProgress) api.Install {
	v := api.Install{Cluster: a.Cluster, Number: a.Number, Policy: offer(a.Policy), Before: offer(a.Before), By: a.By, BestEffort: a.BestEffort, Manual: a.Manual,
		Phase: a.Phase.String(), Why: a.Why, Begun: at(a.Begun), Decided: when(a.Decided), Settled: when(a.Settled), Over: a.Phase.Over(),
		Members: []api.InstallMember{}}
	if a.Phase == management.Committed && a.Manual {
		v.ConfirmBy = when(a.Decided + a.ConfirmWithin)
	}
	for i, r := range a.Replies {
		m := api.InstallMember{Name: r.Member, State: r.State.String(), Why: r.Why, AtMs: -1}
		if i < len(members) && members[i].State != "" && r.State != management.MemberLeft {
			m.State, m.Why = string(members[i].State), members[i].Why
		}
		if r.At != 0 {
			m.AtMs = (r.At - a.Begun) / int64(time.Millisecond)
		}
		v.Members = append(v.Members, m)
	}
	return v
}

func (c *call) installs() (any, error) {
	if _, err := c.server.o.Records.Cluster(c.context(), c.path("cluster")); err != nil {
		return nil, err
	}
	all, err := c.server.o.Records.Attempts(c.context(), c.path("cluster"))
	if err != nil {
		return nil, err
	}
	out := make([]api.Install, 0, len(all))
	for _, a := range all {
		out = append(out, installView(a, nil))
	}
	return out, nil
}

// oneInstall answers with an attempt as it is; with ?follow=1 a line at each change, until it is over.
func (c *call) oneInstall() (any, error) {
	number, err := c.number("number")
	if err != nil {
		return nil, err
	}
	a, err := c.server.o.Records.Attempt(c.context(), c.path("cluster"), number)
	if err != nil {
		return nil, err
	}
	if c.r.URL.Query().Get("follow") == "" {
		return installView(a, nil), nil
	}
	say := c.lines()
	if a.Ended != 0 {
		v := installView(a, nil)
		say(api.InstallLine{Install: &v})
		return streamed{}, nil
	}
	c.follow(a.Cluster, a.Number, nil, say)
	return streamed{}, nil
}

// settling is how long a confirmation that comes right after the commit waits for the members to have been heard through the new policy.
const settling = 5 * time.Second

func (c *call) confirm() (any, error) {
	give := time.After(settling)
	for {
		_, err := c.server.o.Coordinator.Confirm(c.context(), c.path("cluster"), c.actor)
		if err == nil {
			break
		}
		if e := (*rollout.NotWellError)(nil); !errors.As(err, &e) {
			return nil, err
		}
		select {
		case <-time.After(settling / 20):
		case <-give:
			return nil, err
		case <-c.context().Done():
			return nil, c.context().Err()
		}
	}
	return api.Done{Done: "the policy of " + c.path("cluster") + " is confirmed"}, nil
}

func (c *call) cancel() (any, error) {
	if _, err := c.server.o.Coordinator.Cancel(c.context(), c.path("cluster"), c.actor); err != nil {
		return nil, err
	}
	return api.Done{Done: "the install on " + c.path("cluster") + " is cancelled"}, nil
}
