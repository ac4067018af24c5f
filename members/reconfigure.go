// SPDX-License-Identifier: Apache-2.0

package members

// Reconfigure takes over what may change while a member runs: timers, recovery mode, flap damping, the digest and the weights of
// devices. Members and interfaces stay as they are, but for whether neighbours are configured and for the groups. The next Step draws
// the conclusions.
func (m *Machine) Reconfigure(cfg Config) {
	next := m.cfg
	next.Timers = cfg.Timers.withDefaults()
	next.Digest, next.Mode = cfg.Digest, cfg.Mode
	if cfg.Recovery != 0 {
		next.Recovery = cfg.Recovery
	}
	if cfg.FlapBudget != 0 {
		next.FlapBudget = cfg.FlapBudget
	}
	if cfg.FlapWindow != 0 {
		next.FlapWindow = cfg.FlapWindow
	}
	next.Groups = cfg.Groups
	next.Weights = cfg.Weights
	m.cfg = next
	m.weighed = weighing{changes: -1}
	for i := range m.peers {
		m.weigh(&m.peers[i])
	}
	m.reconfigureInterfaces(cfg)
	m.t = next.Timers.nanos()
	m.courtesy.threshold = m.t.courtesyAge
	m.helloSoon = true
}

// nanos returns the timers in nanoseconds, as the machine reckons.
func (t Timers) nanos() nanos {
	return nanos{
		probe: int64(t.Probe), dead: int64(t.Dead), hello: int64(t.Hello), helloLost: int64(t.HelloLost),
		bootWait: int64(t.BootWait), receiveWait: int64(t.ReceiveWait), holdDown: int64(t.HoldDown),
		settle: int64(t.Settle), courtesyAge: int64(t.CourtesyAge), courtesyMax: int64(t.CourtesyMax),
		restarting: int64(t.Restarting), freeze: int64(t.Freeze), stranger: int64(t.Stranger),
		neighbours: int64(t.Neighbours),
	}
}
