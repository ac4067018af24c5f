// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"errors"
	"fmt"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/transfer"
)

// fromPeer asks a peer for a policy. What an earlier one gave of it stays.
func (l *loop) fromPeer(j *job) {
	if _, heard := l.peers[l.ids[j.source]]; !heard {
		l.p.tell(got{j.what.Digest, j.source, nil, transfer.ErrGone})
		return
	}
	if j.asker == nil {
		j.asker = transfer.NewAsker(transfer.Config{}, l.trust(), j.what)
	}
	l.step(j, transfer.Begin{Source: j.source})
}

// step gives an asker an event, and does what it wants.
func (l *loop) step(j *job, e transfer.Event) {
	for _, e := range j.asker.Step(l.now(), e) {
		switch e := e.(type) {
		case transfer.Send:
			var parts ccp.Policy
			for _, w := range e.Wants {
				p := ccp.PolicyWant{Digest: w.Digest, What: uint16(w.What)} //nolint:gosec // a policy has MaxBody/PieceSize pieces at most
				for _, r := range w.Ranges {
					p.Ranges = append(p.Ranges, ccp.PolicyRange{Offset: uint32(r.Offset), Length: uint32(r.Length)}) //nolint:gosec // within a piece
				}
				parts = append(parts, p)
			}
			if id, known := l.ids[e.To]; known {
				l.send(id, parts...)
			}
		case transfer.Done:
			l.p.tell(got{j.what.Digest, j.source, e.Policy, nil})
		case transfer.Failed:
			err := e.Err
			if errors.Is(err, transfer.ErrForged) {
				err = fmt.Errorf("%w: %w", errForged, err)
			}
			l.p.tell(got{j.what.Digest, e.From, nil, err})
		case transfer.WakeAt:
			l.at(transferAlarm(j.what.Digest), e.Time, func() { l.step(j, transfer.Tick{}) })
		}
	}
}

func transferAlarm(d policy.Digest) string { return "transfer " + d.Short() }

// transfer takes in the parts of a frame that are about policies themselves.
func (l *loop) transfer(from uint8, name string, parts ccp.Policy) {
	var wants []transfer.Want
	for _, part := range parts {
		switch part := part.(type) {
		case ccp.PolicyWant:
			w := transfer.Want{Digest: part.Digest, What: int(part.What)}
			for _, r := range part.Ranges {
				w.Ranges = append(w.Ranges, transfer.Range{Offset: int(r.Offset), Length: int(r.Length)})
			}
			wants = append(wants, w)
		case ccp.PolicyData:
			if j := l.fetches.jobs[part.Digest]; j != nil && j.asker != nil {
				l.step(j, transfer.Got{From: name, Data: transfer.Data{Digest: part.Digest, What: int(part.What), Total: int(part.Total),
					Offset: int(part.Offset), Bytes: part.Bytes}})
			}
		case ccp.PolicyNone:
			if j := l.fetches.jobs[part.Digest]; j != nil && j.asker != nil {
				l.step(j, transfer.Lacks{From: name, Digest: part.Digest})
			}
		}
	}
	if len(wants) == 0 {
		return
	}
	data, none := l.answers.Answer(l.now(), name, wants, l.give)
	for _, d := range data {
		l.send(from, ccp.PolicyData{Digest: d.Digest, What: uint16(d.What), Total: uint32(d.Total), Offset: uint32(d.Offset), Bytes: d.Bytes}) //nolint:gosec // of a bundle
	}
	for _, d := range none {
		l.send(from, ccp.PolicyNone{Digest: d})
	}
}

// give finds a policy that somebody asks for. The latest two are kept: who asks, asks for all of their pieces.
func (l *loop) give(d policy.Digest) *policy.Sealed {
	if l.held != nil && l.held.sealed != nil && l.held.offer.Digest == d {
		return l.held.sealed
	}
	for _, s := range l.given {
		if s != nil && s.Head().Digest() == d {
			return s
		}
	}
	o, there := l.disk.find(d)
	if !there {
		return nil
	}
	s, err := l.disk.get(o)
	if err != nil {
		l.p.tell(diskBad{})
		return nil
	}
	l.given = [2]*policy.Sealed{s, l.given[0]}
	return s
}

// peerLost tells askers that a peer is not heard any more.
func (l *loop) peerLost(name string) {
	for _, j := range l.fetches.jobs {
		if j.asker != nil && j.source == name {
			l.step(j, transfer.Gone{From: name})
		}
	}
}
