// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/lab/conversation"
	"github.com/holdfast-project/holdfast/lab/paths"
	"github.com/holdfast-project/holdfast/lab/pcap"
	"github.com/holdfast-project/holdfast/lab/prober"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/reset"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/traffic"
)

// instruments are what measures beside the steps; each may be missing.
type instruments struct {
	udp     *traffic.Run
	tcp     *traffic.Stream
	probers []*prober.Prober
	watches []*prober.Watch
	records map[string]*pcap.Recorder // by segment
	talks   *conversation.Group       // once they have begun
	resets  *reset.Watch
	paths   *paths.Watch
	owners  map[string]string // of conversations, by name, as the step owners found them
}

// settle is how long after the end of a window its traffic is judged: what is still under way is not lost.
const settle = 350 * time.Millisecond

// senderPriority is the SCHED_FIFO priority of the senders unless the scenario says another: an ordinary thread on a busy host
// is itself the longest gap. It is below the pulse's.
const senderPriority = 20

// maxProbed is how many VIPs of a segment are asked for: the first ones and the last.
const maxProbed = 16

func endpoint(n *topology.Node, t Traffic) traffic.Endpoint {
	e := traffic.Endpoint{Name: n.Name, In: n.NS.Do}
	if t.V4 {
		e.Addr4 = n.Ports[0].V4.Addr()
	}
	if t.V6 {
		e.Addr6 = n.Ports[0].V6.Addr()
	}
	return e
}

func (r *runner) startTraffic(ctx context.Context) error {
	t := r.sc.Traffic
	ctx = context.WithoutCancel(ctx) // they are stopped, not cut off
	if t.Rate > 0 || t.TCP {
		clients, servers := r.lab.OfKind(topology.Client), r.lab.OfKind(topology.Server)
		if len(clients) == 0 || len(servers) == 0 || len(clients[0].Ports) == 0 || len(servers[0].Ports) == 0 {
			return errors.New("traffic needs a client and a server")
		}
		if err := r.startStreams(ctx, clients[0], servers[0]); err != nil {
			return err
		}
	}
	if len(t.Talks) > 0 {
		w, err := reset.Start(ctx, r.lab)
		if err != nil {
			return err
		}
		r.resets = w
	}
	if t.Paths {
		w, err := paths.Start(ctx, r.lab)
		if err != nil {
			return err
		}
		r.paths = w
	}
	if !t.Probe {
		return nil
	}
	for i, g := range r.lab.Spec.Segments {
		if !g.Role.HasVIPs() {
			continue
		}
		if err := r.startProber(ctx, i, g); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) startStreams(ctx context.Context, client, server *topology.Node) (err error) {
	t := r.sc.Traffic
	if t.Rate > 0 {
		cfg := traffic.Config{A: endpoint(client, t), B: endpoint(server, t), Rate: t.Rate, Priority: cmp.Or(t.Priority, senderPriority)}
		if r.udp, err = traffic.Start(ctx, cfg); err != nil {
			return err
		}
		for _, n := range []*topology.Node{client, server} {
			w, err := prober.StartWatch(ctx, prober.ForwardConfig{Switch: r.lab.Switch.NS.Do, Ports: r.memberPorts(n.Ports[0].Segment)})
			if err != nil {
				return err
			}
			r.watches = append(r.watches, w)
		}
	}
	if t.TCP {
		both := Traffic{V4: true}
		r.tcp, err = traffic.StartStream(ctx, traffic.StreamConfig{
			A: endpoint(client, both), B: endpoint(server, both), Port: traffic.DefaultPort + 1, Every: 5 * time.Millisecond,
		})
	}
	return err
}

func (r *runner) memberPorts(segment string) []prober.Port {
	var out []prober.Port
	for _, p := range r.lab.PortsOn(segment) {
		if n, err := r.lab.Node(p.Node); err == nil && n.Kind == topology.Member {
			out = append(out, prober.Port{Member: p.Node, Interface: p.SwitchPort})
		}
	}
	return out
}

func (r *runner) startProber(ctx context.Context, i int, g topology.Segment) error {
	host, err := r.lab.Node("watch-" + g.Name)
	if err != nil {
		return err
	}
	vips := r.lab.Spec.Net(i).VIPs
	if len(vips) > maxProbed {
		vips = append(append([]netip.Addr(nil), vips[:maxProbed/2]...), vips[len(vips)-maxProbed/2:]...)
	}
	ask4, ask6 := r.lab.Spec.ProberAddrs(i)
	p, err := prober.Start(ctx, prober.Config{
		Segment: g.Name, VIPs: vips,
		Host: host.NS.Do, Interface: host.Ports[0].Device, Addr4: ask4, Addr6: ask6,
		Switch: r.lab.Switch.NS.Do, Ports: r.memberPorts(g.Name),
	})
	if err != nil {
		return err
	}
	r.probers = append(r.probers, p)
	return nil
}

// stopTraffic ends what startTraffic began, all of it at the same time: each has sockets that the kernel takes a while to let go.
func (r *runner) stopTraffic() error {
	var stop []func() error
	if r.udp != nil {
		stop = append(stop, r.udp.Close)
	}
	if r.tcp != nil {
		stop = append(stop, func() error { _, err := r.tcp.Stop(); return err })
	}
	for _, p := range r.probers {
		stop = append(stop, func() error { _, err := p.Stop(); return err })
	}
	for _, w := range r.watches {
		stop = append(stop, func() error { _, err := w.Stop(); return err })
	}
	if r.talks != nil {
		stop = append(stop, r.talks.Stop)
	}
	if r.resets != nil {
		stop = append(stop, r.resets.Stop)
	}
	if r.paths != nil {
		stop = append(stop, r.paths.Stop)
	}
	return atOnce(stop)
}

// atOnce calls all functions at the same time and returns their errors.
func atOnce(all []func() error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, fn := range all {
		wg.Go(func() { errs[i] = fn() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// record begins the captures.
func (r *runner) record(ctx context.Context) error {
	r.records = map[string]*pcap.Recorder{}
	if r.opts.Pcap == "" {
		return nil
	}
	for _, g := range r.lab.Spec.Segments {
		cfg := pcap.Config{Segment: g.Name, Switch: r.lab.Switch.NS.Do}
		for _, p := range r.lab.PortsOn(g.Name) {
			cfg.Ports = append(cfg.Ports, pcap.Port{Name: p.Node, Interface: p.SwitchPort})
		}
		rec, err := pcap.Start(context.WithoutCancel(ctx), cfg)
		if err != nil {
			return err
		}
		r.records[g.Name] = rec
	}
	return nil
}

func (r *runner) stopRecording() error {
	var errs []error
	for segment, rec := range r.records {
		path := filepath.Join(r.opts.Pcap, fmt.Sprintf("%s-%s.pcapng", r.sc.Name, segment))
		stats, err := rec.Stop(path)
		errs = append(errs, err)
		if err == nil {
			r.files = append(r.files, path)
		}
		if stats.Missed > 0 {
			r.add(report.Event{Kind: report.Note, Subject: segment, Text: fmt.Sprintf("the capture missed %d frames", stats.Missed)})
		}
	}
	return errors.Join(errs...)
}

// Details is what is kept with a scenario's result.
type Details struct {
	UDP     *traffic.Report        `json:"udp,omitempty"`
	TCP     *traffic.StreamReport  `json:"tcp,omitempty"`
	Probers []prober.Report        `json:"probers,omitempty"`
	Forward []prober.ForwardReport `json:"forward,omitempty"`
	Talks   []conversation.Report  `json:"conversations,omitempty"`
	Resets  []reset.Reset          `json:"resets,omitempty"`
	Paths   *paths.Report          `json:"paths,omitempty"`
}

// details are the measurements since the last mark.
func (r *runner) details() Details {
	var d Details
	now := time.Now()
	if r.udp != nil {
		v := r.udp.Window(r.marked, now, 0)
		for i := range v.Flows {
			v.Flows[i].Gaps = nil // of every busy millisecond; the longest are kept
		}
		d.UDP = &v
	}
	if r.tcp != nil {
		v := r.tcp.Window(r.marked, now)
		d.TCP = &v
	}
	for _, p := range r.probers {
		d.Probers = append(d.Probers, p.Window(r.marked, now))
	}
	for _, w := range r.watches {
		d.Forward = append(d.Forward, w.Window(r.marked, now))
	}
	if r.talks != nil {
		d.Talks = r.talks.Window(r.marked, now)
	}
	if r.resets != nil {
		d.Resets, _ = r.resets.Window(r.marked, now)
	}
	if r.paths != nil {
		v := r.paths.Report()
		d.Paths = &v
	}
	return d
}
