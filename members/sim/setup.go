// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
)

// setup is what a seed chooses beyond Options: what is watched on each member, and how much it weighs, which
// interfaces count how, what members wait for, which versions they run. Scenarios go without.
type setup struct {
	weights  map[string]int
	groups   []members.Group
	private  bool // the last interface is the members' own, with configured neighbours
	targets  bool // neighbours are configured everywhere
	echo     bool // the third stations answer echo requests, not ARP only
	late     int64
	policy   bool // members wait for their policy, and for the connection table
	sync     bool
	recovery time.Duration
	budget   int
	window   time.Duration
}

// names of devices in plans. The first three are user-defined; `routing` is built in and fed by reporters.
var deviceNames = [...]string{"disk", "app", "uplink", "routing"}

// drawSetup chooses, and gives each member its devices.
func (w *World) drawSetup() {
	r, s := &w.rng, &w.setup
	k := len(w.cfg.Interfaces)
	if r.chance(32768) {
		s.weights = map[string]int{}
		for _, name := range [...]string{"disk", "app", "uplink", "routing", "p1", "p2", "p3"} {
			s.weights[name] = int(r.between(1, members.MaxWeight))
		}
	}
	clusters := 0
	for i := range w.cfg.Interfaces {
		if w.cfg.Interfaces[i].Cluster {
			clusters++
		}
	}
	switch {
	case clusters >= 2 && r.chance(16384):
		s.groups = []members.Group{{Name: "pair", MinUp: 1, Slots: []uint8{0, 1}}}
	case k > clusters && r.chance(16384):
		s.private = true
	}
	s.echo, s.targets = r.chance(32768), r.chance(32768)
	if r.chance(16384) {
		s.late = r.n(int64(30 * time.Millisecond))
	}
	s.policy, s.sync = r.chance(16384), r.chance(16384)
	if r.chance(16384) {
		s.recovery = time.Duration(r.n(int64(800 * time.Millisecond)))
	}
	if r.chance(32768) {
		s.budget, s.window = int(r.between(1, 5)), time.Duration(r.between(2, 600))*time.Second
	}
	newer := r.chance(16384)
	for i := range w.nodes {
		n := &w.nodes[i]
		n.version = 1
		if newer {
			n.version = uint32(r.between(1, 2))
			n.capabilities = uint64(r.n(4))
		}
		n.reporters = drawReporters(r)
	}
	w.applySetup()
}

// applySetup makes the choice part of the configuration.
func (w *World) applySetup() {
	s, c := &w.setup, &w.cfg
	c.Weights, c.Groups, c.WaitPolicy, c.WaitSync = s.weights, s.groups, s.policy, s.sync
	c.Timers.RecoveryDelay, c.FlapBudget, c.FlapWindow = s.recovery, s.budget, s.window
	for i := range c.Interfaces {
		f := &c.Interfaces[i]
		f.Targets = s.targets && w.opt.Neighbours
		if s.private && !f.Cluster {
			f.Private, f.Targets = true, w.opt.Neighbours
		}
	}
	w.net.echo, w.net.late = s.echo, s.late
}

// config is what a member is told when its daemon starts, or later.
func (w *World) config(n *node) members.Config {
	cfg := w.cfg
	cfg.Self = n.id
	if n.version != 0 {
		cfg.Version, cfg.Capabilities = n.version, n.capabilities
	}
	cfg.Digest[0] = n.digest
	if w.opt.Configure != nil {
		w.opt.Configure(n.id, &cfg)
	}
	return cfg
}

// reporter is a program that feeds a critical device: it looks at something each interval, changes its mind
// after so many looks, and says so each time. A registered one with a timeout is missed when it falls silent.
type reporter struct {
	device, name   string
	interval       int64
	timeout        time.Duration
	rise, fall     int
	well           bool // what it looks at
	silent, absent bool // it says nothing; it is not registered
	seen           int  // looks in a row that speak against its status
	status         device.Status
	initial        device.Status
}

func drawReporters(r *rng) []reporter {
	var all []reporter
	for i, name := range deviceNames {
		if !r.chance(32768) {
			continue
		}
		p := reporter{device: name, interval: r.between(40e6, 300e6), rise: int(r.between(1, 3)), fall: int(r.between(1, 3)),
			well: true, status: device.OK, initial: device.OK}
		if i >= 2 {
			p.name = "monitor"
		}
		if r.chance(32768) {
			p.timeout = time.Duration(p.interval * r.between(3, 5))
		}
		if r.chance(16384) {
			p.initial = device.Init
		}
		all = append(all, p)
		if name == "routing" && r.chance(32768) {
			p.name = "prefixes"
			all = append(all, p)
		}
	}
	return all
}

// startReporters registers what the member watches with a daemon that has just started.
func (n *node) startReporters(w *World) {
	for i := range n.reporters {
		p := &n.reporters[i]
		p.seen = 0
		if !p.absent {
			p.register(w, n)
		}
		w.push(event{at: w.now + w.rng.n(p.interval), kind: evReport, node: n.id, epoch: n.epoch, frame: int32(i)})
	}
}

func (p *reporter) register(w *World, n *node) {
	p.status = p.initial
	n.post(w, members.Device{Op: members.DeviceRegister, Name: p.device, Reporter: p.name, Status: p.status, Timeout: p.timeout})
}

// look is one interval of a reporter.
func (n *node) look(w *World, i int32) {
	p := &n.reporters[i]
	w.push(event{at: w.now + p.interval, kind: evReport, node: n.id, epoch: n.epoch, frame: i})
	if n.paused || p.silent || p.absent {
		return
	}
	if p.well == (p.status == device.OK) {
		p.seen = 0
	} else if p.seen++; p.seen >= p.needed() {
		p.seen = 0
		if p.status = device.OK; !p.well {
			p.status = device.Problem
		}
	}
	reason := ""
	if p.status == device.Problem {
		reason = "it does not answer"
	}
	n.post(w, members.Device{Op: members.DeviceReport, Name: p.device, Reporter: p.name, Status: p.status, Reason: reason})
}

func (p *reporter) needed() int {
	if p.well {
		return p.rise
	}
	return p.fall
}
