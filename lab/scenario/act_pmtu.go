// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-project/holdfast/lab/pmtu"
	"github.com/holdfast-project/holdfast/lab/report"
)

// tooBig parses "COUNT [v6] [from N] [to N|vip]".
func (p *parser) tooBig(w *words) action {
	a := tooBig{count: w.number("number of flows", 1, 2000), from: "client1", to: "server1"}
	for w.more() {
		switch w.oneOf("word", "v6", "from", "to") {
		case "v6":
			a.six = true
		case "from":
			a.from = p.node(w)
		case "to":
			if a.viaVIP = w.take("vip"); !a.viaVIP {
				a.to = p.node(w)
			}
		}
	}
	return a
}

// tooBig lets a router beyond the gateway say of many flows that a packet was too big.
type tooBig struct {
	count       int
	six, viaVIP bool
	from, to    string
}

func (a tooBig) run(ctx context.Context, r *runner) (err error) {
	c := pmtu.Config{Family: 4, Count: a.count}
	if a.six {
		c.Family = 6
	}
	if c.From, err = r.lab.Node(a.from); err != nil {
		return err
	}
	if c.To, err = r.lab.Node(a.to); err != nil {
		return err
	}
	to := a.to
	if a.viaVIP {
		to = "vip"
		if c.At, err = r.vip(c.From, c.Family); err != nil {
			return err
		}
	}
	rep, err := pmtu.Run(ctx, c)
	if err != nil {
		return err
	}
	r.tooBig = append(r.tooBig, rep)
	r.add(report.Event{Kind: report.Step, Text: fmt.Sprintf("packets of %d flows v%d %s>%s are said to be too big: %d reached, %d told",
		rep.Flows, c.Family, a.from, to, rep.Reached, rep.Told)})
	return nil
}

// tooBigSaid compares what became of all that was said to be too big.
type tooBigSaid struct {
	what string
	want compare
}

func (c tooBigSaid) check(_ context.Context, r *runner) (bool, string, error) {
	if len(r.tooBig) == 0 {
		return false, "", errors.New("nobody said anything: say too-big first")
	}
	flows, count, missed := 0, 0, ""
	for _, rep := range r.tooBig {
		flows += rep.Flows
		count += map[string]int{"reached": rep.Reached, "told": rep.Told, "untold": rep.Flows - rep.Told, "wrong": rep.Wrong}[c.what]
		if rep.Missed != "" {
			missed = ", like " + rep.Missed
		}
	}
	return c.want.holds(float64(count)), fmt.Sprintf("%d of %d%s", count, flows, missed), nil
}
