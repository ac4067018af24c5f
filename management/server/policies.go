// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"slices"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

func policyView(p management.Policy, c management.Cluster) api.Policy {
	v := api.Policy{Generation: p.Generation, Digest: p.Digest, Content: p.Content, Author: p.Author, Comment: p.Comment, Origin: p.Origin,
		Created: at(p.Created), Size: p.Size, Declined: p.Declined}
	switch {
	case p.Ref() == c.Current:
		v.Status = "current"
	case p.Declined != 0:
		v.Status = "declined"
	case p.Ref() == c.Previous:
		v.Status = "previous"
	}
	return v
}

func (c *call) policies() (any, error) {
	one, err := c.server.o.Records.Cluster(c.context(), c.path("cluster"))
	if err != nil {
		return nil, err
	}
	all, err := c.server.o.Records.Policies(c.context(), one.Name)
	if err != nil {
		return nil, err
	}
	out := make([]api.Policy, 0, len(all))
	for _, p := range all {
		out = append(out, policyView(p, one))
	}
	return out, nil
}

// decoded is how many times its file's size a policy takes while it is looked into.
const decoded = 3

// bundle reads a generation.
func (c *call) bundle(generation uint64) (management.Policy, *policy.Sealed, error) {
	p, err := c.server.o.Records.Policy(c.context(), c.path("cluster"), generation)
	if err != nil {
		return p, nil, err
	}
	give, err := c.server.files.reserve(c.context(), decoded*int64(p.Size))
	if err != nil {
		return p, nil, err
	}
	c.after = append(c.after, give)
	p, data, err := c.server.o.Records.PolicyFile(c.context(), p.Cluster, generation)
	if err != nil {
		return p, nil, err
	}
	sealed, err := policy.Decode(data)
	if err != nil {
		return p, nil, fmt.Errorf("generation %d of cluster %s: %w", generation, p.Cluster, err)
	}
	return p, sealed, nil
}

func (c *call) policy() (any, error) {
	generation, err := c.number("generation")
	if err != nil {
		return nil, err
	}
	one, err := c.server.o.Records.Cluster(c.context(), c.path("cluster"))
	if err != nil {
		return nil, err
	}
	p, sealed, err := c.bundle(generation)
	if err != nil {
		return nil, err
	}
	b := sealed.Bundle()
	v := policyView(p, one)
	v.File, v.Ruleset, v.Connections = b.File, b.Ruleset, b.Connections.String()
	for _, r := range b.Sync {
		v.Sync = append(v.Sync, r.String())
	}
	for _, s := range b.Keep {
		v.Keep = append(v.Keep, s.String())
	}
	return v, nil
}

func (c *call) policyFile() (any, error) {
	generation, err := c.number("generation")
	if err != nil {
		return nil, err
	}
	_, data, err := c.sharedPolicy(c.path("cluster"), generation)
	return file{policyType, data}, err
}

// diff tells two generations apart: without "to" the current one, without "from" the one before that.
func (c *call) diff() (any, error) {
	one, err := c.server.o.Records.Cluster(c.context(), c.path("cluster"))
	if err != nil {
		return nil, err
	}
	from, err := c.query("from")
	if err != nil {
		return nil, err
	}
	to, err := c.query("to")
	if err != nil {
		return nil, err
	}
	if to == 0 {
		to = one.Current.Generation
	}
	if from == 0 {
		from = one.Previous.Generation
	}
	if from == 0 || to == 0 {
		return nil, invalid(fmt.Sprintf("cluster %s has no two policies to compare", one.Name), "name both, from and to")
	}
	var bundles [2]*policy.Bundle
	var rulesets [2]*ruleset.Ruleset
	for i, generation := range []uint64{from, to} {
		_, sealed, err := c.bundle(generation)
		if err != nil {
			return nil, err
		}
		bundles[i] = sealed.Bundle()
		if rulesets[i], err = ruleset.Parse(bundles[i].File, bundles[i].Ruleset); err != nil {
			return nil, err
		}
	}
	v := api.Diff{From: from, To: to, Changes: []api.Change{}, Other: otherChanges(bundles[0], bundles[1])}
	for _, ch := range ruleset.Diff(rulesets[0], rulesets[1]) {
		w := api.Change{Object: ch.Object(), Added: ch.Added, Removed: ch.Removed, Lines: []api.LineChange{}}
		for _, l := range ch.Lines {
			w.Lines = append(w.Lines, api.LineChange{Added: l.Added, Line: l.Line, Text: l.Text})
		}
		v.Changes = append(v.Changes, w)
	}
	v.Equal = len(v.Changes) == 0 && len(v.Other) == 0
	return v, nil
}

// otherChanges compares what a bundle has beside its ruleset.
func otherChanges(a, b *policy.Bundle) (all []string) {
	words := func(b *policy.Bundle) (out []string) {
		for _, r := range b.Sync {
			out = append(out, "sync "+r.String())
		}
		for _, s := range b.Keep {
			out = append(out, "keep "+s.String())
		}
		return append(out, "connections "+b.Connections.String())
	}
	before, after := words(a), words(b)
	for _, w := range before {
		if !slices.Contains(after, w) {
			all = append(all, "- "+w)
		}
	}
	for _, w := range after {
		if !slices.Contains(before, w) {
			all = append(all, "+ "+w)
		}
	}
	return all
}
