// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// Report is the result of Verify.
type Report struct {
	Peer uint8
	// Local and Remote are the entries on this member and on the peer, at about the same time.
	Local, Remote uint64
	// Buckets that differed, of 1024.
	Buckets int
	// OnlyLocal, OnlyRemote and Different are entries, one line each as conntrack -L shows them; at most 100 of each kind, Counted
	// says how many there were. What changed while it was looked at is looked at again before it counts.
	OnlyLocal, OnlyRemote, Different []string
	Counted                          [3]uint64
	Took                             float64 // seconds
}

// Equal says that no difference was found.
func (r Report) Equal() bool { return r.Counted == [3]uint64{} }

const (
	// verifyLines is how many entries of a kind a report lists.
	verifyLines = 100
	// verifyPasses is how often what differs is looked at again: what goes on changing is not a difference.
	verifyPasses = 4
	// verifyPause is between two passes.
	verifyPause = 300 * time.Millisecond
	// verifySilence is how long the peer may say nothing.
	verifySilence = 10 * time.Second
)

// verify is a comparison that is under way; the zero value is none.
type verify struct {
	running bool
	peer    uint8
	session uint64
	words   words
	remote  map[uint64]entry
	heard   int64
	done    chan error
}

// entry is one side's entry with a key.
type entry struct {
	print uint64
	text  string
}

func (v *verify) progress(now int64, session uint64) {
	if v.running && session == v.session {
		v.heard = now
	}
}

func (v *verify) answered(a ccp.SyncAnswer) {
	if v.running && a.Result != ccp.SyncAccepted {
		v.finish(fmt.Errorf("statesync: member %d: %v", v.peer, a.Result))
	}
}

func (v *verify) ended(end ccp.SyncEnd) {
	if !end.Complete {
		v.finish(fmt.Errorf("statesync: member %d could not tell all", v.peer))
		return
	}
	v.finish(nil)
}

func (v *verify) finish(err error) {
	select {
	case v.done <- err:
	default:
	}
}

// listed takes an entry that the peer has.
func (v *verify) listed(r record.Record, id record.Identity) {
	if v.remote != nil && r.Table == record.TableConnections {
		v.remote[id.Key] = entry{id.Print, record.Text(r)}
	}
}

// Verify compares this member's table with a peer's for real: both are dumped, and entry by entry compared where buckets differ. The
// error says why that was not possible: the peer is not reached, a repair is under way, ctx ended.
func (p *Plane) Verify(ctx context.Context, peer uint8) (Report, error) {
	began := time.Now()
	report := Report{Peer: peer}
	if err := p.beginVerify(ctx, peer); err != nil {
		return report, err
	}
	defer p.endVerify()
	if err := p.freshTally(ctx); err != nil {
		return report, err
	}
	if err := p.want(ctx, ccp.SyncWantFresh, ccp.SyncBitmap{}); err != nil {
		return report, err
	}
	p.mu.Lock()
	own := p.tally.Words()
	report.Local = uint64(max(0, p.tally.Sum().Entries))
	var wanted ccp.SyncBitmap
	for i, w := range p.verify.words.theirs {
		report.Remote += uint64(w.Count)
		if w.Xor != own[i].Xor || w.Count != own[i].Count {
			wanted.Add(i)
			report.Buckets++
		}
	}
	p.mu.Unlock()
	if report.Buckets > 0 {
		if err := p.compareEntries(ctx, wanted, &report); err != nil {
			return report, err
		}
	}
	report.Took = time.Since(began).Seconds()
	return report, nil
}

func (p *Plane) beginVerify(ctx context.Context, peer uint8) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		p.mu.Lock()
		switch {
		case p.group == nil || peer >= p.cfg.Members || peer == p.cfg.Self:
			p.mu.Unlock()
			return fmt.Errorf("statesync: member %d cannot be compared with", peer)
		case p.peers[peer].bound == 0:
			p.mu.Unlock()
			return fmt.Errorf("statesync: member %d is not reached on any sync interface", peer)
		case !p.verify.running && p.asker.stage == stageIdle:
			p.verify = verify{running: true, peer: peer, done: make(chan error, 1)}
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return errors.New("statesync: a repair or another comparison is under way")
		case <-ticker.C:
		}
	}
}

func (p *Plane) endVerify() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.verify = verify{}
}

// freshTally has the own tally made from a dump now.
func (p *Plane) freshTally(ctx context.Context) error {
	p.mu.Lock()
	dumps := p.made
	p.jobs.ownTally = true
	p.jobs.signal()
	p.mu.Unlock()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		p.mu.Lock()
		made := p.made != dumps && !p.jobs.ownTally
		p.mu.Unlock()
		if made {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// want asks the peer for something and waits until all of it has come.
func (p *Plane) want(ctx context.Context, want ccp.SyncWant, buckets ccp.SyncBitmap) error {
	p.mu.Lock()
	if p.asker.stage != stageIdle {
		p.mu.Unlock()
		return errors.New("statesync: a repair came in between, try again")
	}
	now := boottime()
	v := &p.verify
	q := &p.peers[v.peer]
	p.asker.session++
	v.session, v.heard = p.asker.session, now
	v.remote = map[uint64]entry{}
	q.bulkIn.Open(now, v.session)
	request := &ccp.SyncRequest{Log: v.session, Want: want, Limit: bulkCredit, Buckets: buckets}
	done := v.done
	p.mu.Unlock()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for first := true; ; first = false {
		p.mu.Lock()
		now := boottime()
		silent := now - v.heard
		if silent > int64(verifySilence) || q.bulkIn == nil || q.bulkIn.Session() != v.session {
			p.mu.Unlock()
			return fmt.Errorf("statesync: member %d does not answer, or a repair came in between", v.peer)
		}
		if first || silent > resendAfter {
			again := *request
			q.request = &again
			p.transmit(now)
			p.rearm(now)
		}
		p.mu.Unlock()
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// compareEntries compares the entries of the wanted buckets, and again what differed, until nothing does or it keeps differing.
func (p *Plane) compareEntries(ctx context.Context, wanted ccp.SyncBitmap, report *Report) error {
	var differ map[uint64]difference
	for pass := range verifyPasses {
		if err := p.want(ctx, ccp.SyncWantRead, wanted); err != nil {
			return err
		}
		local := map[uint64]entry{}
		err := p.dumpOwn(ctx, conntrack.DumpOptions{}, func(_ int64, rs []record.Record, ids []record.Identity) error {
			for i, id := range ids {
				if wanted.Has(id.Bucket()) && !p.held.Has(id.Key) {
					local[id.Key] = entry{id.Print, record.Text(rs[i])}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		p.mu.Lock()
		remote := p.verify.remote
		p.mu.Unlock()
		differ = differences(local, remote, differ)
		if len(differ) == 0 || pass == verifyPasses-1 {
			break
		}
		if err := pause(ctx, int64(verifyPause)); err != nil {
			return err
		}
	}
	for _, d := range differ {
		list := [...]*[]string{&report.OnlyLocal, &report.OnlyRemote, &report.Different}[d.kind]
		if report.Counted[d.kind]++; len(*list) < verifyLines {
			*list = append(*list, d.text)
		}
	}
	return nil
}

// difference is an entry that one side has otherwise than the other.
type difference struct {
	kind int // 0 only here, 1 only there, 2 on both, and not alike
	text string
}

// differences compares two tables; of those found before (nil: it is the first time) only what still differs in the same way counts.
func differences(local, remote map[uint64]entry, before map[uint64]difference) map[uint64]difference {
	found := map[uint64]difference{}
	note := func(key uint64, kind int, text string) {
		if was, ok := before[key]; before == nil || ok && was.kind == kind {
			found[key] = difference{kind, text}
		}
	}
	for key, l := range local {
		r, ok := remote[key]
		switch {
		case !ok:
			note(key, 0, l.text)
		case r.print != l.print:
			note(key, 2, l.text+" | "+r.text)
		}
	}
	for key, r := range remote {
		if _, ok := local[key]; !ok {
			note(key, 1, r.text)
		}
	}
	return found
}
