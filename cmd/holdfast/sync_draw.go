// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-project/holdfast/internal/control"
)

// syncCell colours a status of state synchronisation.
func syncCell(status string) cell {
	switch status {
	case "OK":
		return cell{status, green}
	case "off":
		return cell{status, red}
	default:
		return cell{status, yellow}
	}
}

func drawSync(p *page, v control.Sync) {
	drawSyncHead(p, v.Member, v.Status, v.Reason)
	switch {
	case v.Role == "owner":
		p.line("It serves: its table counts.")
	case v.Owner != "":
		p.line("%s serves; this member is %d records, %s behind.", v.Owner, v.LagRecords, ms(v.LagMs))
	}
	if f := v.FullSync; f != nil && (f.Running || !v.Current) {
		p.line("%s.", progressText("from", *f))
	}
	if v.Held > 0 {
		p.line("%d new connections wait for the delay of their service.", v.Held)
	}
	p.line("")
	rows := make([][]cell, 0, len(v.Members))
	for _, m := range v.Members {
		rows = append(rows, syncMemberRow(m))
	}
	p.table([]string{"MEMBER", "ROLE", "CURRENT", "ENTRIES", "DIGEST", "EQUAL", "TO ACKNOWLEDGE", "HEARD", "NOTE"}, rows)
	if len(v.Interfaces) > 0 {
		p.line("")
		drawSyncInterfaces(p, v.Interfaces)
	}
	if len(v.Services) > 0 {
		p.line("")
		p.wrapped("Services: ", "  ", strings.Join(v.Services, ", "))
	}
	if len(v.Sets) > 0 {
		p.wrapped("Sets: ", "  ", strings.Join(v.Sets, ", "))
	}
}

func drawSyncHead(p *page, member, status, reason string) {
	line := "Member " + member + ": state synchronisation is " + p.paint(syncCell(status))
	if reason != "" {
		line += ": " + reason
	}
	p.line("%s", line)
}

func syncMemberRow(m control.SyncMember) []cell {
	name, note, equal, heard, unacked := m.Name, cell{}, text("-"), "", ""
	switch {
	case m.Local:
		name += " (local)"
		note.text = extras(m)
	case m.HeardMs < 0:
		heard, note = "never", cell{"not heard", yellow}
	default:
		heard = ms(m.HeardMs)
		switch {
		case m.Evicted && m.Connected:
			note = cell{"too slow: not waited for", yellow}
		case m.Evicted:
			note = cell{"away: not waited for", yellow}
		case !m.Connected:
			note = cell{"not connected", yellow}
		case m.Serving != nil && m.Serving.Running:
			note = cell{progressText("to", *m.Serving), yellow}
		}
		unacked = fmt.Sprint(m.Unacked)
		if m.Unacked > 0 {
			unacked += ", " + ms(m.LagMs)
		}
		if m.Equal != nil && m.Connected { // what was equal once says nothing of a member that is away
			equal = yes(*m.Equal)
		}
	}
	return []cell{text(name), text(m.Role), yes(m.Current), text(strconv.FormatUint(m.Entries, 10)), text(m.Digest), equal, text(unacked), text(heard), note}
}

// extras are what a member has beside connections.
func extras(m control.SyncMember) string {
	var words []string
	if m.Expectations > 0 {
		words = append(words, fmt.Sprintf("%d expectations", m.Expectations))
	}
	if m.SetElements > 0 {
		words = append(words, fmt.Sprintf("%d set elements", m.SetElements))
	}
	return strings.Join(words, ", ")
}

func yes(b bool) cell {
	if b {
		return cell{"yes", green}
	}
	return cell{"NO", yellow}
}

// progressText is a full sync or repair in words.
func progressText(direction string, f control.SyncProgress) string {
	what := "repair"
	if f.Full {
		what = "full sync"
	}
	if f.Peer != "" {
		what += " " + direction + " " + f.Peer
	}
	what += ": " + f.Stage
	if f.Total > 0 {
		what += fmt.Sprintf(", %d of about %d records", f.Done, f.Total)
	}
	if f.Buckets > 0 {
		what += fmt.Sprintf(", %d of 1024 buckets differ", f.Buckets)
	}
	if f.Tries > 1 {
		what += fmt.Sprintf(", attempt %d", f.Tries)
	}
	return what + ", " + ms(f.TookMs)
}

func drawSyncInterfaces(p *page, all []control.SyncInterface) {
	rows := make([][]cell, 0, len(all))
	for _, i := range all {
		speed, used := "", ""
		if i.SpeedMbit > 0 {
			speed = fmt.Sprintf("%d Mbit/s", i.SpeedMbit)
			used = fmt.Sprintf("%.1f %%", (i.SentRate+i.ReceivedRate)*8/float64(i.SpeedMbit)/1e4)
		}
		rows = append(rows, []cell{text(i.Name), upDown(i.Up && i.Error == ""), text(strings.Join(i.Heard, " ")), text(speed), text(used), text(size(i.SentRate) + "/s"),
			text(size(i.ReceivedRate) + "/s"), text(size(i.PeakRate) + "/s"), text(size(float64(i.SentBytes))), text(size(float64(i.ReceivedBytes))), {i.Error, yellow}})
	}
	p.table([]string{"INTERFACE", "STATUS", "HEARD THERE", "SPEED", "USED", "SENDS", "RECEIVES", "PEAK", "SENT", "RECEIVED", "ERROR"}, rows)
}

// size writes a number of bytes with three places or so.
func size(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for n >= 1024 && i < len(units)-1 {
		n /= 1024
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%.0f B", n)
	}
	return fmt.Sprintf("%.1f %s", n, units[i])
}

// syncStatsOrder is the order of groups on paper, and what each one says; every number of a group is shown, but for groups that count
// by reason.
var syncStatsOrder = []struct{ group, title string }{
	{"risk", "AT RISK"}, {"sent", "SENT"}, {"received", "RECEIVED"}, {"applied", "APPLIED"}, {"reconciled", "RECONCILED"}, {"queues", "QUEUES"},
	{"refused-records", "REFUSED RECORD"}, {"dropped-frames", "DROPPED FRAME"}, {"kernel-errors", "REFUSED BY THE KERNEL"}, {"skipped-events", "NOT SYNCHRONISED"},
}

func drawSyncStats(p *page, v control.SyncStats) {
	drawSyncHead(p, v.Member, v.Status, v.Reason)
	p.line("Counted since %s (%s). Records sent %.0f/s, into the kernel %.0f/s; a record waits %s at most for others to leave with it.",
		p.stamp(v.Since), p.ago(v.Since), v.RecordRate, v.InjectRate, ms(v.FlushMs))
	for _, g := range syncStatsOrder {
		counters := v.Groups[g.group]
		if len(counters) == 0 {
			continue
		}
		rows := make([][]cell, 0, len(counters))
		for _, name := range slices.Sorted(maps.Keys(counters)) {
			c := text(fmt.Sprint(counters[name]))
			if counters[name] > 0 && g.group == "risk" {
				c.style = yellow
			}
			rows = append(rows, []cell{text(name), c})
		}
		p.line("")
		p.table([]string{g.title, "COUNT"}, rows)
	}
	if len(v.Interfaces) > 0 {
		p.line("")
		drawSyncInterfaces(p, v.Interfaces)
	}
}

// shownExamples is how many lines a comparison shows for people; -o json has all.
const shownExamples = 20

func drawVerify(p *page, v control.SyncVerify) {
	rows := make([][]cell, 0, len(v.Reports))
	for _, r := range v.Reports {
		if r.Error != "" {
			rows = append(rows, []cell{text(r.Peer), {"not compared", yellow}, {}, {}, {}, {}, {}, {}, {}, {r.Error, yellow}})
			continue
		}
		verdict := cell{"equal", green}
		if r.OnlyLocal+r.OnlyRemote+r.Different > 0 { // the sets have a table of their own
			verdict = cell{"DIFFERENT", red}
		}
		rows = append(rows, []cell{text(r.Peer), verdict, text(fmt.Sprint(r.Local)), text(fmt.Sprint(r.Remote)), text(fmt.Sprint(r.Buckets)),
			text(fmt.Sprint(r.OnlyLocal)), text(fmt.Sprint(r.OnlyRemote)), text(fmt.Sprint(r.Different)), text(ms(r.TookMs)), {}})
	}
	p.table([]string{"WITH", "TABLES ARE", "HERE", "THERE", "BUCKETS", "ONLY HERE", "ONLY THERE", "DIFFERENT", "TOOK", "ERROR"}, rows)
	drawVerifiedSets(p, v)
	for _, r := range v.Reports {
		if len(r.Examples) == 0 {
			continue
		}
		p.line("")
		p.line("%s and %s:", v.Member, r.Peer)
		for _, line := range r.Examples[:min(len(r.Examples), shownExamples)] {
			p.line("  %s", line)
		}
		if more := len(r.Examples) - shownExamples; more > 0 {
			p.line("  and %d more: -o json", more)
		}
	}
}

// drawVerifiedSets shows how the nftables sets compare, where there are any.
func drawVerifiedSets(p *page, v control.SyncVerify) {
	var rows [][]cell
	for _, r := range v.Reports {
		s := r.Sets
		switch {
		case s == nil:
		case s.Error != "":
			rows = append(rows, []cell{text(r.Peer), {"not compared", yellow}, {}, {}, {}, {}, {}, {s.Error, yellow}})
		default:
			verdict := cell{"equal", green}
			if !s.Equal {
				verdict = cell{"DIFFERENT", red}
			}
			rows = append(rows, []cell{text(r.Peer), verdict, text(fmt.Sprint(s.Local)), text(fmt.Sprint(s.Remote)),
				text(fmt.Sprint(s.OnlyLocal)), text(fmt.Sprint(s.OnlyRemote)), text(fmt.Sprint(s.Different)), {}})
		}
	}
	if len(rows) > 0 {
		p.line("")
		p.table([]string{"WITH", "SETS ARE", "HERE", "THERE", "ONLY HERE", "ONLY THERE", "DIFFERENT", "ERROR"}, rows)
	}
}

// cphaSync is the page of cphaprob syncstat; a batch is what that page calls an update.
func cphaSync(p *page, s control.Sync, v control.SyncStats) {
	status := v.Status
	if v.Reason != "" {
		status += " - " + v.Reason
	}
	if status != "" {
		status = strings.ToUpper(status[:1]) + status[1:]
	}
	g := v.Groups
	row := func(name string, n uint64) { p.line("   %-42s %d", name, n) }
	p.line("\nDelta Sync Statistics\n\nSync status: %s\n", status)
	p.line("Drops:")
	row("Lost updates", g["risk"]["batches-lost"])
	row("Lost kernel events", g["risk"]["events-lost"])
	row("Refreshes dropped under load", g["risk"]["refreshes-dropped"])
	p.line("\nSync at risk:")
	row("Members not waited for", g["risk"]["evictions"])
	row("Tables that differed", g["risk"]["differences"])
	p.line("\nSent messages:")
	row("Total generated sync messages", g["sent"]["records"])
	row("Sent retransmission requests", g["received"]["requested"])
	row("Sent retransmission updates", g["sent"]["retransmitted"])
	p.line("\nReceived messages:")
	row("Total received updates", g["received"]["batches"])
	row("Received twice", g["received"]["duplicates"])
	for _, i := range v.Interfaces {
		p.line("\nSync Interface:")
		p.line("   %-42s %s", "Name", i.Name)
		if i.SpeedMbit > 0 {
			p.line("   %-42s %dMb/s", "Link speed", i.SpeedMbit)
			p.line("   %-42s %.0f%%", "Link usage", (i.SentRate+i.ReceivedRate)*8/float64(i.SpeedMbit)/1e4)
		}
		p.line("   %-42s %.0f [Bps]", "Rate", i.SentRate+i.ReceivedRate)
		p.line("   %-42s %.0f [Bps]", "Peak rate", i.PeakRate)
		p.line("   %-42s %d[KB]", "Total", (i.SentBytes+i.ReceivedBytes)>>10)
	}
	p.line("\nQueue sizes (now, peak):")
	p.line("   %-42s %d, %d", "Sending queue (records)", g["queues"]["records"], g["queues"]["records-peak"])
	p.line("   %-42s %d, %d", "Receiving queue (bytes)", g["queues"]["inject-bytes"], g["queues"]["inject-bytes-peak"])
	p.line("   %-42s %d of %d", "Kept for retransmission (bytes)", g["queues"]["log-bytes"], g["queues"]["log-bytes-limit"])
	p.line("\nTimers:")
	p.line("   %-42s %.0f", "Delta Sync interval (ms)", v.FlushMs)
	p.line("\nReset on %s", p.ctime(v.Since))
	for _, m := range s.Members {
		if m.Local {
			p.line("%d connections, digest %s\n", m.Entries, m.Digest)
		}
	}
}
