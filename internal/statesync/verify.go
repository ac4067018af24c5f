// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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
	// Sets compares the nftables sets that are kept equal; nil if there are none.
	Sets *SetsReport
	Took float64 // seconds
}

// Equal says that all was compared and no difference found.
func (r Report) Equal() bool { return r.Counted == [3]uint64{} && (r.Sets == nil || r.Sets.Equal()) }

const (
	// verifyLines is how many entries of a kind a report lists.
	verifyLines = 100
	// verifyPasses is how often what differs is looked at again: what goes on changing is not a difference.
	verifyPasses = 4
	// verifyPause is between two passes.
	verifyPause = 300 * time.Millisecond
	// verifySlack is how many entries more than twice what its words said a peer may send: its table goes on changing.
	verifySlack = 4096
	// verifySilence is how long the peer may say nothing.
	verifySilence = 10 * time.Second
)

// verify is a comparison that is under way; the zero value is none.
type verify struct {
	running bool
	peer    uint8
	session uint64
	words   words
	remote  []entry               // what the peer has
	most    uint64                // how many may come: more than its words said is no honest answer
	explain map[uint64]*[2]string // keys whose entries are to be put into words, here and there
	sets    []byte                // records of its elements of sets
	heard   int64
	done    chan error
}

// entry is one side's entry. There may be millions: no more is kept of them.
type entry struct{ key, print uint64 }

func (v *verify) progress(now int64, session uint64) {
	if v.running && session == v.session {
		v.heard = now
	}
}

func (v *verify) answered(a ccp.SyncAnswer) {
	if v.running && a.Result != ccp.SyncAccepted {
		v.finish(fmt.Errorf("statesync: member %d: %w", v.peer, refusal(a.Result)))
	}
}

// refusal is the answer of a member that does not do what it is asked for.
type refusal ccp.SyncResult

func (r refusal) Error() string { return ccp.SyncResult(r).String() }

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
	if !v.running || r.Table != record.TableConnections {
		return
	}
	if uint64(len(v.remote)) >= v.most {
		v.finish(fmt.Errorf("statesync: member %d sends more entries than it said it has", v.peer))
		return
	}
	v.remote = append(v.remote, entry{id.Key, id.Print})
	if texts := v.explain[id.Key]; texts != nil {
		texts[1] = record.Text(r)
	}
}

// Verify compares this member's table with a peer's for real: both are dumped, and entry by entry compared where buckets differ; and their
// nftables sets, element by element. The error says why that was not possible: the peer is not reached, a repair is under way, ctx ended.
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
	var err error
	report.Sets, err = p.compareSets(ctx)
	report.Took = time.Since(began).Seconds()
	return report, err
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
		case !p.verify.running && !p.asking():
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
	// The peer need not go on with what nobody waits for any more.
	if q := &p.peers[p.verify.peer]; q.bound != 0 && p.verify.session != 0 {
		if q.bulkIn.Session() == p.verify.session {
			q.bulkIn.Shut()
		}
		if q.request == nil || q.request.Log == p.verify.session {
			now := boottime()
			q.request = &ccp.SyncRequest{Log: p.verify.session, Want: ccp.SyncWantNothing}
			p.transmit(now)
			p.rearm(now)
		}
	}
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
	if p.asking() {
		p.mu.Unlock()
		return errors.New("statesync: a repair came in between, try again")
	}
	now := boottime()
	v := &p.verify
	q := &p.peers[v.peer]
	p.session++
	v.session, v.heard = p.session, now
	v.remote, v.sets = nil, nil
	q.bulkIn.Open(now, v.session)
	request := &ccp.SyncRequest{Log: v.session, Want: want, Limit: bulkCredit, Buckets: buckets, Table: p.share.table()}
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
	p.mu.Lock()
	p.verify.most = verifySlack
	for i, w := range p.verify.words.theirs {
		if wanted.Has(i) {
			p.verify.most += 2 * uint64(w.Count)
		}
	}
	p.mu.Unlock()
	var differ []difference
	explain := map[uint64]*[2]string{}
	for pass := range verifyPasses {
		p.mu.Lock()
		p.verify.explain = explain
		p.mu.Unlock()
		if err := p.want(ctx, ccp.SyncWantRead, wanted); err != nil {
			return err
		}
		var local []entry
		err := p.dumpOwn(ctx, conntrack.DumpOptions{}, func(_ int64, rs []record.Record, ids []record.Identity) error {
			for i, id := range ids {
				if !wanted.Has(id.Bucket()) || p.held.Has(id.Key) {
					continue
				}
				local = append(local, entry{id.Key, id.Print})
				if texts := explain[id.Key]; texts != nil {
					texts[0] = record.Text(rs[i])
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		p.mu.Lock()
		remote := p.verify.remote
		p.verify.remote, p.verify.explain = nil, nil
		p.mu.Unlock()
		differ = differences(local, remote, differ, pass == 0)
		if len(differ) == 0 || pass == verifyPasses-1 {
			break
		}
		explain = toExplain(differ)
		if err := pause(ctx, int64(verifyPause)); err != nil {
			return err
		}
	}
	for _, d := range differ {
		report.Counted[d.kind]++
		list := [...]*[]string{&report.OnlyLocal, &report.OnlyRemote, &report.Different}[d.kind]
		if texts := explain[d.key]; texts != nil && len(*list) < verifyLines {
			*list = append(*list, [...]string{texts[0], texts[1], texts[0] + " | " + texts[1]}[d.kind])
		}
	}
	return nil
}

// difference is an entry that one side has otherwise than the other.
type difference struct {
	key  uint64
	kind uint8 // 0 only here, 1 only there, 2 on both, and not alike
}

func byKey[T entry | difference](key func(T) uint64) func(a, b T) int {
	return func(a, b T) int { return cmp.Compare(key(a), key(b)) }
}

func entryKey(e entry) uint64           { return e.key }
func differenceKey(d difference) uint64 { return d.key }

// differences compares two tables, which it sorts, and returns by key what is not alike; of what was found before only what still differs in
// the same way counts, but for the first time.
func differences(local, remote []entry, before []difference, first bool) (found []difference) {
	slices.SortFunc(local, byKey(entryKey))
	slices.SortFunc(remote, byKey(entryKey))
	local, remote = slices.CompactFunc(local, sameKey), slices.CompactFunc(remote, sameKey)
	note := func(key uint64, kind uint8) {
		i, ok := slices.BinarySearchFunc(before, difference{key: key}, byKey(differenceKey))
		if first || ok && before[i].kind == kind {
			found = append(found, difference{key, kind})
		}
	}
	for len(local) > 0 || len(remote) > 0 {
		switch {
		case len(remote) == 0 || len(local) > 0 && local[0].key < remote[0].key:
			note(local[0].key, 0)
			local = local[1:]
		case len(local) == 0 || remote[0].key < local[0].key:
			note(remote[0].key, 1)
			remote = remote[1:]
		default:
			if local[0].print != remote[0].print {
				note(local[0].key, 2)
			}
			local, remote = local[1:], remote[1:]
		}
	}
	return found
}

func sameKey(a, b entry) bool { return a.key == b.key }

// toExplain chooses the differences whose entries the next pass puts into words: some more of a kind than a report has room for, since
// not all will still be there.
func toExplain(differ []difference) map[uint64]*[2]string {
	chosen, of := map[uint64]*[2]string{}, [3]int{}
	for _, d := range differ {
		if of[d.kind]++; of[d.kind] <= 2*verifyLines {
			chosen[d.key] = &[2]string{}
		}
	}
	return chosen
}
