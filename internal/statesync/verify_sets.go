// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/nftset"
)

// SetsReport is what comparing the nftables sets came to.
type SetsReport struct {
	// Local and Remote are the elements on this member and on the peer.
	Local, Remote uint64
	// OnlyLocal, OnlyRemote and Different are elements as in Report. Those differ whose values do, or whose expiries are further
	// apart than what is told of them explains: an eighth of the time-out, and some seconds.
	OnlyLocal, OnlyRemote, Different []string
	Counted                          [3]uint64
	// Problem is why they were not compared.
	Problem string
}

// Equal says that they were compared and no difference found.
func (r SetsReport) Equal() bool { return r.Problem == "" && r.Counted == [3]uint64{} }

const (
	// setsPause is between two passes over the sets: an owner reads its own every second, and what is missing twice is gone.
	setsPause = 1200 * time.Millisecond
	// verifySetBytes bounds what a peer may send of its sets.
	verifySetBytes = 128 << 20
)

// listedElement takes the record of an element that the peer has.
func (v *verify) listedElement(r []byte) {
	if !v.running {
		return
	}
	if len(v.sets)+len(r) > verifySetBytes {
		v.finish(fmt.Errorf("statesync: member %d sends more than %d bytes of elements", v.peer, verifySetBytes))
		return
	}
	v.sets = append(v.sets, r...)
}

// openLister opens a Reader of all sets, and returns them.
func (p *Plane) openLister() (reader *nftset.Reader, list []nftset.Set, err error) {
	p.mu.Lock()
	names, tables := p.cfg.Sets, p.cfg.Tables
	if p.cfg.Disabled {
		names = nil
	}
	p.mu.Unlock()
	for _, name := range names {
		s, err := nftset.ParseSet(name)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, s)
	}
	err = p.within(func() (err error) {
		reader, err = nftset.NewReader(list, 0)
		return err
	})
	if err == nil {
		reader.SetTables(parseTables(tables))
	}
	return reader, list, err
}

// runSetsTeller tells who compares what elements this member's sets have, in a goroutine of its own: whoever asks and then takes nothing must
// not keep the sets from being kept equal.
func (p *Plane) runSetsTeller(ctx context.Context) error {
	for {
		p.serveSets(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-p.sets.asked:
		}
	}
}

// serveSets sends the elements of this member's sets to all who asked for them.
func (p *Plane) serveSets(ctx context.Context) {
	var list []*serving
	p.mu.Lock()
	for i := range p.peers {
		if s := p.peers[i].serving; s.active() && !s.dumping && s.request.Want == ccp.SyncWantSets {
			s.dumping = true
			list = append(list, s)
		}
	}
	p.mu.Unlock()
	if len(list) == 0 {
		return
	}
	err := p.offerSets(ctx, list)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := boottime()
	for i := range p.peers {
		q := &p.peers[i]
		s := q.serving
		if !s.active() || !s.dumping || s.fed || s.request.Want != ccp.SyncWantSets {
			continue
		}
		if err != nil || !p.finish(now, q, ccp.SyncEnd{Complete: true}) {
			p.stopServing(now, q)
		}
	}
	if err != nil && ctx.Err() == nil {
		p.log.Warn("this member's sets were not told to another one", "error", err)
	}
	p.transmit(now)
	p.rearm(now)
}

func (p *Plane) offerSets(ctx context.Context, list []*serving) error {
	reader, _, err := p.openLister()
	if err != nil {
		return err
	}
	defer reader.Close()
	var buf []byte
	var stopped error
	err = reader.List(func(r record.Record) {
		if stopped == nil {
			buf = r.Append(buf[:0])
			stopped = p.offer(ctx, list, -1, buf, p.sets.roomFor)
		}
	})
	return errors.Join(err, stopped)
}

// compareSets compares the sets with the peer's, and again what differed, until nothing does or it keeps differing.
func (p *Plane) compareSets(ctx context.Context) (*SetsReport, error) {
	var report SetsReport
	var differ []nftset.Difference
	for pass := range verifyPasses {
		reader, list, err := p.openLister()
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, reader.Close()
		}
		local, remote := nftset.NewListing(list), nftset.NewListing(list)
		err = p.wantSets(ctx, remote)
		if err == nil {
			err = local.Read(reader)
		}
		err = errors.Join(err, reader.Close())
		var refused refusal
		if errors.As(err, &refused) && ccp.SyncResult(refused) == ccp.SyncUnfit {
			return &SetsReport{Problem: "the other member does not tell the elements of its sets: it runs an older version"}, nil
		}
		if err != nil {
			return nil, err
		}
		report.Local, report.Remote = uint64(local.Len()), uint64(remote.Len())
		differ = nftset.Compare(local, remote, differ, pass == 0)
		if len(differ) == 0 || pass == verifyPasses-1 {
			break
		}
		if err := pause(ctx, int64(setsPause)); err != nil {
			return nil, err
		}
	}
	for _, d := range differ {
		report.Counted[d.Kind]++
		if lines := [...]*[]string{&report.OnlyLocal, &report.OnlyRemote, &report.Different}[d.Kind]; len(*lines) < verifyLines {
			*lines = append(*lines, d.Text)
		}
	}
	return &report, nil
}

// wantSets asks the peer for its elements.
func (p *Plane) wantSets(ctx context.Context, into *nftset.Listing) error {
	if err := p.want(ctx, ccp.SyncWantSets, ccp.SyncBitmap{}); err != nil {
		return err
	}
	p.mu.Lock()
	data := p.verify.sets
	p.verify.sets = nil
	p.mu.Unlock()
	for len(data) > 0 {
		r, rest, err := record.Parse(data)
		if err != nil {
			return err
		}
		if reason := into.Add(r); reason != nftset.ReasonNone {
			return fmt.Errorf("statesync: member %d tells an element that is none: %v", p.verify.peer, reason)
		}
		data = rest
	}
	return nil
}
