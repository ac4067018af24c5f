// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
)

func (a *app) interfacesCommand() *cobra.Command {
	cmd := noun(a, "interfaces", "This member's interfaces and who is heard on them", (*control.Client).Interfaces, drawInterfaces)
	cmd.Aliases = []string{"if"}
	return cmd
}

func drawInterfaces(p *page, v control.Interfaces) {
	p.line("Member %s: %d of %d monitored interfaces up, CCP %s", v.Member, v.Up, v.Required, v.Transport)
	p.line("")
	var rows, peers [][]cell
	for _, i := range v.Interfaces {
		in, out := "", ""
		if i.Monitored {
			in, out = direction(i.In, i.InAgeMs), direction(i.Out, i.OutAgeMs)
		}
		rows = append(rows, []cell{text(i.Name), text(i.Device), text(i.Role), statusCell(i.Status), text(carrier(i.Carrier)), text(in), text(out), text(partOf(i)),
			text(i.Attached), text(strings.Join(i.Addresses, " ")), text(i.VMAC), text(number(uint64(i.VIPs))), {i.Reason, yellow}})
		for _, l := range i.Peers {
			peers = append(peers, []cell{text(i.Name), text(l.Member), upDown(l.Up), text(ms(l.AgeMs)), text(rtt(l.RTTUs)), text(l.MAC), says(l.Says)})
		}
	}
	p.table([]string{"NAME", "DEVICE", "ROLE", "STATUS", "CARRIER", "CCP IN", "CCP OUT", "PART OF", "GATE", "ADDRESSES", "VMAC", "VIPS", "REASON"}, rows)
	if len(v.Groups) > 0 {
		p.line("")
		var groups [][]cell
		for _, g := range v.Groups {
			status := "UP"
			if g.Reason != "" {
				status = "DOWN"
			}
			groups = append(groups, []cell{text(g.Name), statusCell(status), text(fmt.Sprintf("%d of %d, needs %d", g.Up, len(g.Interfaces), g.MinUp)),
				text(strings.Join(g.Interfaces, " ")), {g.Reason, yellow}})
		}
		p.table([]string{"GROUP", "STATUS", "WELL", "INTERFACES", "REASON"}, groups)
	}
	if len(peers) > 0 {
		p.line("")
		p.table([]string{"INTERFACE", "PEER", "STATUS", "ANSWERED", "RTT", "MAC", "SAYS"}, peers)
	}
}

// says is what a peer says of its end.
func says(v *control.PeerInterface) cell {
	switch {
	case v == nil:
		return text("")
	case !v.Carrier:
		return cell{"no carrier", yellow}
	case v.Problem && v.Proven:
		return cell{"problem, proven to be its own", yellow}
	case v.Problem:
		return cell{"problem", yellow}
	case v.Undecided:
		return cell{"undecided whose fault", yellow}
	case !v.HearsUs:
		return cell{"does not hear this member", yellow}
	}
	return text("well")
}

// partOf names the trunk, bond and group that an interface belongs to.
func partOf(i control.InterfaceState) string {
	var words []string
	if i.Trunk != "" {
		words = append(words, fmt.Sprintf("%s.%d", i.Trunk, i.VLAN))
	}
	if b := i.Bond; b != nil && b.MinLinks > 0 {
		words = append(words, fmt.Sprintf("%s %d/%d min %d", b.Name, b.Up, b.Links, b.MinLinks))
	} else if b != nil {
		words = append(words, fmt.Sprintf("%s %d/%d", b.Name, b.Up, b.Links))
	}
	if i.Group != "" {
		words = append(words, "group "+i.Group)
	}
	return strings.Join(words, ", ")
}

func direction(up bool, age float64) string {
	switch {
	case up:
		return "up"
	case age < 0:
		return "never"
	}
	return "down " + ms(age)
}

func carrier(up bool) string {
	if up {
		return "yes"
	}
	return "NO"
}

func upDown(up bool) cell {
	if up {
		return statusCell("UP")
	}
	return statusCell("DOWN")
}

func rtt(us float64) string {
	if us == 0 {
		return ""
	}
	return strconv.FormatFloat(us, 'f', 0, 64) + " us"
}

func (a *app) vipsCommand() *cobra.Command {
	return noun(a, "vips", "The cluster's virtual addresses and who answers for them", (*control.Client).VIPs, drawVIPs)
}

func drawVIPs(p *page, v control.VIPs) {
	if v.Serving {
		p.line("Member %s answers.", v.Member)
	} else {
		p.line("Member %s does not answer.", v.Member)
	}
	p.line("")
	rows := make([][]cell, 0, len(v.VIPs))
	for _, a := range v.VIPs {
		announced := ""
		if a.Announced != nil {
			announced = p.ago(*a.Announced)
		}
		rows = append(rows, []cell{text(a.Address), text(a.Prefix), text(a.Interface), text(a.Kind), text(a.MAC), text(a.Holder),
			text(announced)})
	}
	p.table([]string{"ADDRESS", "PREFIX", "INTERFACE", "KIND", "MAC", "HOLDER", "ANNOUNCED"}, rows)
}

func (a *app) timersCommand() *cobra.Command {
	return noun(a, "timers", "All timers in force, how they derive, and what is late", (*control.Client).Timers, drawTimers)
}

func drawTimers(p *page, v control.Timers) {
	p.line("Profile %s. Timers marked * may be set in cluster.yaml.", v.Profile)
	p.line("")
	rows := make([][]cell, 0, len(v.Timers))
	for _, t := range v.Timers {
		name, value := t.Name, text(ms(t.ValueMs))
		if t.Settable {
			name += " *"
		}
		if t.ValueMs != t.DefaultMs {
			value.style = yellow
		}
		rows = append(rows, []cell{text(name), value, text(ms(t.DefaultMs)), text(t.Formula), text(t.Meaning)})
	}
	p.table([]string{"TIMER", "VALUE", "DEFAULT", "DEFAULT IS", "MEANING"}, rows)
	if len(v.Lateness) > 0 {
		p.line("")
		rows = rows[:0]
		for _, l := range v.Lateness {
			worst := text(ms(l.WorstMs))
			if l.LimitMs > 0 && l.WorstMs > l.LimitMs {
				worst.style = red
			}
			rows = append(rows, []cell{text(l.Name), text(ms(l.LastMs)), worst, text(ms(l.LimitMs))})
		}
		p.table([]string{"LATENESS", "LAST", "WORST", "HARMLESS TO"}, rows)
	}
	if len(v.Used) > 0 {
		p.line("")
		rows = rows[:0]
		for _, m := range v.Used {
			used := text(strconv.Itoa(m.UsedPercent) + " %")
			if m.Thin {
				used.style = yellow
			}
			bears, value := ms(m.LimitMs), ms(m.ValueMs)
			if m.LimitMs == 0 {
				bears, value = "-", "-"
			}
			rows = append(rows, []cell{text(m.Member), text(m.Timer), text(m.Measure), text(value), text(bears), used})
		}
		p.table([]string{"MEMBER", "TIMER", "EATEN INTO BY", "LAST", "BEARS", "USED"}, rows)
	}
	for _, m := range v.Margins {
		p.told("", cell{}, "", "Thin: "+m, yellow)
	}
}

func (a *app) countersCommand() *cobra.Command {
	all := false
	cmd := noun(a, "counters", "Raw counters of gate, protocol and pulse", (*control.Client).Counters, func(p *page, v control.Counters) {
		var rows [][]cell
		for _, g := range slices.Sorted(maps.Keys(v.Groups)) {
			for _, name := range slices.Sorted(maps.Keys(v.Groups[g])) {
				if n := v.Groups[g][name]; n != 0 || all {
					rows = append(rows, []cell{text(g), text(name), text(fmt.Sprint(n))})
				}
			}
		}
		p.line("Member %s", v.Member)
		p.line("")
		p.table([]string{"GROUP", "COUNTER", "VALUE"}, rows)
	})
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also those that are 0")
	return cmd
}
