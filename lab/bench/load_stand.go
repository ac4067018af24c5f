// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	_ "embed" // of the rules
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/holdfast-project/holdfast/lab/generator"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/ruleset"
	"github.com/holdfast-project/holdfast/lab/topology"
)

//go:embed load.nft
var loadRules string

// The flows' ends: sources in a network behind the client, so that members need one neighbour for all of them, and the server.
const (
	sourcePort  = 1024
	servicePort = 9
)

var sources = netip.MustParsePrefix("10.100.0.0/16")

// loadStand is a system ready to be measured.
type loadStand struct {
	*stand
	cfg            LoadConfig
	system         LoadSystem
	lab            *topology.Lab
	client, server *topology.Node
	sinks          []*generator.Sink // where the generator's frames end
	nextHop        net.HardwareAddr
	answers        generator.Config // each flow's answer, once
	machines       []*machine.Machine
	kernel         []int // threads of the kernel whose processor time counts
}

// openLoad builds a system and lets every flow be known on both directions. On error nothing is left.
func openLoad(ctx context.Context, cfg LoadConfig, s LoadSystem) (_ *loadStand, err error) {
	sd := &loadStand{stand: &stand{}, cfg: cfg, system: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, sd.close())
		}
	}()
	if sd.kernel, err = softirqd(); err != nil {
		return nil, err
	}
	spec := topology.DefaultSpec("load", max(s.Members, 2)) // one that is not a member of anything is idle
	spec.Router = s.Router
	if sd.lab, err = topology.Build(spec); err != nil {
		return nil, err
	}
	sd.later("close topology", sd.lab.Close)
	if err := sd.plainSwitches(); err != nil {
		return nil, err
	}
	sd.client, sd.server = sd.lab.OfKind(topology.Client)[0], sd.lab.OfKind(topology.Server)[0]
	if s.New == nil {
		return sd, sd.bare(s)
	}
	for _, n := range sd.lab.OfKind(topology.Member) {
		if err := prepareForwarder(n, sd.client); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp(cfg.Dir, "l")
	if err != nil {
		return nil, err
	}
	sd.later("remove files", func() error { return os.RemoveAll(dir) })
	gateway, err := s.New(sd.lab, dir)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	sd.later("close system", gateway.Close)
	bounded, cancel := context.WithTimeout(ctx, bootWithin)
	defer cancel()
	if err := errors.Join(gateway.Boot(bounded), gateway.Ready(bounded)); err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	sd.machines = gateway.Machines()
	if err := sd.warm(bounded); err != nil {
		return nil, err
	}
	return sd, sd.known(bounded)
}

// known waits until every member has all flows in its kernel, if the system synchronises them.
func (sd *loadStand) known(ctx context.Context) error {
	if !sd.system.Synced {
		return nil
	}
	for _, n := range sd.lab.OfKind(topology.Member) {
		for {
			count, err := entries(n)
			if err != nil {
				return err
			}
			if count >= sd.cfg.Flows {
				break
			}
			if err := wait(ctx, countEvery); err != nil {
				return fmt.Errorf("%s knows %d of %d flows: %w", n.Name, count, sd.cfg.Flows, err)
			}
		}
	}
	return nil
}

// prepareForwarder loads the rules of a member, keeps its connections as long as a run may last, and gives it its route.
func prepareForwarder(n, client *topology.Node) error {
	for _, key := range []string{"nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"} {
		if err := n.NS.Sysctl("netfilter/"+key, strconv.Itoa(oldAge)); err != nil {
			return err
		}
	}
	return errors.Join(ruleset.Load(n.NS, loadRules), routeSources(n, client))
}

// bare makes the members drop what they receive.
func (sd *loadStand) bare(s LoadSystem) error {
	for i, n := range sd.lab.OfKind(topology.Member) {
		sink, err := sd.sink(n, n.Ports[0])
		if err != nil {
			return err
		}
		if i == 0 { // flooded, each gets all
			sd.sinks = append(sd.sinks, sink)
			sd.nextHop = n.Ports[0].MAC
		}
	}
	if s.Flooded {
		sd.nextHop = floodedMAC
	}
	return nil
}

// floodedMAC is a multicast MAC that no member has joined: switches of the laboratory flood them all.
var floodedMAC = net.HardwareAddr{0x01, 0x00, 0x5e, 0x00, 0x00, 0x01}

// sink puts a sink at a port; it goes with the stand.
func (sd *loadStand) sink(n *topology.Node, p *topology.Port) (*generator.Sink, error) {
	sink, err := generator.AttachSink(n, p)
	if err == nil {
		sd.later("take sink away", sink.Close)
	}
	return sink, err
}

// routeSources gives a member its way to the flows' sources.
func routeSources(n, client *topology.Node) error {
	h, err := n.NS.Handle()
	if err != nil {
		return err
	}
	defer h.Close()
	dst := &net.IPNet{IP: sources.Addr().AsSlice(), Mask: net.CIDRMask(sources.Bits(), 32)}
	if err := h.RouteAdd(&netlink.Route{Dst: dst, Gw: client.Ports[0].V4.Addr().AsSlice()}); err != nil {
		return fmt.Errorf("%s: route to %s: %w", n.Name, sources, err)
	}
	return nil
}

// flows are what the generator sends.
func (sd *loadStand) flows() []generator.Flow {
	out := make([]generator.Flow, sd.cfg.Flows)
	base := sources.Addr().As4()
	for i := range out {
		out[i] = generator.Flow{
			From: netip.AddrPortFrom(netip.AddrFrom4([4]byte{base[0], base[1], byte(i >> 8), byte(i)}), sourcePort+uint16(i%1000)),
			To:   netip.AddrPortFrom(sd.server.Ports[0].V4.Addr(), servicePort),
		}
	}
	return out
}

// Of warming up.
const (
	warmTries = 20
	warmEvery = 100 * time.Millisecond
)

// warm sends each flow there and back until all of them arrive, each frame once, so that everybody knows his neighbours and every flow is
// established.
func (sd *loadStand) warm(ctx context.Context) error {
	there, err := sd.sink(sd.server, sd.server.Ports[0])
	if err != nil {
		return err
	}
	back, err := sd.sink(sd.client, sd.client.Ports[0])
	if err != nil {
		return err
	}
	sd.sinks = []*generator.Sink{there}
	flows := sd.flows()
	if sd.nextHop, err = sd.router(ctx, sd.client); err != nil {
		return err
	}
	if err := sd.until(ctx, there, generator.Config{Node: sd.client, NextHop: sd.nextHop, Flows: flows}); err != nil {
		return err
	}
	sd.answers = generator.Config{Node: sd.server, Flows: make([]generator.Flow, len(flows))}
	for i, f := range flows {
		sd.answers.Flows[i] = f.Reverse()
	}
	if sd.answers.NextHop, err = sd.router(ctx, sd.server); err != nil {
		return err
	}
	return sd.until(ctx, back, sd.answers)
}

// remind sends a frame of some flows there and back, so that neither members nor switches have forgotten who is where.
func (sd *loadStand) remind(ctx context.Context) error { return sd.again(ctx, usualFlows) }

// again sends a frame of each flow there and back, of the first most flows if there are more.
func (sd *loadStand) again(ctx context.Context, most int) error {
	if sd.system.New == nil {
		return nil
	}
	there, back := generator.Config{Node: sd.client, NextHop: sd.nextHop, Flows: sd.flows()}, sd.answers
	there.Flows, back.Flows = there.Flows[:min(most, len(there.Flows))], back.Flows[:min(most, len(back.Flows))]
	return errors.Join(generator.Once(ctx, there), generator.Once(ctx, back))
}

// until sends all flows again and again until every frame of one time arrives.
func (sd *loadStand) until(ctx context.Context, sink *generator.Sink, cfg generator.Config) error {
	got := uint64(0)
	for range warmTries {
		before, err := sink.Count()
		if err != nil {
			return err
		}
		if err := errors.Join(generator.Once(ctx, cfg), wait(ctx, warmEvery)); err != nil {
			return err
		}
		after, err := sink.Count()
		if err != nil {
			return err
		}
		if got = after - before; got == uint64(len(cfg.Flows)) {
			return nil
		}
	}
	return fmt.Errorf("%d frames of %d flows from %s arrive", got, len(cfg.Flows), cfg.Node.Name)
}

// router returns the MAC that an end station has for its router, as its own kernel learns it.
func (sd *loadStand) router(ctx context.Context, n *topology.Node) (net.HardwareAddr, error) {
	h, err := n.NS.Handle()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	dev, err := h.LinkByName(n.Ports[0].Device)
	if err != nil {
		return nil, err
	}
	router := sd.lab.Spec.Route4(n.Ports[0].Slot)
	for {
		all, err := h.NeighList(dev.Attrs().Index, netlink.FAMILY_V4)
		if err != nil {
			return nil, err
		}
		for _, neigh := range all {
			if neigh.IP.Equal(router.AsSlice()) && len(neigh.HardwareAddr) > 0 {
				return neigh.HardwareAddr, nil
			}
		}
		if err := ask(n, router); err != nil {
			return nil, err
		}
		if err := wait(ctx, warmEvery); err != nil {
			return nil, fmt.Errorf("%s: the MAC of %s: %w", n.Name, router, err)
		}
	}
}

// ask makes a host's kernel resolve an address: it sends a datagram that nobody waits for.
func ask(n *topology.Node, to netip.Addr) error {
	return n.NS.Do(func() error {
		c, err := net.Dial("udp4", net.JoinHostPort(to.String(), strconv.Itoa(servicePort)))
		if err != nil {
			return err
		}
		_, err = c.Write(nil)
		return errors.Join(err, c.Close())
	})
}
