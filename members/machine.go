// SPDX-License-Identifier: Apache-2.0

package members

import (
	"math"

	"github.com/holdfast-project/holdfast/members/device"
)

// stallsApart is how far apart the stalls are that Step allows for.
const stallsApart = int64(1e9)

// never is a time that does not come.
const never int64 = math.MaxInt64

// Machine is the state machine of one member. Create it with New; it is not safe for concurrent use.
type Machine struct {
	cfg  Config
	self uint8
	t    nanos
	now  int64
	boot Boot

	state     State
	reason    string // why state, while it serves
	since     int64  // of state
	term      uint32 // of the own lease, 0 while not serving
	opened    int64  // when the gate was opened last
	openedFor Cause
	alone     bool // as last told to the gate
	gate      GateState
	maxTerm   uint32 // the highest term seen anywhere

	ifaces  []iface
	groups  []group
	peers   []peer // the others, by number
	devices *device.Registry

	initDone   bool
	adminDown  bool
	restarting bool
	stopping   bool
	stopAt     int64 // when a stopping member closes, relieved or not
	recovery   recovery
	sync       syncing
	flush      flushing
	comparison comparison
	policy     policies
	weighed    weighing // what sum was reckoned from
	sum        int      // of the own problems' weights
	initSeen   int      // the device changes that initText is of
	initText   string   // the devices of which it is not known whether they are well
	initDelay  bool     // none of them but the recovery delay

	claim        claim
	vip          vipQuestion
	queriedAt    int64
	strangerTold int64
	pulseLost    bool
	pulseAt      int64 // when the pulse last said how it is, 0 if it never did
	force        force
	flap         flap
	courtesy     courtesy
	freeze       int64 // until when voluntary moves are frozen by this member's operator
	relief       relief
	change       change // explains the state that this Step ends in
	ended        string // why this member last stopped serving: who serves next is heard in a later Step
	isolated     bool
	isolatedAt   int64 // since when it is, or was last

	server     uint8  // who serves as far as this member knows, or Nobody
	lastServer uint8  // who served last, kept when nobody does
	servedAt   int64  // the last evidence that anybody served
	vacantAt   int64  // since when nobody serves
	deferUntil int64  // another member's claim is under way until then
	stalledAt  int64  // when a stall of the caller was allowed for
	leasedTerm uint32 // the own term that the gate was last seen to hold a lease of
	betterAt   int64  // since when this broken member is better than the broken one that serves
	fitSince   int64  // since when this member could serve, 0 if it cannot

	failovers int
	lastReset int64
	lastMove  Move

	inProblem  map[string]bool // devices whose problem was recorded
	deviceSeen int             // device changes that were told to others
	helloAt    int64           // when the next HELLO is due
	helloSoon  bool            // something that HELLOs tell has changed
	wake       int64
	first      []Effect // of New, for the first Step
	fx         []Effect
}

// nanos are the timers in nanoseconds.
type nanos struct {
	probe, dead, hello, helloLost, bootWait, receiveWait, holdDown, settle, courtesyAge, courtesyMax,
	restarting, freeze, stranger, neighbours int64
}

// New returns a machine in INIT, or in ACTIVE if boot says that the gate was found serving. The first
// Step, with a Tick, returns what there is to do at once.
func New(cfg Config, boot Boot) *Machine {
	if cfg.Recovery == 0 {
		cfg.Recovery = RecoveryMaintainCurrent
	}
	if cfg.FlapBudget == 0 {
		cfg.FlapBudget = DefaultFlapBudget
	}
	if cfg.FlapWindow == 0 {
		cfg.FlapWindow = DefaultFlapWindow
	}
	t := cfg.Timers.withDefaults()
	cfg.Timers = t
	m := &Machine{
		cfg: cfg, self: cfg.Self, now: boot.Now, boot: boot,
		t:     t.nanos(),
		state: StateInit, since: boot.Now,
		devices: device.NewRegistry(boot.Now), adminDown: boot.AdminDown,
		server: Nobody, lastServer: Nobody, vacantAt: boot.Now, lastReset: boot.Now,
		gate: boot.Gate, helloAt: boot.Now, wake: boot.Now, weighed: weighing{changes: -1}, initSeen: -1,
		inProblem: map[string]bool{},
	}
	m.force.to = Nobody
	m.courtesy.threshold = m.t.courtesyAge
	m.claim.from = Nobody
	for _, c := range cfg.Interfaces {
		m.ifaces = append(m.ifaces, iface{Interface: c, since: boot.Now})
	}
	m.formGroups()
	for id := range cfg.Names {
		if uint8(id) == cfg.Self {
			continue
		}
		m.peers = append(m.peers, peer{
			id: uint8(id), name: cfg.Names[id], ifs: make([]peerIface, len(cfg.Interfaces)),
			state: StateLost, since: boot.Now,
		})
	}
	m.sawTerm(max(boot.StoredTerm, boot.Gate.FenceTerm, boot.Gate.LeaseTerm))
	if cfg.WaitPolicy {
		m.report(device.Policy, device.Init, waitsForPolicy)
	}
	if boot.AdminDown {
		m.report(device.AdminDown, device.Problem, "taken down by the operator, permanently")
	}
	m.adopt()
	return m
}

// adopt goes on serving if the gate was found open: the lease is renewed by the first Step. A lease that
// no longer opens the gate is dropped.
func (m *Machine) adopt() {
	g := m.boot.Gate
	if g.LeaseTerm == 0 {
		return
	}
	if !g.Serving {
		m.first = append(m.first, Revoke{Group: g.Group}) // it may have been taken over since
		return
	}
	m.finishInit()
	m.term, m.opened, m.server, m.lastServer = g.LeaseTerm, m.now, m.self, m.self
	m.state, m.reason = StateActive, "the restarted daemon found its gate serving and goes on"
	m.first = append(m.first,
		Lease{Group: g.Group, Term: m.term, Alone: m.alone},
		Announce{Group: g.Group, Reason: "the daemon was restarted"},
		Record{Code: CodeAdopted, From: StateInit, To: StateActive, Reason: m.reason, Peer: Nobody, Term: m.term})
	m.helloSoon = true
}

// Step applies events at the time now, which must not run backwards, and returns what is to be done, in the
// order in which it is to be done. The slice is valid until the next Step.
//
// Events that have arrived together may be given together. After a stall of the caller the news that a peer
// is silent may lie in the queue before the news that it is heard again; a Step that comes later than its
// WakeAt by more than a dead interval therefore begins no claim, and goes on with none, for another one. On a host that is always late this is allowed
// for once a second, or nobody would ever claim.
func (m *Machine) Step(now int64, events ...Event) []Effect {
	m.now = max(m.now, now)
	if m.now-m.wake > m.t.dead {
		if m.now-m.stalledAt > stallsApart {
			m.stalledAt = m.now
			m.deferUntil = max(m.deferUntil, m.now+m.t.dead)
			m.claim.backoff = max(m.claim.backoff, m.now+m.t.dead)
		}
		m.pulseAt = min(m.pulseAt, 1) * m.now
	}
	m.fx = append(m.fx[:0], m.first...)
	m.first = nil
	for _, ev := range events {
		m.learn(ev)
	}
	m.settle()
	m.schedule()
	order(m.fx)
	return m.fx
}

// learn takes an event in. It changes what is known, and lets claims and questions take note; what
// follows from it is settled afterwards.
func (m *Machine) learn(ev Event) {
	switch e := ev.(type) {
	case Tick:
	case Heard:
		m.heard(&e)
	case Missed:
		m.missed(e)
	case Silent:
		m.silent(e)
	case GateState:
		m.gateState(e)
	case YieldResult:
		m.yieldResult(e)
	case HelloReceived:
		m.helloReceived(&e)
	case Link:
		m.link(e)
	case CCPIn:
		m.ccpIn(e.Peer, e.Iface)
	case Device:
		m.deviceEvent(e)
	case VIPAnswer:
		m.vipAnswer(e)
	case NeighbourAnswer:
		m.neighbourAnswer(e)
	case Admin:
		m.admin(e)
	case PulseHealth:
		m.courtesy.onTimeSince, m.pulseAt = e.OnTimeSince, m.now
	case PolicyReady:
		m.policyReady(&e)
	case SyncReady:
		m.sync.ready, m.sync.reason = e.Ready, e.Reason
	case Flushed:
		m.flush.answered, m.helloSoon = e.ID, true
	case Restart:
		m.restarting, m.helloSoon = true, true
	case Stop:
		m.stop()
	}
}

// settle draws the conclusions: first about others, then about oneself, then who should serve.
func (m *Machine) settle() {
	m.wake = never
	m.judgePeers()
	m.judgeInterfaces()
	m.judgeDevices()
	m.judgeInit()
	m.judgeRecovery()
	m.expireForce()
	m.expireFreeze()
	m.judgeStop()
	m.judgeServing()
	m.judgeSync()
	m.judgePolicy()
	m.judgeState()
	m.pursue()
	m.judgeState()
}

// schedule adds the periodic HELLO and says when the next Step is due at the latest.
func (m *Machine) schedule() {
	if m.helloSoon || m.now >= m.helloAt {
		m.helloSoon = false
		m.helloAt = m.now + m.helloPause()
		m.do(SendHello{})
	}
	m.wakeAt(m.helloAt)
	m.do(WakeAt{At: m.wake})
}

// helloPause is the time to the next HELLO. Of a member that serves and hears nobody others may hear HELLOs and nothing else: who has
// missed them for three intervals takes over beside it, and closes again with the next one. Where frames are lost, three in a row soon
// are, nine are not.
func (m *Machine) helloPause() int64 {
	if m.term != 0 && m.nobodyAnswers() {
		return m.t.hello / 3
	}
	return m.t.hello
}

// do adds an effect.
func (m *Machine) do(e Effect)      { m.fx = append(m.fx, e) }
func (m *Machine) sawTerm(t uint32) { m.maxTerm = max(m.maxTerm, t) }

// wakeAt notes a time at which something may change by itself. What is due already had its chance in this
// Step; it gets another one after a probe interval, so that nothing can make the machine run in circles.
func (m *Machine) wakeAt(at int64) {
	if at <= m.now {
		at = m.now + m.t.probe
	}
	m.wake = min(m.wake, at)
}

// order sorts effects into the order of their declaration; equal ones keep theirs. There are few.
func order(fx []Effect) {
	for i := 1; i < len(fx); i++ {
		for j := i; j > 0 && rank(fx[j]) < rank(fx[j-1]); j-- {
			fx[j], fx[j-1] = fx[j-1], fx[j]
		}
	}
}

func rank(e Effect) int {
	switch e.(type) {
	case Revoke:
		return 0
	case SendYield:
		return 1
	case GrantOwn:
		return 2
	case Lease:
		return 3
	case SetAlone:
		return 4
	case Announce:
		return 5
	case AskVIP:
		return 6
	case AskNeighbours:
		return 7
	case Query:
		return 8
	case Flush:
		return 9
	case SendHello:
		return 10
	case StoreTerm:
		return 11
	case Record:
		return 12
	}
	return 13
}
