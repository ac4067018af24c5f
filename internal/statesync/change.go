// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"fmt"
	"slices"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// SetEchoes tells the newest stamps of the peers' gates, by member; ten times a second is often enough.
func (p *Plane) SetEchoes(echoes [ccp.MaxMembers]Echo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.echoes = echoes
}

// Rekey replaces the keys: held are those that frames are taken under, use the number of the one to seal under.
func (p *Plane) Rekey(held []ccp.Key, use uint8) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.cfg.key()
	p.cfg.Keys, p.cfg.UseKey = slices.Clone(held), use
	p.opener.SetKeys(held...)
	after := p.cfg.key()
	if after.Number == 0 || after == before {
		return
	}
	p.sealer.Rekey(after.Key, after.Number)
	// Identities are keyed too: every tally is made anew, and nothing is compared until the others have had time to do the same.
	p.keyAt = boottime()
	for _, a := range p.askers {
		if a.stage != stageIdle {
			p.do(p.keyAt, a, a.again(p.keyAt)) // after a pause
		}
	}
	p.rehash(p.keyAt)
}

// rehash gives entries the identities that the configuration wants now. What is under way knows them by those of before, and would take all
// of them for others.
func (p *Plane) rehash(now int64) {
	key := p.cfg.key().Key
	p.hasher = record.NewHasher(key.TallyKey(p.cfg.Cluster))
	if p.share.on {
		p.hasher = p.hasher.ByBucket(p.share.slots.Of)
	}
	for _, a := range p.askers {
		if a.stage != stageIdle {
			p.do(now, a, a.abandon())
			a.doubt = true
		}
		a.words = words{}
	}
	if p.verify.running {
		p.verify.finish(errRekeyed)
	}
	for i := range p.peers {
		p.stopServing(now, &p.peers[i])
	}
	p.own.clear()
	p.held.Rekey(p.hasher)
	p.jobs.old, p.jobs.oldKnown = keySet{}, false
	p.inject.rekeyed = p.inject.busy
	p.sender.Flush()
	p.doubtTally()
	p.review(now)
}

// doubtTally has the own tally made anew.
func (p *Plane) doubtTally() {
	p.tallyGood = false
	p.translated.set(families{true, true}, p.changes)
	for _, a := range p.askers {
		p.do(boottime(), a, a.ownDoubted())
	}
	p.jobs.ownTally = true
	p.jobs.signal()
}

// Reconfigure takes another configuration; interfaces that stay keep their sockets. Cluster, Self and Within must not change.
func (p *Plane) Reconfigure(c Config) error {
	if err := c.check(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Cluster != p.cfg.Cluster || c.Self != p.cfg.Self {
		return fmt.Errorf("statesync: cluster %d, member %d cannot become cluster %d, member %d", p.cfg.Cluster, p.cfg.Self, c.Cluster, c.Self)
	}
	c.Within, c.Keys, c.UseKey = p.cfg.Within, p.cfg.Keys, p.cfg.UseKey
	if !slices.Equal(c.Local, p.cfg.Local) {
		p.tellAll(boottime())
	}
	if !slices.Equal(c.Services, p.cfg.Services) && p.jobs.untell == nil {
		p.jobs.untell = p.judge
	}
	same := slices.Equal(c.Local, p.cfg.Local) && slices.Equal(c.Own, p.cfg.Own) && slices.Equal(c.Virtual, p.cfg.Virtual) && slices.Equal(c.Networks, p.cfg.Networks) &&
		slices.Equal(c.Services, p.cfg.Services) && slices.Equal(c.Zones, p.cfg.Zones)
	p.cfg = c
	if !same {
		p.rule()
		if p.group != nil && p.ctx.Err() == nil {
			if err := p.events.SetFilter([]uint32{p.table.PortID()}, c.services()); err != nil {
				return fmt.Errorf("statesync: %w", err)
			}
		}
	}
	p.sets.signal()
	p.forgetPeers()
	switch {
	case p.group == nil:
	case p.ctx.Err() != nil: // it ends, and what is opened now nobody would close: the next run takes the configuration
	case p.off():
		p.cancel()
	default:
		p.openPorts()
	}
	select {
	case p.turned <- struct{}{}:
	default:
	}
	p.review(boottime())
	return nil
}
