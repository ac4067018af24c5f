// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// policyTold is what a policy file says, as JSON.
type policyTold struct {
	File        string   `json:"file,omitempty"`
	Cluster     uint16   `json:"cluster"`
	Generation  uint64   `json:"generation"`
	Digest      string   `json:"digest"`
	Content     string   `json:"content"`
	Created     string   `json:"created"`
	Author      string   `json:"author,omitempty"`
	Comment     string   `json:"comment,omitempty"`
	Origin      uint64   `json:"origin,omitempty"`
	Key         string   `json:"key"`
	RulesetFile string   `json:"ruleset_file,omitempty"`
	Bytes       int      `json:"bytes"`
	Lines       int      `json:"lines"`
	Sync        []string `json:"sync,omitempty"`
	Keep        []string `json:"keep,omitempty"`
	Connections string   `json:"connections"`

	created int64
}

// verified is the answer of policy verify as JSON.
type verified struct {
	policyTold
	OK       bool     `json:"ok"` // it may be installed
	Warnings []string `json:"warnings,omitempty"`
}

func told(path string, s *policy.Sealed) policyTold {
	h, b := s.Head(), s.Bundle()
	v := policyTold{File: path, Cluster: b.Cluster, Generation: b.Generation, Digest: h.Digest().String(), Content: h.Content.String(),
		Created: h.Time().Format(time.RFC3339), Author: b.Author, Comment: b.Comment, Origin: b.Origin, Key: policy.Fingerprint(h.Key[:]), RulesetFile: b.File,
		Bytes: len(b.Ruleset), Lines: strings.Count(b.Ruleset, "\n"), Connections: b.Connections.String(), created: b.Created}
	for _, r := range b.Sync {
		v.Sync = append(v.Sync, r.String())
	}
	for _, k := range b.Keep {
		v.Keep = append(v.Keep, k.String())
	}
	return v
}

func drawPolicy(p *page, v policyTold) {
	line := func(name, format string, args ...any) { p.line("%-12s %s", name, fmt.Sprintf(format, args...)) }
	line("Generation", "%d of cluster %d", v.Generation, v.Cluster)
	line("Created", "%s", v.Created)
	if v.Author != "" {
		line("Author", "%s", v.Author)
	}
	for i, l := range strings.Split(v.Comment, "\n") {
		if l != "" {
			line([]string{"Comment", ""}[min(i, 1)], "%s", l)
		}
	}
	if v.Origin != 0 {
		line("Origin", "content of generation %d again", v.Origin)
	}
	line("Digest", "%s", v.Digest)
	line("Content", "%s", v.Content)
	line("Signed by", "%s", v.Key)
	line("Ruleset", "%s, %d lines, %d bytes", v.RulesetFile, v.Lines, v.Bytes)
	for i, r := range v.Sync {
		line([]string{"Sync", ""}[min(i, 1)], "%s", r)
	}
	for i, k := range v.Keep {
		line([]string{"Keep", ""}[min(i, 1)], "%s", k)
	}
	line("Connections", "%s", v.Connections)
}

func drawVerified(p *page, v verified) {
	for _, w := range v.Warnings {
		p.line("%s", w)
	}
	verdict := "no warnings"
	switch {
	case !v.OK:
		verdict = "must not be installed"
	case len(v.Warnings) == 1:
		verdict = "1 warning"
	case len(v.Warnings) > 1:
		verdict = fmt.Sprintf("%d warnings", len(v.Warnings))
	}
	p.line("%s is generation %d of cluster %d, signed by %s, digest %s: %s", v.File, v.Generation, v.Cluster, v.Key, v.Digest[:16], verdict)
}

// policyChange is one object of policy diff as JSON.
type policyChange struct {
	Object string   `json:"object"`
	Change string   `json:"change"` // added, removed, changed
	Lines  []string `json:"lines,omitempty"`
}

func (a *app) policyDiff() *cobra.Command {
	return &cobra.Command{Use: "diff OLD NEW", Short: "Tell two policies apart, object by object; exit code 1 if they differ",
		Long: "OLD and NEW are policy files, or numbers of generations that this member has.",
		Args: arguments(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var sealed [2]*policy.Sealed
			var rules [2]*ruleset.Ruleset
			for i, path := range args {
				var err error
				if sealed[i], err = a.eitherPolicy(cmd.Context(), path); err != nil {
					return err
				}
				if rules[i], err = ruleset.Parse(sealed[i].Bundle().File, sealed[i].Bundle().Ruleset); err != nil {
					return err
				}
			}
			all := settings(sealed[0].Bundle(), sealed[1].Bundle())
			for _, c := range ruleset.Diff(rules[0], rules[1]) {
				all = append(all, objectChange(c))
			}
			if err := a.print(all, func(p *page) { drawPolicyDiff(p, sealed[0], sealed[1], all) }); err != nil {
				return err
			}
			if len(all) > 0 {
				return errReported
			}
			return nil
		}}
}

// settings are what differs beside the rulesets.
func settings(old, now *policy.Bundle) []policyChange {
	var all []policyChange
	texts := func(b *policy.Bundle) (sync, keep []string) {
		for _, r := range b.Sync {
			sync = append(sync, r.String())
		}
		for _, k := range b.Keep {
			keep = append(keep, k.String())
		}
		return sync, keep
	}
	compare := func(object string, was, is []string) {
		c := policyChange{Object: object, Change: "changed"}
		for _, s := range was {
			if !slices.Contains(is, s) {
				c.Lines = append(c.Lines, "- "+s)
			}
		}
		for _, s := range is {
			if !slices.Contains(was, s) {
				c.Lines = append(c.Lines, "+ "+s)
			}
		}
		if c.Lines != nil {
			all = append(all, c)
		}
	}
	oldSync, oldKeep := texts(old)
	newSync, newKeep := texts(now)
	compare("cluster", []string{fmt.Sprint(old.Cluster)}, []string{fmt.Sprint(now.Cluster)})
	compare("synchronisation", oldSync, newSync)
	compare("sets to keep", oldKeep, newKeep)
	compare("connections", []string{old.Connections.String()}, []string{now.Connections.String()})
	return all
}

func objectChange(c ruleset.Change) policyChange {
	v := policyChange{Object: c.Object(), Change: "changed"}
	switch {
	case c.Added:
		v.Change = "added"
	case c.Removed:
		v.Change = "removed"
	}
	for _, l := range c.Lines {
		sign := "-"
		if l.Added {
			sign = "+"
		}
		v.Lines = append(v.Lines, fmt.Sprintf("%s %d: %s", sign, l.Line, l.Text))
	}
	return v
}

func drawPolicyDiff(p *page, old, now *policy.Sealed, all []policyChange) {
	p.line("generation %d (%s) to %d (%s)", old.Head().Generation, old.Head().Digest().Short(), now.Head().Generation, now.Head().Digest().Short())
	if len(all) == 0 {
		p.line("the content is the same")
	}
	for _, c := range all {
		p.line("%s: %s", c.Object, c.Change)
		for _, l := range c.Lines {
			colour := red
			if l[0] == '+' {
				colour = green
			}
			p.line("  %s", p.paint(cell{l, colour}))
		}
	}
}
