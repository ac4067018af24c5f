// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
)

func drawLoad(p *page, v control.Load) {
	lead := "nobody leads"
	switch {
	case v.Leader != "" && v.Method == "unicast":
		lead = v.Leader + " is the pivot"
	case v.Leader != "":
		lead = v.Leader + " leads"
	}
	p.line("Load sharing by %s, key %s, %s.", v.Method, v.Key, lead)
	p.line("%s", tableText(p, v.Table))
	p.line("Weights: %s.", weightsText(v))
	if v.Blocking {
		p.line("%s", p.paint(cell{"New connections are dropped: state synchronisation is at risk.", red}))
	}
	p.line("")
	rows := make([][]cell, 0, len(v.Members))
	for _, m := range v.Members {
		rows = append(rows, loadRow(v, m))
	}
	p.table([]string{"MEMBER", "STATE", "WEIGHT", "SLOTS", "SHARE", "MEASURED", "PACKETS/S", "BYTES/S", "CPU", "NOTE"}, rows)
	p.line("")
	rows = rows[:0]
	for _, m := range v.Members {
		row := []cell{text(m.Name)}
		for _, n := range []uint64{m.Packets, m.Passed, m.PassedIn, m.Corrected, m.Duplicates, m.Unknown, m.Foreign} {
			row = append(row, text(strconv.FormatUint(n, 10)))
		}
		rows = append(rows, row)
	}
	p.table([]string{"PACKETS", "TAKEN", "PASSED", "PASSED IN", "CORRECTED", "DUPLICATES", "UNKNOWN", "FOREIGN"}, rows)
	p.line("")
	if v.MulticastMAC != "" {
		group := "no group: switches must flood it"
		if v.Group != "" {
			group = "group " + v.Group
		}
		p.line("Virtual addresses resolve to %s, %s.", v.MulticastMAC, group)
	}
	p.line("Source ports for translation: %s; definitions for rulesets: %s", v.SNATPorts, nothing(v.Defines))
	if len(v.Published) > 0 {
		p.wrapped("Published: ", "  ", strings.Join(v.Published, ", "))
	}
	if len(v.Untranslated) > 0 {
		p.line("No connection of %s is translated: none is looked up.", strings.Join(v.Untranslated, " and "))
	}
	for _, w := range v.Warnings {
		p.line("%s", p.paint(cell{"Warning: " + w, yellow}))
	}
}

// tableText says how far the members agree.
func tableText(p *page, t control.LoadTable) string {
	if t.Term == 0 {
		return p.paint(cell{"This member knows of no table of slots.", yellow})
	}
	line := fmt.Sprintf("Table %d.%d", t.Term, t.Number)
	if t.Phase == "prepare" {
		line += ", being agreed on for " + ms(t.AgeMs)
	} else {
		line += ", in force for " + p.ago(p.now().Add(-time.Duration(t.AgeMs*float64(time.Millisecond))))
	}
	var open []string
	if t.Moving > 0 {
		open = append(open, fmt.Sprintf("%d slots are moving", t.Moving))
	}
	if t.Nobody > 0 {
		open = append(open, p.paint(cell{fmt.Sprintf("NOBODY TAKES %d slots", t.Nobody), red}))
	}
	switch {
	case t.Settled:
		open = append(open, p.paint(cell{"settled", green}))
	case len(open) == 0:
		open = append(open, p.paint(cell{"not everybody has confirmed it", yellow}))
	}
	return line + ": " + strings.Join(open, ", ") + "."
}

// weightsText says where the weights come from.
func weightsText(v control.Load) string {
	words := map[string]string{"default": "by default", "configuration": "as configured", "order": "by order, until the next reload or holdfast load weight --reset",
		"adaptive": "by the measured load"}
	text, ok := words[v.Weights]
	if !ok {
		text = v.Weights
	}
	if v.Adaptive && v.Weights != "adaptive" {
		text += "; they follow the measured load"
	}
	return text
}

func loadRow(v control.Load, m control.LoadMember) []cell {
	name := m.Name
	if m.Local {
		name += " *"
	}
	weight := strconv.Itoa(int(m.Weight))
	if m.Weight != m.Configured {
		weight += fmt.Sprintf(" (%d)", m.Configured)
	}
	measured, packets, bytes := "", "", ""
	if v.WindowMs > 0 && m.MeasuredPercent >= 0 {
		measured = percent(m.MeasuredPercent)
		packets, bytes = strconv.FormatFloat(m.PacketRate, 'f', 0, 64), size(m.ByteRate)
	}
	cpu := ""
	if m.State != "LOST" {
		cpu = strconv.FormatFloat(m.LoadPercent, 'f', 0, 64) + "%"
	}
	return []cell{text(name), stateCell(m.State), text(weight), text(strconv.Itoa(m.Slots)), text(percent(m.SharePercent)), text(measured),
		text(packets), text(bytes), text(cpu), loadNote(m)}
}

// loadNote says what is not as it should be with a member's share.
func loadNote(m control.LoadMember) cell {
	switch {
	case m.Leaving:
		return cell{"leaving", yellow}
	case m.Slots > 0 && !m.Open:
		return cell{"share closed", red}
	case m.Slots > 0 && !m.Confirmed:
		return cell{"has not confirmed the table", yellow}
	case m.Reason != "":
		return cell{m.Reason, yellow}
	}
	return cell{}
}

func percent(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) + "%" }

// packetText is the packet that was asked about.
func packetText(r control.WhichRequest) string {
	end := func(address string, port uint16) string {
		if port == 0 {
			return address
		}
		return net.JoinHostPort(address, strconv.Itoa(int(port)))
	}
	line := fmt.Sprintf("%s %s -> %s", r.Protocol, end(r.Source, r.SourcePort), end(r.Destination, r.DestinationPort))
	if r.SPI != 0 {
		line += fmt.Sprintf(" SPI %#x", r.SPI)
	}
	if r.Reply {
		line += " (an answer)"
	}
	return line
}

func drawWhich(p *page, r control.WhichRequest, v control.Which) {
	packet := packetText(r)
	switch {
	case !v.Steered:
		p.line("%s is not shared: whoever receives it has it.", packet)
	case v.Taker == "":
		p.line("%s is %s.", packet, p.paint(cell{"dropped", red}))
	default:
		p.line("%s is taken by %s.", packet, p.paint(cell{v.Taker, green}))
	}
	p.line("")
	if v.Slot >= 0 {
		line := fmt.Sprintf("Slot:       %d", v.Slot)
		if v.Rule != "" {
			line += ", by " + ruleText(v.Rule)
		}
		p.line("%s", line)
	}
	if v.Decider != "" {
		line := "Decides:    " + v.Decider
		if v.Passed {
			line += ", which passes it on to " + v.Taker
		}
		p.line("%s", line)
	}
	if v.Next != "" {
		p.line("Moving to:  %s", v.Next)
	}
	if k := v.Known; k != nil {
		p.line("Connection: %s", k.Original)
		p.line("            %s", k.Reply)
		p.line("            slot %d, owner %s", k.Slot, nobody(k.Owner))
	} else if v.Steered {
		p.line("Connection: none that %s knows", v.Member)
	}
	for i, w := range v.Why {
		first := "            "
		if i == 0 {
			first = "Why:        "
		}
		p.wrapped(first, "            ", w)
	}
}

// ruleText is what a slot follows from, in words.
func ruleText(rule string) string {
	words := map[string]string{"snat-range": "the member's part of the source ports", "published": "the client's end alone, since the other is a published server",
		"virtual": "the source alone, since the destination is a virtual address", "both-ends": "both ends"}
	if text, ok := words[rule]; ok {
		return text
	}
	return rule
}
