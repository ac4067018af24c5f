// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/terminal"
)

func (a *app) stateCommand() *cobra.Command {
	cmd := noun(a, "state", "The members, who serves, and what happened last", (*control.Client).State, drawState)
	cmd.Aliases = []string{"status"}
	return cmd
}

func drawState(p *page, s control.State) {
	p.line("Cluster %s (%d), %s, %s, profile %s", s.Cluster, s.ClusterID, s.Mode, s.Recovery, s.Profile)
	p.line("Configuration %s, version %s, protocol %d", s.ConfigDigest, s.Version, s.Protocol)
	p.line("")
	rows := make([][]cell, 0, len(s.Members))
	for _, m := range s.Members {
		id := strconv.Itoa(int(m.ID))
		if m.Local {
			id += " *"
		}
		age, load, share := "", "", ""
		if m.SharePercent != nil {
			share = percent(*m.SharePercent)
		}
		if !m.Local {
			age = ms(m.AgeMs)
		}
		if m.State != "LOST" { // of a silent member nothing is known
			load = strconv.FormatFloat(m.LoadPercent, 'f', 0, 64) + "%"
		}
		rows = append(rows, []cell{text(id), text(m.Name), text(m.Address), stateCell(m.State), text(share), text(serves(m)),
			text(number(uint64(m.Term))), generationCell(s, m), text(p.ago(m.Since)), text(age), text(load)})
	}
	p.table([]string{"ID", "NAME", "ADDRESS", "STATE", "SHARE", "SERVES", "TERM", "POLICY", "FOR", "HEARD", "LOAD"}, rows)
	p.line("")
	drawReasons(p, s.Members)
	drawPolicyLine(p, s.Policy)
	drawOrders(p, s)
	const indent = "                   "
	if e := s.LastChange; e != nil {
		to := e.To
		if to == "STANDBY" && strings.HasPrefix(s.Mode, "load-sharing") {
			to += " (does not lead)" // whatever its share of the traffic is
		}
		p.wrapped("Last change here:  ", indent, fmt.Sprintf("%s %s -> %s: %s", p.stamp(e.Time), e.From, to, e.Reason))
	}
	if f := s.LastFailover; f != nil {
		p.wrapped("Last failover:     ", indent, fmt.Sprintf("%s %s -> %s: %s", p.stamp(f.Time), nobody(f.From), f.To, f.Reason))
	}
	p.line("Failovers:         %d since %s", s.Failovers, p.stamp(s.FailoversSince))
	drawWarnings(p, s)
}

// drawReasons says below the table why members that are not simply well are as they are; holdfast why says more.
func drawReasons(p *page, all []control.MemberState) {
	some := false
	for _, m := range all {
		if len(m.NotOK) == 0 && (m.State == "ACTIVE" || m.State == "ACTIVE(P)" || m.State == "STANDBY" || m.Reason == "") {
			continue
		}
		some = true
		if m.Reason == "" {
			p.line("%s is %s", m.Name, p.paint(stateCell(m.State)))
		} else {
			p.told(m.Name+" is ", stateCell(m.State), ": ", m.Reason, plain)
		}
		if m.State == "LOST" {
			continue // what it said of its devices is old
		}
		for _, d := range m.NotOK {
			line := d.Device + ": " + d.Status
			if d.Reason != "" {
				line += ", " + d.Reason
			}
			if strings.Contains(m.Reason, d.Device) && strings.Contains(m.Reason, d.Reason) && (d.Status == "problem" || d.Reason != "") {
				continue // the line above says so
			}
			p.told(terminal.Below, cell{}, "", line, statusCell(d.Status).style)
		}
	}
	if some {
		p.line("")
	}
}

// generationCell is the policy that a member has in force, coloured if it is another one than here.
func generationCell(s control.State, m control.MemberState) cell {
	c := text(number(m.Generation))
	if m.Generation != 0 && s.Policy != nil && m.Generation != s.Policy.Generation {
		c.style = yellow
	}
	return c
}

// drawPolicyLine tells what there is to tell of the policy; holdfast policy status says more.
func drawPolicyLine(p *page, v *control.PolicyState) {
	if v == nil {
		return
	}
	line := "none"
	if v.Generation != 0 {
		line = fmt.Sprintf("generation %d%s", v.Generation, since(p, v.Since))
		if first, _, _ := strings.Cut(v.Comment, "\n"); first != "" {
			line += ": " + first
		}
	} else if v.Reason != "" {
		line += ": " + strings.TrimPrefix(v.Reason, "no policy: ")
	}
	if v.Attempt != 0 {
		line += fmt.Sprintf("; install %d: %s", v.Attempt, v.Phase)
	}
	p.wrapped("Policy:            ", "                   ", line)
	if v.Drift > 0 {
		p.line("%s", p.paint(cell{fmt.Sprintf("                   the kernel differs from it (%d): holdfast policy status", v.Drift), yellow}))
	}
	if v.BootFilter {
		p.line("%s", p.paint(cell{"                   the boot filter holds: nothing is forwarded", yellow}))
	}
}

// drawOrders tells what holds moves up: orders, a freeze, the flap budget.
func drawOrders(p *page, s control.State) {
	switch {
	case s.Forced != "" && s.ForcedUntil != nil:
		p.line("Forced:            held on %s by order until %s", s.Forced, p.stamp(*s.ForcedUntil))
	case s.Forced != "":
		p.line("Forced:            being handed to %s by order", s.Forced)
	}
	for _, f := range s.Frozen {
		p.line("%s", p.paint(cell{fmt.Sprintf("Frozen:            by %s for %s more: no voluntary moves", f.By, ms(f.LeftMs)), yellow}))
	}
	if f := s.Flap; f != nil && f.Left < f.Budget {
		line := fmt.Sprintf("Moves left:        %d of %d within %s", f.Left, f.Budget, short(time.Duration(f.Window)))
		if f.Until != nil {
			line += ", the next at " + p.stamp(*f.Until)
		}
		p.line("%s", p.paint(cell{line, yellow}))
	}
}

func drawWarnings(p *page, s control.State) {
	for _, w := range s.Warnings {
		p.told("", cell{}, "", "Warning: "+w, yellow)
	}
	for _, m := range s.Members {
		if m.ConfigDigest != "" && m.ConfigDigest != s.ConfigDigest {
			p.line("%s", p.paint(cell{"Warning: " + m.Name + " has another configuration: " + m.ConfigDigest, yellow}))
		}
	}
	for _, line := range differences(s) {
		p.line("%s", line)
	}
}

// serves says which of the two bits of serving are set: both is yes.
func serves(m control.MemberState) string {
	word := ""
	switch {
	case m.Answer && m.Forward:
		word = "yes"
	case m.Answer:
		word = "answer"
	case m.Forward:
		word = "forward"
	}
	if m.Alone {
		word += " alone"
	}
	return strings.TrimSpace(word)
}

func nobody(name string) string {
	if name == "" {
		return "nobody"
	}
	return name
}
