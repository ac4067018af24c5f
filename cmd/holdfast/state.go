// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
)

func (a *app) stateCommand() *cobra.Command {
	cmd := noun(a, "state", "The members, who serves, and what happened last", (*control.Client).State, drawState)
	cmd.Aliases = []string{"status"}
	return cmd
}

func drawState(p *page, s control.State) {
	p.line("Cluster %s (%d), %s, %s, profile %s, configuration %s", s.Cluster, s.ClusterID, s.Mode, s.Recovery, s.Profile, s.ConfigDigest)
	p.line("")
	rows := make([][]cell, 0, len(s.Members))
	for _, m := range s.Members {
		id := strconv.Itoa(int(m.ID))
		if m.Local {
			id += " *"
		}
		age, load := "", ""
		if !m.Local {
			age = ms(m.AgeMs)
		}
		if m.State != "LOST" { // of a silent member nothing is known
			load = strconv.FormatFloat(m.LoadPercent, 'f', 0, 64) + "%"
		}
		rows = append(rows, []cell{text(id), text(m.Name), text(m.Address), stateCell(m.State), text(serves(m)),
			text(number(uint64(m.Term))), text(p.ago(m.Since)), text(age), text(load),
			{strings.Join(m.Problems, ", "), red}, text(m.Reason)})
	}
	p.table([]string{"ID", "NAME", "ADDRESS", "STATE", "SERVES", "TERM", "FOR", "HEARD", "LOAD", "PROBLEMS", "REASON"}, rows)
	p.line("")
	switch {
	case s.Forced != "" && s.ForcedUntil != nil:
		p.line("Held on %s by order until %s.", s.Forced, p.stamp(*s.ForcedUntil))
	case s.Forced != "":
		p.line("Being handed to %s by order.", s.Forced)
	}
	if e := s.LastChange; e != nil {
		p.line("Last change here:  %s  %s -> %s  %s", p.stamp(e.Time), e.From, e.To, e.Reason)
	}
	if f := s.LastFailover; f != nil {
		p.line("Last failover:     %s  %s -> %s  %s", p.stamp(f.Time), nobody(f.From), f.To, f.Reason)
	}
	p.line("Failovers:         %d since %s", s.Failovers, p.stamp(s.FailoversSince))
	for _, w := range s.Warnings {
		p.line("%s", p.paint(cell{"Warning: " + w, yellow}))
	}
	for _, m := range s.Members {
		if m.ConfigDigest != "" && m.ConfigDigest != s.ConfigDigest {
			p.line("%s", p.paint(cell{"Warning: " + m.Name + " has another configuration: " + m.ConfigDigest, yellow}))
		}
		if m.Version != "" && m.Version != s.Version {
			p.line("%s runs version %s, this member %s.", m.Name, m.Version, s.Version)
		}
	}
}

func serves(m control.MemberState) string {
	var words []string
	if m.Answer {
		words = append(words, "answer")
	}
	if m.Forward {
		words = append(words, "forward")
	}
	if m.Alone {
		words = append(words, "alone")
	}
	return strings.Join(words, "+")
}

func nobody(name string) string {
	if name == "" {
		return "nobody"
	}
	return name
}
