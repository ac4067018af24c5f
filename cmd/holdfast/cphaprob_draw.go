// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
)

// The layouts of this file are those that scripts and eyes expect of cphaprob; the words in them are Holdfast's own.

func (p *page) ctime(t time.Time) string { return t.In(p.zone).Format("Mon Jan _2 15:04:05 2006") }

func cphaState(p *page, s control.State) {
	p.line("\nCluster Mode:   %s\n", cphaMode(s))
	p.line("%-10s %-15s %-15s %-14s %s\n", "ID", "Unique Address", "Assigned Load", "State", "Name")
	var problems []string
	for _, m := range s.Members {
		id, load := fmt.Sprint(m.ID), "0%"
		if m.Local {
			id += " (local)"
			problems = m.Problems
		}
		switch {
		case m.SharePercent != nil:
			load = strconv.FormatFloat(*m.SharePercent, 'f', 0, 64) + "%"
		case m.Answer:
			load = "100%"
		}
		p.line("%-10s %-15s %-15s %-14s %s", id, m.Address, load, m.State, m.Name)
	}
	if len(problems) == 0 {
		problems = []string{"None"}
	}
	p.line("\n\nActive PNOTEs: %s\n", strings.Join(problems, ", "))
	if e := s.LastChange; e != nil {
		p.line("Last member state change event:")
		p.line("   %-27s %s", "Event Code:", e.Code)
		p.line("   %-27s %s -> %s", "State change:", e.From, e.To)
		p.line("   %-27s %s", "Reason for state change:", e.Reason)
		p.line("   %-27s %s\n", "Event time:", p.ctime(e.Time))
	}
	if f := s.LastFailover; f != nil {
		cphaLastFailover(p, *f)
	}
	cphaCount(p, s.Failovers, s.FailoversSince, "")
}

// cphaMode is the mode in the words of that page.
func cphaMode(s control.State) string {
	switch s.Mode {
	case "load-sharing/unicast":
		return "Load Sharing (Unicast)"
	case "load-sharing/multicast":
		return "Load Sharing (Multicast)"
	}
	if s.Recovery == "highest-priority" {
		return "High Availability (Primary Up)"
	}
	return "High Availability (Active Up)"
}

// cphaCorrection is the page of what members give each other: each row is one member's own count.
func cphaCorrection(p *page, v control.Load) {
	p.line("\nCluster Correction Statistics:\n")
	p.line("%-16s %14s %14s %14s %14s %14s", "Member", "Corrected", "Passed", "Received", "Duplicates", "Unknown")
	for _, m := range v.Members {
		name := m.Name
		if m.Local {
			name += " (local)"
		}
		p.line("%-16s %14d %14d %14d %14d %14d", name, m.Corrected, m.Passed, m.PassedIn, m.Duplicates, m.Unknown)
	}
	p.line("")
}

// cphaGroup is the page of the group that members join.
func cphaGroup(p *page, v control.Load) {
	if v.MulticastMAC == "" {
		p.line("\nIGMP Membership: Disabled\n")
		return
	}
	p.line("\nIGMP Membership: Enabled\n")
	p.line("   %-27s %s", "Multicast MAC:", strings.ToUpper(v.MulticastMAC))
	p.line("   %-27s %s\n", "Host Group:", nothing(v.Group))
}

func cphaLastFailover(p *page, f control.Failover) {
	p.line("Last cluster failover event:")
	p.line("   %-27s %s -> %s", "Transition to new ACTIVE:", nobody(f.From), f.To)
	p.line("   %-27s %s", "Reason:", f.Reason)
	p.line("   %-27s %s\n", "Event time:", p.ctime(f.Time))
}

func cphaCount(p *page, n uint64, since time.Time, why string) {
	if why != "" {
		why = " (" + why + ")"
	}
	p.line("Cluster failover count:")
	p.line("   %-27s %d", "Failover counter:", n)
	p.line("   %-27s %s%s\n", "Time of counter reset:", p.ctime(since), why)
}

func cphaInterfaces(p *page, v control.Interfaces) {
	secured := 0
	for _, i := range v.Interfaces {
		if strings.Contains(i.Role, "sync") {
			secured++
		}
	}
	mode := v.Transport
	if mode != "" {
		mode = strings.ToUpper(mode[:1]) + mode[1:]
	}
	p.line("\nCCP mode: Manual (%s)", mode)
	p.line("Required interfaces: %d", v.Required)
	p.line("Required secured interfaces: %d\n\n", secured)
	p.line("%-20s %s\n", "Interface Name:", "Status:")
	for _, i := range v.Interfaces {
		name, status := i.Name, i.Status
		switch {
		case !i.Monitored:
			status = "Non-Monitored"
		case strings.Contains(i.Role, "sync"):
			name += " (S)"
		default:
			name += " (P)"
		}
		if i.Monitored && i.In != i.Out {
			status = "Inbound: " + cphaDirection(i.In, i.InAgeMs) + "   Outbound: " + cphaDirection(i.Out, i.OutAgeMs)
		}
		p.line("%-20s %s", name, status)
	}
	p.line("\nS - sync, P - probing\n")
}

func cphaDirection(up bool, age float64) string {
	if up {
		return "UP"
	}
	if age < 0 {
		return "DOWN"
	}
	return fmt.Sprintf("DOWN (%.1f secs)", age/1000)
}

func cphaVIPs(p *page, v control.VIPs) {
	var lines []string
	for _, a := range v.VIPs {
		if a.Kind == "vip" {
			lines = append(lines, fmt.Sprintf("%-20s %-24s VMAC address: %s", a.Interface, a.Address, strings.ToUpper(a.MAC)))
		}
	}
	p.line("Virtual cluster interfaces: %d\n", len(lines))
	for _, l := range lines {
		p.line("%s", l)
	}
}

func cphaDevices(p *page, v control.Devices, list string) {
	problems, long := 0, list != "" && list != "i"
	for _, built := range []bool{true, false} {
		heading := "Registered Devices:"
		if built {
			heading = "Built-in Devices:"
		}
		if built && list == "e" {
			continue
		}
		number, shown := 0, false
		for _, d := range v.Devices {
			if d.BuiltIn != built {
				continue
			}
			number++
			if d.Status != "ok" {
				problems++
			} else if !long {
				continue
			}
			if !shown {
				p.line("\n%s\n", heading)
				shown = true
			}
			cphaDevice(p, d, number-1)
		}
	}
	if problems == 0 && !long {
		p.line("\nThere are no critical devices in problem state")
	}
}

func cphaDevice(p *page, d control.Device, number int) {
	p.line("Device Name: %s", d.Name)
	if !d.BuiltIn {
		timeout := "none"
		if d.TimeoutSec > 0 {
			timeout = fmt.Sprintf("%g sec", d.TimeoutSec)
		}
		p.line("Registration number: %d", number)
		p.line("Timeout: %s", timeout)
	}
	state := strings.ToUpper(d.Status)
	if d.Status == "problem" || d.Status == "init" {
		state = d.Status
	}
	p.line("Current state: %s", state)
	if !d.Reported.IsZero() {
		p.line("Time since last report: %.1f sec", p.now().Sub(d.Reported).Seconds())
	}
	if d.Reason != "" {
		p.line("Reason: %s", d.Reason)
	}
	p.line("")
}

func cphaFailovers(p *page, v control.Failovers) {
	p.line("")
	history := newestFirst(v.History)
	history = history[:min(len(history), shown)]
	if len(history) > 0 {
		cphaLastFailover(p, history[0])
	}
	cphaCount(p, v.Count, v.Since, v.Why)
	p.line("Cluster failover history (last %d failovers since %s):\n", len(history), p.ctime(v.Since))
	p.line("%-5s %-26s %-24s %s", "No.", "Time:", "Transition:", "Reason:")
	p.line("%s", strings.Repeat("-", 100))
	for i, f := range history {
		p.line("%-5d %-26s %-24s %s", i+1, p.ctime(f.Time), nobody(f.From)+" -> "+f.To, f.Reason)
	}
}
