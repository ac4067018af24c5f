// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/holdfast-project/holdfast/lab/conversation"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/ruleset"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// conversePatience is how long conversations may take to begin when the step does not say.
const conversePatience = 30 * time.Second

// converse begins the conversations of the traffic block.
type converse struct{ within time.Duration }

func (a converse) run(ctx context.Context, r *runner) error {
	if r.talks != nil {
		return errors.New("the conversations have begun already")
	}
	configs, err := r.talkConfigs()
	if err != nil {
		return err
	}
	r.add(report.Event{Kind: report.Step, Text: fmt.Sprintf("%d conversations begin", len(configs))})
	if r.talks, err = conversation.Start(context.WithoutCancel(ctx), configs); err != nil {
		return err
	}
	for deadline := time.Now().Add(a.within); !r.talks.Begun() && time.Now().Before(deadline); {
		if err := sleep(ctx, lookEvery); err != nil {
			return err
		}
	}
	now := time.Now()
	for _, t := range r.talks.Window(now, now) {
		if !t.Alive {
			return fmt.Errorf("conversation %s: %s", t.Name, t.Why)
		}
	}
	return r.mark(ctx)
}

func (r *runner) talkConfigs() (out []conversation.Config, err error) {
	if len(r.sc.Traffic.Talks) == 0 {
		return nil, errors.New("there are none: write conversation into the traffic block")
	}
	for _, t := range r.sc.Traffic.Talks {
		c := conversation.Config{Kind: t.Kind, Family: 4, Size: t.Size, Over: t.Over, Every: t.Every, Hold: t.Hold, Port: t.Port}
		if t.Six {
			c.Family = 6
		}
		if c.Client, err = r.lab.Node(t.From); err != nil {
			return nil, err
		}
		if c.Server, err = r.lab.Node(t.To); err != nil {
			return nil, err
		}
		name := fmt.Sprintf("%s v%d %s>%s", t.Kind, c.Family, t.From, t.To)
		if t.ViaVIP {
			vip, err := r.vip(c.Client, c.Family)
			if err != nil {
				return nil, err
			}
			c.To = netip.AddrPortFrom(vip, 0)
			name = fmt.Sprintf("%s v%d %s>vip", t.Kind, c.Family, t.From)
		}
		if t.Port > 0 {
			name += fmt.Sprintf(":%d", t.Port)
		}
		for i := range t.Times {
			if c.Name = name; t.Times > 1 {
				c.Name = fmt.Sprintf("%s %d", name, i+1)
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// vip is the gateway's first address of a family on a node's first segment.
func (r *runner) vip(n *topology.Node, family int) (netip.Addr, error) {
	if len(n.Ports) > 0 {
		for _, a := range r.lab.Spec.Net(n.Ports[0].Slot).VIPs {
			if a.Is4() == (family == 4) {
				return a, nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("node %s has no VIP of IPv%d on its segment", n.Name, family)
}

// closeNew empties, on all members that are on, the chain of the stateful ruleset that lets connections begin.
type closeNew struct{}

func (closeNew) run(_ context.Context, r *runner) error {
	r.add(report.Event{Kind: report.Step, Text: "no new connections are let in any more"})
	var errs []error
	for _, m := range r.cluster.Members() {
		if m.Machine().Booted() {
			errs = append(errs, ruleset.Load(m.Machine().Node().NS, ruleset.CloseNew))
		}
	}
	return errors.Join(errs...)
}
