// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/flow"
)

// deletion is the type of ctnetlink's message that a connection has ended: IPCTNL_MSG_CT_DELETE.
const deletion = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2

// untell has the others delete their copies of connections that were synchronised by the rules of before, and belong to a service that is
// never synchronised by those of now: nobody would tell of their ends, and copies stay for hours.
func (p *Plane) untell(ctx context.Context, before *record.Judge) error {
	p.mu.Lock()
	hasher, judge := p.hasher, p.judge
	p.mu.Unlock()
	limit := pace{perSecond: sweepRate}
	var rs []record.Record
	var ids []record.Identity
	buf := make([]byte, 0, (chunk+1)*record.MaxLen)
	send := func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.hasher != hasher {
			return errRekeyed
		}
		p.now = boottime()
		for i, r := range rs {
			if p.owns(ids[i].Bucket()) && p.heardAnybody() {
				p.stats.Deletes++
				p.send(flow.Delete, ids[i].Key, p.wire(r))
			}
		}
		p.sender.Flush()
		p.transmit(p.now)
		rs, ids, buf = rs[:0], ids[:0], buf[:0]
		return nil
	}
	seen, paced := 0, 0
	err := p.table.Dump(ctx, conntrack.DumpOptions{Chunk: func(int) error {
		wait := limit.take(boottime(), seen-paced)
		paced = seen
		return pause(ctx, wait)
	}}, func(m conntrack.Message) error {
		seen++
		r, err := record.FromMessage(buf, deletion, 0, m.Payload)
		if err != nil || before.Judge(r).Skip != record.SkipNone || judge.Judge(r).Skip != record.SkipService {
			return nil //nolint:nilerr // what cannot be told was not
		}
		id, err := hasher.Identify(r)
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		buf = buf[:len(buf)+len(r.Attrs)]
		if rs, ids = append(rs, r), append(ids, id); len(rs) < chunk {
			return nil
		}
		return send()
	})
	if err == nil {
		err = send()
	}
	if err != nil && ctx.Err() == nil {
		p.mu.Lock()
		if p.jobs.untell == nil {
			p.jobs.untell = before
		}
		p.mu.Unlock()
	}
	return err
}
