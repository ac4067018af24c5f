// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/defines"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/nft"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// memberCheck is the answer of policy check for one member as JSON.
type memberCheck struct {
	Member   string   `json:"member"`
	OK       bool     `json:"ok"`
	Problems []string `json:"problems,omitempty"`
}

func (a *app) policyCheck() *cobra.Command {
	var target policyTarget
	command := ""
	cmd := &cobra.Command{Use: "check FILE", Short: "Load a policy, or a ruleset, for each member into a scratch namespace; needs root and nft",
		Long: "check puts FILE into force as each member would have it, in a network namespace of its own with stand-ins for the member's devices and\n" +
			"addresses. Nothing of this machine's is touched.", Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := target.load()
			if err != nil {
				return err
			}
			which, err := target.members(c)
			if err != nil {
				return err
			}
			p, err := readRuleset(args[0], c)
			if err != nil {
				return err
			}
			var all []memberCheck
			failed := false
			for _, i := range which {
				p.Definitions = c.Definitions(i)
				v := memberCheck{Member: c.Members[i].Name, OK: true}
				_, err := nft.Check(cmd.Context(), command, p, links(&c.Members[i]), true) // nobody waits for it but people
				if e := (*nft.RulesetError)(nil); errors.As(err, &e) {
					v.OK, failed = false, true
					for _, problem := range e.Problems {
						v.Problems = append(v.Problems, problem.String())
					}
				} else if err != nil {
					return err
				}
				all = append(all, v)
			}
			if err := a.print(all, func(p *page) { drawChecks(p, all) }); err != nil {
				return err
			}
			if failed {
				return errReported
			}
			return nil
		}}
	target.flags(cmd, true)
	cmd.Flags().StringVar(&target.member, "member", "", "for one member only")
	cmd.Flags().StringVar(&command, "nft", "nft", "the command that loads rulesets")
	return cmd
}

// readRuleset reads a policy, or a file of nftables that is to become one.
func readRuleset(path string, c *ruleset.Cluster) (*nft.Policy, error) {
	b, err := readBounded(path, policy.MaxFile)
	if err != nil {
		return nil, err
	}
	if _, _, err := policy.ParseHead(b); errors.Is(err, policy.ErrMagic) || len(bytes.TrimSpace(b)) == 0 {
		r, err := ruleset.Parse(filepath.Base(path), string(b))
		return &nft.Policy{Ruleset: r, Mark: ruleset.Mark{Cluster: c.ID, Generation: 1}}, err
	}
	s, err := policy.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return nft.Of(s, nil)
}

func links(m *ruleset.Member) []nft.Link {
	var all []nft.Link
	for name, addresses := range defines.Links(m) {
		all = append(all, nft.Link{Name: name, Addresses: addresses})
	}
	slices.SortFunc(all, func(x, y nft.Link) int { return strings.Compare(x.Name, y.Name) })
	return all
}

func drawChecks(p *page, all []memberCheck) {
	for _, v := range all {
		if v.OK {
			p.line("%s: well", v.Member)
			continue
		}
		p.line("%s: cannot be loaded", v.Member)
		for _, problem := range v.Problems {
			p.line("  %s", problem)
		}
	}
}
