// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/lab/conversation"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/table"
)

// talksAre compares what became of conversations, of one kind or all.
type talksAre struct {
	what string
	want compare
	all  bool // as many as there are
	kind conversation.Kind
	owned
}

// talksCondition parses one of
//
//	alive|going|finished OP N
//	alive|going|finished == all
//	gap OP D
//	lost|resent OP N
//	stalled > D OP N
//
// and whose they are after it; with all but the last, the kind too.
func (p *parser) talksCondition(w *words) condition {
	if w.take("stalled") {
		return stalled{over: w.compare(true), want: w.compare(false), owned: p.owned(w)}
	}
	c := talksAre{what: w.oneOf("word", "alive", "going", "finished", "gap", "lost", "resent", "stalled")}
	if (c.what == "alive" || c.what == "going" || c.what == "finished") && len(w.rest) > 1 && w.rest[1] == "all" {
		w.must("==")
		w.next("all")
		c.all = true
	} else {
		c.want = w.compare(c.what == "gap")
	}
	if c.owned = p.owned(w); w.more() && w.peek() != "within" {
		c.kind = conversation.Kind(w.oneOf("kind", conversation.Kinds()...))
		c.owned = p.owned(w)
	}
	return c
}

// maxDead bounds the list of dead ones.
const maxDead = 50

func (c talksAre) check(_ context.Context, r *runner) (bool, string, error) {
	talks, err := r.talking(c.kind)
	if err == nil {
		talks, err = c.among(r, talks)
	}
	if err != nil {
		return false, "", err
	}
	alive, finished, lost, resent, again := 0, 0, 0, 0, 0
	var longest conversation.Report
	var dead, silent []string
	for _, t := range talks {
		lost += t.Lost
		if resent += t.Resent; t.Resent > 0 {
			again++
		}
		switch {
		case t.Alive && c.what == "going" && !t.Finished && !t.Came.After(r.asked):
			silent = append(silent, t.Name)
		case t.Alive:
			alive++
		default:
			dead = append(dead, fmt.Sprintf("%s (%s)", t.Name, t.Why))
		}
		if t.Finished {
			finished++
		}
		if longest.Name == "" || t.Gap > longest.Gap {
			longest = t
		}
	}
	switch c.what {
	case "lost":
		return c.want.holds(float64(lost)), fmt.Sprint(lost), nil
	case "resent":
		return c.want.holds(float64(resent)), fmt.Sprintf("%d segments of %d of %d conversations", resent, again, len(talks)), nil
	case "gap":
		r.add(report.Event{At: longest.GapFrom, Kind: report.Gap, Subject: longest.Name, Text: "longest stop", Lasted: longest.Gap})
		return c.want.holds(float64(longest.Gap)), fmt.Sprintf("%s in %s", report.Ms(longest.Gap), longest.Name), nil
	}
	count := alive
	if c.what == "finished" {
		count = finished
	}
	got := fmt.Sprintf("%d of %d", count, len(talks))
	if len(silent) > 0 {
		got += ": silent: " + strings.Join(silent[:min(maxDead, len(silent))], ", ")
	}
	if len(dead) > 0 {
		got += ": dead: " + strings.Join(dead[:min(maxDead, len(dead))], ", ")
	}
	if c.all {
		return count == len(talks), got, nil
	}
	return c.want.holds(float64(count)), got, nil
}

// talking returns what became of the conversations of a kind, "" for all, since the mark.
func (r *runner) talking(kind conversation.Kind) ([]conversation.Report, error) {
	if r.talks == nil {
		return nil, errors.New("no conversation has begun: say converse")
	}
	talks := slices.DeleteFunc(r.talks.Window(r.marked, time.Now()), func(t conversation.Report) bool { return kind != "" && t.Kind != kind })
	if len(talks) == 0 {
		return nil, fmt.Errorf("there is no conversation of kind %s", kind)
	}
	return talks, nil
}

// holding holds while every FTP client has agreed on a data connection and not opened it.
type holding struct{}

func (holding) check(_ context.Context, r *runner) (bool, string, error) {
	talks, err := r.talking(conversation.FTP)
	if err != nil {
		return false, "", err
	}
	count := 0
	for _, t := range talks {
		if t.Holding {
			count++
		}
	}
	return count == len(talks), fmt.Sprintf("%d of %d hold", count, len(talks)), nil
}

// gatewayResets compares how many RSTs members have made.
type gatewayResets struct{ want compare }

func (c gatewayResets) check(ctx context.Context, r *runner) (bool, string, error) {
	if r.resets == nil {
		return false, "", errors.New("nobody looks: write conversation into the traffic block")
	}
	from, to, err := r.window(ctx)
	if err != nil {
		return false, "", err
	}
	all, missed := r.resets.Window(from, to)
	count := 0
	got := ""
	for _, s := range all {
		if s.Gateway {
			count++
			got = ", the last " + s.String()
		}
	}
	got = fmt.Sprintf("%d of %d resets%s", count, len(all), got)
	if missed > 0 {
		return false, fmt.Sprintf("%s, and %d frames were not seen", got, missed), nil
	}
	return c.want.holds(float64(count)), got, nil
}

// tablesEqual holds while all members that are on have the connection table of the one that serves.
type tablesEqual struct{}

func (tablesEqual) check(ctx context.Context, r *runner) (bool, string, error) {
	serving := r.cluster.Serving(ctx)
	if len(serving) != 1 {
		return false, fmt.Sprintf("%v serve", serving), nil
	}
	read := func(member string) (table.Table, error) {
		n, err := r.lab.Node(member)
		if err != nil {
			return nil, err
		}
		return table.Read(n.NS, r.own())
	}
	first, err := read(serving[0])
	if err != nil {
		return false, "", err
	}
	copies := map[string]table.Table{}
	for _, m := range r.cluster.Members() {
		if m.Name() == serving[0] || !m.Machine().Booted() {
			continue
		}
		if copies[m.Name()], err = read(m.Name()); err != nil {
			return false, "", err
		}
	}
	second, err := read(serving[0])
	if err != nil {
		return false, "", err
	}
	equal := true
	got := fmt.Sprintf("%d on %s", len(second), serving[0])
	for _, m := range r.cluster.Members() {
		if has, ok := copies[m.Name()]; ok {
			d := table.Compare(first, has, second)
			equal = equal && d.Equal()
			got += fmt.Sprintf("; %d on %s: %s", len(has), m.Name(), d)
		}
	}
	return equal, got, nil
}

// entries compares how many connections and expectations of others a member's kernel knows.
type entries struct {
	member string
	want   compare
}

func (c entries) check(_ context.Context, r *runner) (bool, string, error) {
	n, err := r.lab.Node(c.member)
	if err != nil {
		return false, "", err
	}
	t, err := table.Read(n.NS, r.own())
	if err != nil {
		return false, "", err
	}
	return c.want.holds(float64(len(t))), fmt.Sprint(len(t)), nil
}
