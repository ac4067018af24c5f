// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/lab/prober"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/traffic"
)

// Options say how to observe. The zero value is a packet per millisecond and flow, and a round of probes every 10 ms.
type Options struct {
	// Rate is packets a second and flow; 0 means 1000.
	Rate int
	// Every is the time between two rounds of probes; 0 means 10 ms.
	Every time.Duration
	// Priority is the SCHED_FIFO priority of the senders; 0 is none.
	Priority int
	// V4Only leaves IPv6 out.
	V4Only bool
}

// Observer is a running observation. Its methods are safe for concurrent use.
type Observer struct {
	lab     *topology.Lab
	traffic *traffic.Run
	probers []*prober.Prober
	watches []*prober.Watch
}

// Start begins to observe. It runs until Stop or until ctx ends; Stop must be called in any case.
func Start(ctx context.Context, lab *topology.Lab, o Options) (*Observer, error) {
	ob := &Observer{lab: lab}
	if err := ob.start(ctx, o); err != nil {
		_, stopErr := ob.Stop()
		return nil, errors.Join(fmt.Errorf("observe %s: %w", lab.Spec.Name, err), stopErr)
	}
	return ob, nil
}

func (ob *Observer) start(ctx context.Context, o Options) error {
	for i, s := range ob.lab.Spec.Segments {
		if !s.Role.HasVIPs() {
			continue
		}
		ports, err := ob.ports(s.Name)
		if err != nil {
			return err
		}
		p, err := ob.probe(ctx, i, ports, o)
		if err != nil {
			return err
		}
		ob.probers = append(ob.probers, p)
		w, err := prober.StartWatch(ctx, prober.ForwardConfig{Switch: ob.lab.Switch.NS.Do, Ports: ports})
		if err != nil {
			return err
		}
		ob.watches = append(ob.watches, w)
	}
	clients, servers := ob.lab.OfKind(topology.Client), ob.lab.OfKind(topology.Server)
	if len(clients) == 0 || len(servers) == 0 {
		return errors.New("traffic needs a client and a server")
	}
	run, err := traffic.Start(ctx, traffic.Config{
		A: endpoint(clients[0], o), B: endpoint(servers[0], o), Rate: o.Rate, Priority: o.Priority,
	})
	if err != nil {
		return err
	}
	ob.traffic = run
	return nil
}

// ports lists the members' ports on a segment.
func (ob *Observer) ports(segment string) ([]prober.Port, error) {
	var out []prober.Port
	for _, n := range ob.lab.OfKind(topology.Member) {
		p, err := n.Port(segment)
		if err != nil {
			return nil, err
		}
		out = append(out, prober.Port{Member: n.Name, Interface: p.SwitchPort})
	}
	return out, nil
}

// probe starts the prober of segment i.
func (ob *Observer) probe(ctx context.Context, i int, ports []prober.Port, o Options) (*prober.Prober, error) {
	name := ob.lab.Spec.Segments[i].Name
	host, err := ob.lab.Node("watch-" + name)
	if err != nil {
		return nil, err
	}
	port, err := host.Port(name)
	if err != nil {
		return nil, err
	}
	return prober.Start(ctx, prober.Config{
		Segment: name, VIPs: asked(ob.lab.Spec, i, o), Every: o.Every,
		Host: host.NS.Do, Interface: port.Device, Addr4: port.V4.Addr(), Addr6: port.V6.Addr(),
		Switch: ob.lab.Switch.NS.Do, Ports: ports,
	})
}

// asked picks the addresses to ask for on segment i: of each family the first and the last one, and the end stations' router.
func asked(spec topology.Spec, i int, o Options) []netip.Addr {
	var v4, v6 []netip.Addr
	for _, a := range spec.Net(i).VIPs {
		if a.Is4() {
			v4 = append(v4, a)
		} else if !o.V4Only {
			v6 = append(v6, a)
		}
	}
	var out []netip.Addr
	add := func(a netip.Addr) {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	for _, family := range [][]netip.Addr{v4, v6} {
		if len(family) > 0 {
			add(family[0])
			add(family[len(family)-1])
		}
	}
	if r := spec.Route4(i); slices.Contains(v4, r) {
		add(r)
	}
	return out
}

func endpoint(n *topology.Node, o Options) traffic.Endpoint {
	e := traffic.Endpoint{Name: n.Name, In: n.NS.Do, Addr4: n.Ports[0].V4.Addr(), Addr6: n.Ports[0].V6.Addr()}
	if o.V4Only {
		e.Addr6 = netip.Addr{}
	}
	return e
}

// Traffic returns the running traffic.
func (ob *Observer) Traffic() *traffic.Run { return ob.traffic }

// Probers returns the probers, in the order of the segments with virtual addresses.
func (ob *Observer) Probers() []*prober.Prober { return ob.probers }

// Stop ends the observation and returns what was seen from its start on.
func (ob *Observer) Stop() (Window, error) {
	var w Window
	var errs []error
	if ob.traffic != nil {
		rep, err := ob.traffic.Stop(0)
		w.From, w.To, w.Traffic = rep.From, rep.To, rep
		errs = append(errs, err)
	}
	for _, p := range ob.probers {
		rep, err := p.Stop()
		w.Probes = append(w.Probes, rep)
		errs = append(errs, err)
	}
	for _, fw := range ob.watches {
		rep, err := fw.Stop()
		w.Forwards = append(w.Forwards, rep)
		errs = append(errs, err)
	}
	return w, errors.Join(errs...)
}
