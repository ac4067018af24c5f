// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/usage"
)

// past says which part of a history is wanted.
type past struct {
	since string
	last  int
	given bool // --last was
}

// shown is how much of a history is shown unless the operator says otherwise.
const shown = 20

func (p *past) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.since, "since", "", "only what is younger: 24h, 7d, 2026-11-22T10:00:00Z or 2026-11-22 10:00 (local time)")
	cmd.Flags().IntVar(&p.last, "last", shown, "only the last so many; 0 for all (with --since: all)")
	cmd.PreRun = func(*cobra.Command, []string) { p.given = cmd.Flags().Changed("last") }
}

// keep returns the wanted part of a history, which is given and returned oldest first.
func keep[T any](a *app, p past, all []T, at func(T) time.Time) ([]T, error) {
	if p.last < 0 {
		return nil, usage.New(fmt.Errorf("--last %d: choose 1 or more, or 0 for all", p.last))
	}
	last := p.last
	if p.since != "" {
		from, err := moment(p.since, a.now(), a.zone)
		if err != nil {
			return nil, usage.New(err)
		}
		kept := make([]T, 0, len(all))
		for _, v := range all {
			if !at(v).Before(from) {
				kept = append(kept, v)
			}
		}
		all = kept
		if !p.given {
			last = 0
		}
	}
	if last > 0 && len(all) > last {
		all = all[len(all)-last:]
	}
	return all, nil
}

// moment reads a time, or how long ago it was.
func moment(text string, now time.Time, zone *time.Location) (time.Time, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if d, err := time.ParseDuration(days + "h"); err == nil && d >= 0 {
			return now.Add(-24 * d), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since %s: write how long ago, 24h or 7d, or a time, 2026-11-22T10:00:00Z", text)
}

// culprits names what caused a change.
func culprits(words ...string) string {
	var named []string
	for _, w := range words {
		if w != "" {
			named = append(named, w)
		}
	}
	return strings.Join(named, " ")
}

func (a *app) historyCommand() *cobra.Command {
	var past past
	cmd := noun(a, "history", "Changes of the members' states, kept across restarts and reboots",
		func(c *control.Client, ctx context.Context) (control.History, error) {
			v, err := c.History(ctx)
			if err == nil {
				v.Changes, err = keep(a, past, v.Changes, func(e control.Event) time.Time { return e.Time })
			}
			return v, err
		}, drawHistory)
	cmd.Long = "Every change of this member's state, and of the others' as this one saw it, kept on disk (the last 5000).\n" +
		"Hand-overs of the gateway: holdfast failover history. Everything else that happened since the daemon started: holdfast events."
	past.flags(cmd)
	return cmd
}

func drawHistory(p *page, v control.History) {
	rows := make([][]cell, 0, len(v.Changes))
	for i := len(v.Changes) - 1; i >= 0; i-- { // newest first
		e := v.Changes[i]
		gap := ""
		if e.GapMs > 0 {
			gap = ms(e.GapMs)
		}
		rows = append(rows, []cell{text(p.stamp(e.Time)), text(e.Member), text(e.From), stateCell(e.To), text(fmt.Sprint(e.Number)),
			{e.Code, severityStyle(e.Severity)}, text(number(uint64(e.Term))), text(gap), text(culprits(e.Peer, e.Interface, e.Device)), text(e.Reason)})
	}
	p.table([]string{"TIME", "MEMBER", "FROM", "TO", "NO", "EVENT", "TERM", "GAP", "CAUSE", "REASON"}, rows)
}
