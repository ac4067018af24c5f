// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/defines"
	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
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

// checksAtOnce is how many times a ruleset is loaded at a time.
const checksAtOnce = 2

// check reads what is to be installed and finds what is wrong with it on any of the members. Nothing is changed anywhere.
func (c *call) check(one management.Cluster, b *policy.Bundle, members []string, strict bool) (api.Checked, error) {
	began := time.Now()
	v := api.Checked{Members: []string{}}
	parsed, err := config.Parse("cluster.yaml", one.Config)
	if err != nil {
		return v, fmt.Errorf("cluster.yaml of %s, as it was added: %w", one.Name, err)
	}
	cluster := defines.Cluster(parsed)
	r, err := ruleset.Parse(b.File, b.Ruleset)
	if err != nil {
		return v, err
	}
	for _, s := range b.Keep {
		if !r.Has(s.Family, s.Table, s.Name) {
			return v, invalid(fmt.Sprintf("the set %v is to be kept, and %s has none of that name", s, b.File), "name FAMILY TABLE SET as in the ruleset")
		}
	}
	if err := checkServices(b); err != nil {
		return v, err
	}
	var fatal []string
	for _, w := range r.Lint(cluster) {
		v.Warnings = append(v.Warnings, w.String())
		if w.Fatal || strict {
			fatal = append(fatal, w.String())
		}
	}
	if fatal != nil {
		return v, &api.Error{Code: api.CodeRuleset, What: "the ruleset is not right for cluster " + one.Name, WayOut: "mend it, and install again", Details: fatal}
	}
	if c.server.o.Check == nil {
		v.Skipped, v.TookMs = c.server.o.Unchecked, time.Since(began).Milliseconds()
		return v, nil
	}
	if err := c.load(one, cluster, r, b.Keep, members); err != nil {
		return v, err
	}
	v.Members, v.TookMs = members, time.Since(began).Milliseconds()
	return v, nil
}

// load tries the ruleset for each member. What is wrong on several is said once, with their names. Members that have the same devices, and the same
// of all definitions that the ruleset uses, have the same trial.
func (c *call) load(one management.Cluster, cluster *ruleset.Cluster, r *ruleset.Ruleset, keep []policy.Set, members []string) error {
	var trials []trial
	for i := range cluster.Members {
		m := &cluster.Members[i]
		if !slices.Contains(members, m.Name) {
			continue
		}
		n := trial{definitions: r.Uses(cluster.Definitions(i)), links: links(m), of: []int{i}}
		if k := slices.IndexFunc(trials, n.same); k >= 0 {
			trials[k].of = append(trials[k].of, i)
			continue
		}
		trials = append(trials, n)
	}
	g, ctx := errgroup.WithContext(c.context())
	g.SetLimit(checksAtOnce)
	failed := make([]error, len(cluster.Members))
	for _, n := range trials {
		g.Go(func() error {
			// All definitions, so that what nft says of them has the lines that members' texts have.
			p := &nft.Policy{Ruleset: r, Definitions: cluster.Definitions(n.of[0]), Keep: keep,
				Mark: ruleset.Mark{Cluster: one.ID, Generation: one.Numbers.Generation + 1}}
			err := c.server.o.Check(ctx, p, n.links)
			for _, i := range n.of {
				failed[i] = err
			}
			if e := (*nft.RulesetError)(nil); err != nil && !errors.As(err, &e) {
				return fmt.Errorf("checking for %s: %w", cluster.Members[n.of[0]].Name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return &api.Error{Code: api.CodeUnavailable, What: "the ruleset cannot be checked here: " + err.Error(),
			WayOut: "run holdfast-mgmt with CAP_SYS_ADMIN and CAP_NET_ADMIN, or with --unchecked"}
	}
	return joined(cluster, failed)
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

// joined lists problems with the members that have them.
func joined(cluster *ruleset.Cluster, failed []error) error {
	var order []string
	who := map[string][]string{}
	for i, err := range failed {
		var e *nft.RulesetError
		if !errors.As(err, &e) {
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
