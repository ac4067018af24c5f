// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/members/gate"
	"github.com/holdfast-project/holdfast/members/liveness"
)

// Implementation constants.
const (
	hardExpiry    = time.Second            // of a lease; the gate's own hard expiry is never longer
	oldLease      = 50                     // ms: from this lease age on every answer of a serving gate is told
	heardInterval = 100 * time.Millisecond // how often an unchanged answer is told: of all links together, so that main wakes once
	statsInterval = time.Second
	regroup       = 8   // every so many unanswered unicast probes one goes to the multicast group: the MAC may have changed
	yieldsOpen    = 256 // YIELDs whose answer is awaited
	ethernetLen   = 14
)

// kernel is what the engine needs of the machine. The loop implements it with raw system calls, tests without any.
type kernel interface {
	// now returns CLOCK_BOOTTIME in nanoseconds.
	now() int64
	// transmit sends an Ethernet frame out of the interface at this position of Config.Interfaces.
	transmit(iface int, frame []byte) fate
	// tell sends a message to main without waiting and reports whether there was room for it.
	tell(msg []byte) bool
	// later is tell for what can wait until all that is due now is done: messages that come together go together.
	later(msg []byte) bool
}

// fate is what became of a frame that was to leave.
type fate uint8

const (
	left fate = iota // it has left
	gone             // the interface is down or gone
	held             // the queue is full: others send too much, or the card does not send at all
)

// words is what the engine needs of the gate; *bpf.Words has it.
type words interface {
	Incarnation() uint64
	Serving(group uint8, now int64) gate.Bits
	Lease(group uint8) gate.Lease
	Fence(group uint8) gate.Fence
	Alone(group uint8) int64
	Single() int64
	Probed() int64
	Renew(group uint8, term uint32, now int64)
	Revoke(group uint8)
	SetAlone(group uint8, at int64)
	SetSingle(at int64)
	Share() gate.Lease
	ShareOpen(now int64) bool
	RenewShare(term uint32, now int64)
	RevokeShare()
	EndShare(now int64)
	Snapshot() gate.Words
}

// engine is the pulse without its system calls: what to send, what an answer means, when a lease is renewed, what main is
// told. It reads no clock but the kernel's and allocates only in configure. It is not safe for concurrent use.
type engine struct {
	kernel kernel
	words  words
	nonces *rand.ChaCha8 // unpredictable: an answer is believed for its nonce

	cfg       Config
	keys      [4]tagKey
	peers     [MaxMembers]peer
	links     []link
	linkOf    [MaxInterfaces][MaxMembers]int16 // position in links; -1: none
	groups    [MaxGroups]group
	share     share
	watching  uint16 // groups whose words are compared after every event
	asked     [yieldsOpen]yieldAsked
	askedNext int
	sequence  uint64 // of the last frame

	nextTick  int64
	nextTell  int64 // when answers are told next although they say nothing new
	telling   bool  // those to the last round of probes are
	ticked    bool  // this advance has sent one
	nextStats int64
	wordAt    int64 // when main said that it lives
	full      bool  // main's socket was full in this round
	mute      bool  // main has been told that its word is late
	health    health
	stats     Stats

	frame   [ethernetLen + ccp.GateFrameLen]byte
	message [maxMessage]byte
}

// tagKey is a key that answers may carry. The one before the last stays valid, for answers that are on their way.
type tagKey struct {
	known  bool
	number uint8
	key    ccp.GateKey
}

// peer is what is known of a peer's gate, whatever the interface.
type peer struct {
	incarnation uint64
	stamp       uint64 // the newest sequence of its replies
	heardAt     int64  // when the last answer came; 0: never
}

// link is one peer on one interface.
type link struct {
	peer       uint8
	iface      int
	slot       uint8
	mac        [6]byte // the peer's, once known
	macKnown   bool
	unanswered int // probes since the last answer
	detector   liveness.Detector
	refusals   refusals
	answered   int64   // when the last answered probe was sent; 0: none ever was
	silence    silence // as main was told
	missedTold bool
	resumed    bool // something was told that the next answer takes back
	query      uint64
	queried    bool
	told       [MaxGroups]told
	stats      LinkStats
}

// told is what main knows of a gate's answers on a link.
type told struct {
	at   int64
	what content
}

// content is the part of an answer whose change is news.
type content struct {
	incarnation uint64
	term, fence uint32
	closed      uint32
	bits        ccp.Bits
	grantee     uint8
}

// newEngine returns an engine without peers: configure it next.
func newEngine(k kernel, w words, seed [32]byte) *engine {
	e := &engine{kernel: k, words: w, nonces: rand.NewChaCha8(seed)}
	for i := range e.linkOf {
		for j := range e.linkOf[i] {
			e.linkOf[i][j] = -1
		}
	}
	return e
}

// configure takes a validated configuration. Links that stay keep what they know.
func (e *engine) configure(c *Config, now int64) {
	old, was := e.links, e.cfg
	e.cfg = *c
	if e.cfg.Transport == "" {
		e.cfg.Transport = Unicast
	}
	if e.cfg.EtherType == 0 {
		e.cfg.EtherType = ccp.DefaultEtherType
	}
	e.keys[c.KeyNumber&3] = tagKey{known: true, number: c.KeyNumber, key: c.Key}
	e.links = make([]link, 0, len(c.Peers)*len(c.Interfaces))
	for i := range e.linkOf {
		for j := range e.linkOf[i] {
			e.linkOf[i][j] = -1
		}
	}
	for i, f := range c.Interfaces {
		for _, p := range c.Peers {
			l := link{peer: p, stats: LinkStats{Peer: p, Slot: f.Slot}}
			at := slices.IndexFunc(old, func(o link) bool { return o.peer == p && o.slot == f.Slot })
			if at >= 0 {
				l = old[at]
			}
			if at < 0 || was.Probe != c.Probe || was.Dead != c.Dead {
				l.detector, l.refusals = liveness.New(c.Probe, c.Dead), refusals{}
			}
			l.iface, l.slot = i, f.Slot
			e.linkOf[i][p] = int16(len(e.links))
			e.links = append(e.links, l)
		}
	}
	e.stats.Links = make([]LinkStats, len(e.links))
	e.watching |= 1 | uint16(e.words.Snapshot().GroupsInUse)
	if e.nextTick == 0 || e.nextTick > now+int64(c.Probe) {
		e.nextTick = now
	}
	if e.nextStats == 0 {
		e.nextStats = now + int64(statsInterval)
	}
}

// command carries out a message of main, configure excepted.
func (e *engine) command(now int64, c *command) {
	switch c.kind {
	case msgWord:
		e.word(now, c.at)
	case msgLease:
		e.word(now, c.at)
		e.lease(now, c.at, c.group, c.term, c.alone)
	case msgDrop:
		e.drop(c.group)
	case msgShare:
		e.word(now, c.at)
		e.openShare(now, c.at, c.term, c.number)
	case msgDropShare:
		e.dropShare(now, c.lingers)
	case msgYield:
		e.yield(c)
	case msgQuery:
		for i := range e.links {
			e.probe(&e.links[i], 0, true)
		}
	}
}

// advance does all that is due at now. The caller has taken in every frame and command that came before, so that an answer
// which waits in a socket is not taken for silence.
func (e *engine) advance(now int64) {
	e.full = false
	e.renew(now)
	e.renewShare(now)
	if e.ticked = now >= e.nextTick; e.ticked {
		e.tick(now)
	}
	e.judge(now)
	e.judgeSingle(now)
	e.watchGates(now)
	e.watchShare(now)
	if told := e.tellHealth(now); now >= e.nextStats && told || now >= e.statsBy() {
		e.tellStats(now)
	}
}

// wake returns when advance has something to do next, if nothing comes in before.
func (e *engine) wake() int64 {
	at := min(e.nextTick, e.statsBy())
	for i := range e.links {
		at = min(at, e.due(&e.links[i]))
	}
	if e.full {
		// What could not be told is due already; trying again before the next tick would only spin.
		at = max(at, min(e.nextTick, e.statsBy()))
	}
	return at
}

// statsBy is until when the next Stats wait for a Health to go with.
func (e *engine) statsBy() int64 { return e.nextStats + int64(heardInterval) }

// statsDue reports whether the next Stats go out at now, or may do so.
func (e *engine) statsDue(now int64) bool {
	return now >= e.nextStats && e.telling || now >= e.statsBy()
}

// judging reports whether something is about to be concluded from what has not come. Then everything that has come is to be read first.
func (e *engine) judging(now int64) bool {
	for i := range e.links {
		if now >= e.due(&e.links[i]) {
			return true
		}
	}
	return false
}

// say tells main what is in e.message[:n], and reports whether it went. After the first refusal of a round it does not try.
func (e *engine) say(b []byte) bool { return e.said(!e.full && e.kernel.tell(b)) }

// sayLater is say for what is no news.
func (e *engine) sayLater(b []byte) bool { return e.said(!e.full && e.kernel.later(b)) }

func (e *engine) said(went bool) bool {
	if went {
		return true
	}
	e.full = true
	e.stats.Held++
	return false
}

// nextSequence returns the sequence of a frame sent at now: the clock, but strictly increasing.
func (e *engine) nextSequence(now int64) uint64 {
	e.sequence = max(e.sequence+1, uint64(now))
	return e.sequence
}

// fresh reports whether main's loop has been heard of lately.
func (e *engine) fresh(now int64) bool { return e.wordAt != 0 && now-e.wordAt < int64(WordMax) }

// word notes that main lived at the boot time at. The message may have waited, so its own stamp counts.
func (e *engine) word(now, at int64) { e.wordAt = max(e.wordAt, min(at, now)) }

// ethernet writes the header of the next frame out of an interface.
func (e *engine) ethernet(iface int, to [6]byte) {
	copy(e.frame[0:], to[:])
	copy(e.frame[6:], e.cfg.Interfaces[iface].MAC[:])
	binary.BigEndian.PutUint16(e.frame[12:], e.cfg.EtherType)
}
