// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/defines"
	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/coordinator"
	"github.com/holdfast-project/holdfast/management/rollout"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/nft"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// Checker loads a policy as a member would have it, where no packet is, and puts it into force there. The error is a *nft.RulesetError if the ruleset is
// at fault.
type Checker func(ctx context.Context, p *nft.Policy, links []nft.Link) error

// KernelCheck is the Checker that uses a network namespace of its own. It needs CAP_SYS_ADMIN and CAP_NET_ADMIN.
func KernelCheck(ctx context.Context, p *nft.Policy, links []nft.Link) error {
	return nft.Try(ctx, "", p, links)
}

// TryCheck says whether this process may use KernelCheck.
func TryCheck(ctx context.Context) error {
	r, err := ruleset.Parse("probe", "table ip probe {\n}\n")
	if err != nil {
		return err
	}
	return KernelCheck(ctx, &nft.Policy{Ruleset: r, Mark: ruleset.Mark{Cluster: 1, Generation: 1}}, nil)
}

const (
	// checksAtOnce is how many rulesets the server loads at a time.
	checksAtOnce = 2
	// checkFirst is how long a ruleset may be, in bytes, that reaches no member before it is checked: some thousand rules. Members load a longer one
	// themselves, and that is the check.
	checkFirst = 256 << 10
	// mostWhy bounds what is kept of the reasons why a check refuses, in bytes.
	mostWhy = 1000
)

// checking is a check of what is to be installed. It consists of trials, which run when they are begun.
type checking struct {
	call    *call
	began   time.Time
	found   api.Checked
	cluster *ruleset.Cluster
	trials  []trial
	ended   chan rollout.Tried // has room for all
	over    chan struct{}      // closed when all have ended, or it was stopped
	ctx     context.Context    //nolint:containedctx // trials begin and end at any time, also after the client has gone
	cancel  context.CancelFunc

	mu      sync.Mutex
	policy  nft.Policy // but for definitions; nothing once it was stopped: it is large, and an attempt may take a day
	failed  []error    // by trial
	tried   []bool
	stopped bool
}

// check reads what is to be installed, and finds what can be seen to be wrong with it on any of the members. Nothing is changed anywhere.
func (c *call) check(one management.Cluster, b *policy.Bundle, members []string, strict bool) (*checking, error) {
	k := &checking{call: c, began: time.Now(), found: api.Checked{Members: []string{}}, over: make(chan struct{})}
	parsed, err := config.Parse("cluster.yaml", one.Config)
	if err != nil {
		return nil, fmt.Errorf("cluster.yaml of %s, as it was added: %w", one.Name, err)
	}
	k.cluster = defines.Cluster(parsed)
	r, err := ruleset.Parse(b.File, b.Ruleset)
	if err != nil {
		return nil, err
	}
	for _, s := range b.Keep {
		if !r.Has(s.Family, s.Table, s.Name) {
			return nil, invalid(fmt.Sprintf("the set %v is to be kept, and %s has none of that name", s, b.File), "name FAMILY TABLE SET as in the ruleset")
		}
	}
	if err := checkServices(b); err != nil {
		return nil, err
	}
	var fatal []string
	for _, w := range r.Lint(k.cluster) {
		k.found.Warnings = append(k.found.Warnings, w.String())
		if w.Fatal || strict {
			fatal = append(fatal, w.String())
		}
	}
	if fatal != nil {
		return nil, &api.Error{Code: api.CodeRuleset, What: "the ruleset is not right for cluster " + one.Name, WayOut: "mend it, and install again", Details: fatal}
	}
	k.ctx, k.cancel = context.WithCancel(context.WithoutCancel(c.context()))
	k.found.TookMs = time.Since(k.began).Milliseconds()
	if c.server.o.Check == nil {
		k.found.Skipped = c.server.o.Unchecked
		return k, nil
	}
	k.policy = nft.Policy{Ruleset: r, Keep: b.Keep, Mark: ruleset.Mark{Cluster: one.ID, Generation: one.Numbers.Generation + 1}}
	k.divide(members)
	return k, nil
}

// divide finds the trials that there are. Members that have the same devices, and the same of all definitions that the ruleset uses, have the same one.
func (k *checking) divide(members []string) {
	for i := range k.cluster.Members {
		m := &k.cluster.Members[i]
		if !slices.Contains(members, m.Name) {
			continue
		}
		n := trial{definitions: k.policy.Ruleset.Uses(k.cluster.Definitions(i)), links: links(m), of: []int{i}}
		if at := slices.IndexFunc(k.trials, n.same); at >= 0 {
			k.trials[at].of = append(k.trials[at].of, i)
			continue
		}
		k.trials = append(k.trials, n)
	}
	k.failed, k.tried, k.ended = make([]error, len(k.trials)), make([]bool, len(k.trials)), make(chan rollout.Tried, len(k.trials))
}

// all makes all trials, and returns when they have ended, or the client is gone.
func (k *checking) all() error {
	for at := range k.trials {
		k.try(at)
	}
	if len(k.trials) == 0 {
		return nil
	}
	select {
	case <-k.over:
		return nil
	case <-k.call.context().Done():
		return k.call.context().Err()
	}
}

// try begins a trial, unless the check was stopped.
func (k *checking) try(at int) {
	k.mu.Lock()
	n, p, stopped := k.trials[at], k.policy, k.stopped
	k.mu.Unlock()
	if stopped {
		return
	}
	checks := k.call.server.checks
	// All definitions, so that what nft says of them has the lines that members' texts have.
	p.Definitions = k.cluster.Definitions(n.of[0])
	go func() {
		err := checks.Acquire(k.ctx, 1)
		if err == nil {
			err = k.call.server.o.Check(k.ctx, &p, n.links)
			checks.Release(1)
		}
		k.end(at, err)
	}()
}

// end takes in how a trial ended, unless the check was stopped.
func (k *checking) end(at int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped || k.tried[at] {
		return
	}
	k.tried[at], k.failed[at] = true, err
	k.found.TookMs = time.Since(k.began).Milliseconds()
	k.ended <- rollout.Tried{Trial: at, Why: k.why(at)}
	if !slices.Contains(k.tried, false) {
		close(k.over)
	}
}

// stop ends what is not needed any more, and lets go of what was to be tried.
func (k *checking) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cancel()
	if !k.stopped && slices.Contains(k.tried, false) {
		close(k.over)
	}
	k.stopped, k.policy = true, nft.Policy{}
	for at := range k.trials {
		k.trials[at].definitions, k.trials[at].links = nil, nil
	}
}

// why is why a trial refuses the ruleset; "": it does not. The caller holds mu.
func (k *checking) why(at int) string {
	failed := make([]error, len(k.failed))
	failed[at] = k.failed[at]
	err := k.problem(failed)
	if err == nil {
		return ""
	}
	text := err.What
	if len(err.Details) > 0 {
		text = strings.Join(err.Details, "; ")
	}
	if len(text) > mostWhy {
		text = strings.ToValidUTF8(text[:mostWhy], "") + "..."
	}
	return text
}

// result is what was found by now.
func (k *checking) result() (api.Checked, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.problem(k.failed); err != nil {
		return k.found, err
	}
	v := k.found
	for at, n := range k.trials {
		for _, i := range n.of {
			switch name := k.cluster.Members[i].Name; {
			case k.tried[at]:
				v.Members = append(v.Members, name)
			case k.stopped:
				v.Loaded = append(v.Loaded, name)
			default:
				v.Later = true
			}
		}
	}
	return v, nil
}

// vote is the check as an install needs it that begins before it.
func (k *checking) vote() *coordinator.Check {
	v := &coordinator.Check{Try: k.try, Ended: k.ended, Stop: k.stop}
	for _, n := range k.trials {
		var names []string
		for _, i := range n.of {
			names = append(names, k.cluster.Members[i].Name)
		}
		v.Groups = append(v.Groups, names)
	}
	return v
}

// problem is what trials found; failed is by trial. nil: nothing.
func (k *checking) problem(failed []error) *api.Error {
	for at, err := range failed {
		if e := (*nft.RulesetError)(nil); err != nil && !errors.As(err, &e) {
			return &api.Error{Code: api.CodeUnavailable, What: fmt.Sprintf("the ruleset cannot be checked here: checking for %s: %v", k.cluster.Members[k.trials[at].of[0]].Name, err),
				WayOut: "run holdfast-mgmt with CAP_SYS_ADMIN and CAP_NET_ADMIN, or with --unchecked"}
		}
	}
	return joined(k.cluster, k.trials, failed)
}

// trial is one load of a ruleset, for all members for which it is the same.
type trial struct {
	definitions []ruleset.Definition // that it uses
	links       []nft.Link
	of          []int // members
}

// same reports whether another trial would find what this one does. Nothing that is loaded depends on a device's addresses: what does is in
// definitions.
func (t trial) same(other trial) bool {
	return slices.Equal(t.definitions, other.definitions) && slices.EqualFunc(t.links, other.links, func(a, b nft.Link) bool { return a.Name == b.Name })
}

func links(m *ruleset.Member) (all []nft.Link) {
	for name, addresses := range defines.Links(m) {
		all = append(all, nft.Link{Name: name, Addresses: slices.Clone[[]netip.Prefix](addresses)})
	}
	slices.SortFunc(all, func(a, b nft.Link) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// joined lists problems with the members that have them, in their order.
func joined(cluster *ruleset.Cluster, trials []trial, failed []error) *api.Error {
	of := make([]*nft.RulesetError, len(cluster.Members))
	for at, err := range failed {
		for _, i := range trials[at].of {
			_ = errors.As(err, &of[i])
		}
	}
	var order []string
	who := map[string][]string{}
	for i, e := range of {
		if e == nil {
			continue
		}
		for _, p := range e.Problems {
			text := p.String()
			if who[text] == nil {
				order = append(order, text)
			}
			who[text] = append(who[text], cluster.Members[i].Name)
		}
	}
	if order == nil {
		return nil
	}
	out := &api.Error{Code: api.CodeRuleset, What: "the ruleset cannot be loaded", WayOut: "mend it, and install again"}
	for _, text := range order {
		out.Details = append(out.Details, fmt.Sprintf("%s (on %s)", text, strings.Join(who[text], ", ")))
	}
	return out
}

// checkServices finds synchronisation rules that members would not understand.
func checkServices(b *policy.Bundle) error {
	all := make(map[string]string, len(b.Sync))
	for _, r := range b.Sync {
		all[r.Service] = r.After.String()
		if r.Never {
			all[r.Service] = "never"
		}
	}
	if _, err := config.SyncServices(b.File, all); err != nil {
		return &api.Error{Code: api.CodeInvalid, What: err.Error(), WayOut: "write SERVICE=never or SERVICE=3s"}
	}
	return nil
}
