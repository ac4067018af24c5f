// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/neighbour"
	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// asker asks neighbours for all monitors of a set: one socket for each interface and kind of frame.
type asker struct {
	log *slog.Logger

	mu      sync.Mutex
	asker   *neighbour.Asker
	ifaces  map[int]neighbour.Iface
	waiting map[asked]map[chan<- netip.Addr]bool
}

// asked is an open question.
type asked struct {
	index int
	addr  netip.Addr
}

func newAsker(log *slog.Logger) *asker {
	return &asker{log: log, asker: neighbour.New(log), ifaces: map[int]neighbour.Iface{}, waiting: map[asked]map[chan<- netip.Addr]bool{}}
}

// serve passes answers on until ctx ends.
func (a *asker) serve(ctx context.Context) {
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case n := <-a.asker.Answers():
				if n.Kind == neighbour.Neighbour && n.By != neighbour.Nobody {
					a.answered(asked{n.Index, n.Addr})
				}
			}
		}
	})
	_ = a.asker.Serve(ctx) // ends with ctx
}

func (a *asker) answered(q asked) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.waiting[q] {
		select {
		case c <- q.addr:
		default: // answered twice
		}
	}
}

// know tells the asker of an interface. It is not forgotten again: whoever stops asking opens no more sockets on it.
func (a *asker) know(i neighbour.Iface) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.ifaces[i.Index]; ok && known.Same(i) {
		return nil
	}
	a.ifaces[i.Index] = i
	return a.asker.Configure(slices.Collect(maps.Values(a.ifaces)), nil)
}

// ask sends a question on an interface; what answers comes on to.
func (a *asker) ask(q asked, wait time.Duration, to chan<- netip.Addr) error {
	a.mu.Lock()
	if a.waiting[q] == nil {
		a.waiting[q] = map[chan<- netip.Addr]bool{}
	}
	a.waiting[q][to] = true
	a.mu.Unlock()
	return a.asker.Ask(neighbour.Neighbour, q.index, q.addr, wait)
}

func (a *asker) forget(q asked, to chan<- netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting[q], to)
	if len(a.waiting[q]) == 0 {
		delete(a.waiting, q)
	}
}

// arpCheck checks that hosts on a segment answer.
type arpCheck struct {
	polled
	ARP
	asker   *asker
	timeout time.Duration
}

func newARP(c ARP, a *asker, timeout time.Duration) *arpCheck {
	return &arpCheck{ARP: c, asker: a, timeout: timeout}
}

func (c *arpCheck) check(ctx context.Context) verdict.Result {
	ifi, err := net.InterfaceByName(c.Device)
	if err != nil {
		return verdict.Wrong(fmt.Sprintf("device %s: %v", c.Device, inWords(ctx, err)))
	}
	if len(ifi.HardwareAddr) != 6 {
		return verdict.Wrong("device " + c.Device + " has no MAC address")
	}
	if ifi.Flags&net.FlagUp == 0 {
		return verdict.Wrong("device " + c.Device + " is down")
	}
	i := neighbour.Iface{Index: ifi.Index, Name: c.Device, MAC: [6]byte(ifi.HardwareAddr), Own: c.Own}
	if err := c.asker.know(i); err != nil {
		return verdict.Wrong(err.Error())
	}
	answers := make(chan netip.Addr, len(c.Targets))
	answered, reasons := map[netip.Addr]bool{}, map[netip.Addr]string{}
	for _, t := range c.Targets {
		defer c.asker.forget(asked{ifi.Index, t}, answers)
	}
	for range tries {
		for _, t := range c.Targets {
			if answered[t] {
				continue
			}
			if err := c.asker.ask(asked{ifi.Index, t}, c.timeout/tries, answers); err != nil {
				reasons[t] = err.Error()
			}
		}
		if c.wait(ctx, answers, answered) {
			break
		}
	}
	targets := make([]verdict.Target, len(c.Targets))
	for k, t := range c.Targets {
		targets[k].Name = t.String()
		switch {
		case answered[t]:
		case reasons[t] != "":
			targets[k].Reason = reasons[t]
		default:
			targets[k].Reason = "nobody answers on " + c.Device
		}
	}
	return verdict.Of(c.All, targets)
}

// wait takes answers for a share of the timeout and reports whether no more are needed, or ctx has ended.
func (c *arpCheck) wait(ctx context.Context, answers <-chan netip.Addr, answered map[netip.Addr]bool) bool {
	timer := time.NewTimer(c.timeout / tries)
	defer timer.Stop()
	for len(answered) < len(c.Targets) && (c.All || len(answered) == 0) {
		select {
		case a := <-answers:
			answered[a] = true
		case <-timer.C:
			return false
		case <-ctx.Done():
			return true
		}
	}
	return true
}
