// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
)

func drawPolicyStatus(p *page, v control.Policy) {
	status := p.paint(statusCell(v.Status))
	if g := v.InForce; g == nil {
		p.line("Member %s: no policy is in force, %s: %s", v.Member, status, strings.TrimPrefix(v.Reason, "no policy: "))
	} else {
		p.line("Member %s: generation %d is in force%s, %s", v.Member, g.Generation, since(p, g.Since), status)
		p.wrapped("  ", "  ", strings.Join(oneLine(g), ": "))
	}
	if v.BootFilter {
		p.line("%s", p.paint(cell{"The boot filter holds: nothing is forwarded.", yellow}))
	}
	drawAttempt(p, v)
	if m := v.Management; m != nil {
		how := cell{"reachable", green}
		if !m.Reachable {
			how = cell{"NOT reachable", yellow}
		}
		line := "Management: " + strings.Join(m.URLs, ", ") + ": " + p.paint(how)
		if m.Why != "" {
			line += ": " + m.Why
		}
		if m.NotAfter != nil {
			line += fmt.Sprintf("; certificate %s until %s", shortDigest(m.Certificate), p.stamp(*m.NotAfter)[:len("2006-01-02")])
		}
		p.line("%s", line)
	}
	if len(v.Drift) > 0 {
		what := "told only"
		if v.Enforce {
			what = "put back"
		}
		by := ""
		if v.DriftBy != "" {
			by = ", by " + v.DriftBy
		}
		p.line("%s", p.paint(cell{fmt.Sprintf("The ruleset was changed by hand%s, which is %s (enforce: %t):", by, what, v.Enforce), yellow}))
		for _, l := range v.Drift {
			p.line("  %s", l)
		}
	}
	p.line("")
	rows := make([][]cell, 0, len(v.Members))
	for _, m := range v.Members {
		rows = append(rows, policyMemberRow(m))
	}
	p.table([]string{"MEMBER", "STATE", "GENERATION", "DIGEST", "INSTALL", "NOTE"}, rows)
	p.line("")
	list(p, "Tables: ", v.Tables)
	list(p, "Sets that are kept: ", v.Keep)
	list(p, "Services: ", v.Services)
	list(p, "Trusted keys: ", v.Keys)
	if l := v.Last; l != (control.PolicyDurations{}) {
		p.line("Last install here: %s to fetch, %s to prepare, %s to commit", ms(l.FetchMs), ms(l.PrepareMs), ms(l.CommitMs))
	}
	var counts []string
	for _, name := range slices.Sorted(maps.Keys(v.Fetched)) {
		counts = append(counts, fmt.Sprintf("fetched from %s: %d", name, v.Fetched[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(v.Counters)) {
		if n := v.Counters[name]; n > 0 {
			counts = append(counts, fmt.Sprintf("%s: %d", name, n))
		}
	}
	if len(counts) > 0 {
		p.line("Since the daemon's start: %s", strings.Join(counts, ", "))
	}
}

func list(p *page, what string, all []string) {
	if len(all) > 0 {
		p.wrapped(what, "  ", strings.Join(all, ", "))
	}
}

// since says since when.
func since(p *page, t *time.Time) string {
	if t == nil {
		return ""
	}
	return fmt.Sprintf(" since %s (%s)", p.stamp(*t), p.ago(*t))
}

// oneLine is who made a generation and why, as far as it is known.
func oneLine(g *control.PolicyGeneration) []string {
	who := "digest " + shortDigest(g.Digest)
	if g.Author != "" {
		who += ", by " + g.Author
	}
	if g.Origin != 0 {
		who += fmt.Sprintf(", with the content of generation %d", g.Origin)
	}
	all := []string{who}
	if first, _, _ := strings.Cut(g.Comment, "\n"); first != "" {
		all = append(all, first)
	}
	return all
}

func shortDigest(d string) string { return d[:min(len(d), 16)] }

func drawAttempt(p *page, v control.Policy) {
	t := v.Attempt
	if t == nil {
		return
	}
	line := fmt.Sprintf("Install %d of generation %d: %s", t.Number, t.Generation, t.State)
	style := plain
	switch {
	case t.InDoubt:
		line, style = line+", in doubt: it hears nothing of the decision and asks", yellow
	case t.RolledBack:
		style = yellow
	case t.Confirmed:
	case t.State == "committed":
		line, style = line+", not confirmed yet", yellow
	}
	if t.Why != "" {
		line += ": " + t.Why
	}
	p.line("%s", p.paint(cell{line, style}))
}

func policyMemberRow(m control.PolicyMember) []cell {
	name := m.Name
	if m.Local {
		name += " (local)"
	}
	generation, install := cell{number(m.Generation), plain}, ""
	note := strings.TrimPrefix(m.Reason, "no policy: ")
	switch {
	case !m.Heard:
		generation = cell{}
		note = "not heard"
	case m.Generation == 0 && !m.Local && note == "":
		note = "has none, or does not tell"
	case m.Differs:
		generation.style, note = yellow, "not what is in force at the member that serves"
	}
	if m.Attempt != 0 && m.Install != "" {
		install = strconv.FormatUint(m.Attempt, 10) + " " + m.Install
	}
	return []cell{text(name), stateCell(m.State), generation, text(shortDigest(m.Digest)), text(install), {note, yellow}}
}

func drawPolicyHistory(p *page, v control.PolicyHistory) {
	if len(v.Generations) == 0 {
		p.line("Member %s has no policy.", v.Member)
		return
	}
	rows := make([][]cell, 0, len(v.Generations))
	for _, g := range v.Generations {
		state := cell{g.State, plain}
		switch g.State {
		case "in-force":
			state.style = green
		case "declined":
			state.style = red
		case "kept":
			state.text = ""
		}
		at := ""
		if g.Since != nil {
			at = p.stamp(*g.Since)
		}
		origin := ""
		if g.Origin != 0 {
			origin = "as " + strconv.FormatUint(g.Origin, 10)
		}
		comment, _, _ := strings.Cut(g.Comment, "\n")
		rows = append(rows, []cell{text(number(g.Generation)), state, text(shortDigest(g.Digest)), text(origin), text(p.stamp(g.Created)), text(at), text(g.Author), text(comment)})
	}
	p.table([]string{"GENERATION", "STATE", "DIGEST", "CONTENT", "MADE", "IN FORCE SINCE", "AUTHOR", "COMMENT"}, rows)
}
