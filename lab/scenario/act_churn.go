// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/holdfast-project/holdfast/lab/churn"
	"github.com/holdfast-project/holdfast/lab/report"
)

// churnStep parses "RATE [udp|tcp] [v6] [from N] [to N|vip] [answer] [close] [count N]".
func (p *parser) churnStep(w *words) action {
	a := churnStart{rate: w.number("connections a second", 1, 1_000_000), protocol: churn.UDP, from: "client1", to: "server1"}
	for w.more() {
		switch word := w.oneOf("word", "udp", "tcp", "v6", "from", "to", "answer", "close", "count"); word {
		case "udp", "tcp":
			a.protocol = churn.Protocol(word)
		case "v6":
			a.six = true
		case "from":
			a.from = p.node(w)
		case "to":
			if a.viaVIP = w.take("vip"); !a.viaVIP {
				a.to = p.node(w)
			}
		case "answer":
			a.answer = true
		case "close":
			a.close = true
		case "count":
			a.count = w.number("number of connections", 1, churn.MaxConnections)
		}
	}
	return a
}

// churnStart begins to open connections; several go on at the same time if their protocol or their ends differ.
type churnStart struct {
	rate, count   int
	protocol      churn.Protocol
	six, viaVIP   bool
	from, to      string
	answer, close bool
}

// churnPorts is the distance between the server's ports of two churns.
const churnPorts = 1000

func (a churnStart) run(ctx context.Context, r *runner) error {
	cfg := churn.Config{Protocol: a.protocol, Family: 4, Rate: a.rate, Count: a.count, Answer: a.answer, Close: a.close, Payload: churn.NumberLen}
	if a.six {
		cfg.Family = 6
	}
	name := fmt.Sprintf("%s v%d %s>%s", a.protocol, cfg.Family, a.from, a.to)
	if _, runs := r.churns[name]; runs {
		return fmt.Errorf("churn %s runs already", name)
	}
	var err error
	if cfg.Client, err = r.lab.Node(a.from); err != nil {
		return err
	}
	if cfg.Server, err = r.lab.Node(a.to); err != nil {
		return err
	}
	if a.viaVIP {
		if cfg.To, err = r.vip(cfg.Client, cfg.Family); err != nil {
			return err
		}
	}
	// Runs that are over have had their ports; the connections of another may live.
	cfg.FirstPort = uint16(churn.DefaultFirstPort + churnPorts*(len(r.churns)+len(r.churned)))
	r.add(report.Event{Kind: report.Step, Text: fmt.Sprintf("%d new connections a second, %s", a.rate, name)})
	run, err := churn.Start(context.WithoutCancel(ctx), cfg)
	if err == nil {
		r.churns[name] = run
	}
	return err
}

// churnStop ends all of them.
type churnStop struct{}

func (churnStop) run(_ context.Context, r *runner) error {
	if len(r.churns) == 0 {
		return errors.New("no churn runs")
	}
	var errs []error
	for name := range r.churns {
		errs = append(errs, r.stopChurn(name))
	}
	return errors.Join(errs...)
}

func (r *runner) stopChurn(name string) error {
	rep, err := r.churns[name].Stop()
	delete(r.churns, name)
	r.churned = append(r.churned, rep)
	r.add(report.Event{Kind: report.Step, Text: fmt.Sprintf("churn %s ended: %d connections, %.0f a second, %d answered, %d skipped",
		name, rep.Opened, rep.Rate(), rep.Answered, rep.Skipped)})
	return err
}

// churned compares what the churns of the scenario came to, those that run and those that have ended.
type churned struct {
	word string
	want compare
}

// churnWords are what of churns can be compared.
var churnWords = []string{"opened", "answered", "closed", "skipped", "rate", "unanswered"}

func (c churned) check(_ context.Context, r *runner) (bool, string, error) {
	all := append([]churn.Report(nil), r.churned...)
	for _, run := range r.churns {
		rep, err := run.Report()
		if err != nil {
			return false, "", err
		}
		all = append(all, rep)
	}
	if len(all) == 0 {
		return false, "", errors.New("no churn was started")
	}
	sum := map[string]float64{}
	for _, rep := range all {
		sum["opened"] += float64(rep.Opened)
		sum["answered"] += float64(rep.Answered)
		sum["unanswered"] += float64(rep.Opened) - float64(rep.Answered)
		sum["closed"] += float64(rep.Closed)
		sum["skipped"] += float64(rep.Skipped)
		sum["rate"] += rep.Rate()
	}
	return c.want.holds(sum[c.word]), fmt.Sprintf("%.0f", sum[c.word]), nil
}

// own are the addresses of the members themselves.
func (r *runner) own() (out []netip.Addr) {
	for _, m := range r.cluster.Members() {
		for _, p := range m.Machine().Node().Ports {
			out = append(out, p.V4.Addr(), p.V6.Addr())
		}
	}
	return out
}
