// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/statesync"
)

// Sync implements control.Backend.
func (b *backend) Sync(ctx context.Context) (control.Sync, error) {
	return ask(ctx, b.n, func(int64) (control.Sync, error) {
		n := b.n
		s := n.syncState()
		v := control.Sync{
			Member: n.local.Self.Name, Status: s.Status.String(), Reason: s.Reason, Role: s.Role.String(), Owner: n.name(s.Owner),
			Current: s.Current, LagRecords: s.LagRecords, LagMs: ms(s.Lag), Held: s.Held, Members: []control.SyncMember{},
			Interfaces: n.syncInterfaces(s), FullSync: n.progress(s.FullSync),
		}
		for _, m := range n.cfg.Members {
			if m.ID == n.local.Self.ID {
				v.Members = append(v.Members, control.SyncMember{ID: m.ID, Name: m.Name, Local: true, Role: s.Role.String(), Current: s.Current,
					Entries: s.Entries, Digest: digestText(s.Entries, s.Digest), Expectations: s.Expectations, SetElements: s.SetElements,
					Connected: true})
				continue
			}
			v.Members = append(v.Members, n.syncPeer(s, m.ID))
		}
		for _, r := range n.services() {
			v.Services = append(v.Services, r.String())
		}
		for _, set := range n.cfg.Sync.Sets {
			v.Sets = append(v.Sets, set.String())
		}
		return v, nil
	})
}

// syncPeer is what is known of another member's table.
func (n *node) syncPeer(s statesync.State, id uint8) control.SyncMember {
	m := control.SyncMember{ID: id, Name: n.name(id), Role: statesync.RoleOff.String(), HeardMs: -1}
	for _, p := range s.Peers {
		if p.ID != id {
			continue
		}
		m.Role, m.Current, m.Entries, m.Digest = p.Role.String(), p.Current, p.Entries, digestText(p.Entries, p.Digest)
		m.Connected, m.Evicted, m.Unacked, m.LagMs = p.Bound, p.Evicted, p.Unacked, ms(p.Lag)
		if p.Compared {
			m.Equal = &p.Equal
		}
		m.HeardMs, m.Serving = sinceMs(p.Heard), n.progress(p.Serving)
	}
	return m
}

// digestText is a digest for people; an empty table has none.
func digestText(entries, digest uint64) string {
	if entries == 0 && digest == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", digest)
}

// progress is nil for what never began.
func (n *node) progress(p statesync.Progress) *control.SyncProgress {
	if p.Stage == "" && !p.Running && p.Tries == 0 {
		return nil
	}
	return &control.SyncProgress{Running: p.Running, Full: p.Full, Peer: n.name(p.Peer), Stage: p.Stage, Buckets: p.Buckets, Done: p.Done, Total: p.Total,
		Removed: p.Removed, Tries: p.Tries, TookMs: ms(p.Took)}
}

func (n *node) syncInterfaces(s statesync.State) []control.SyncInterface {
	all := make([]control.SyncInterface, 0, len(s.Interfaces))
	for _, i := range s.Interfaces {
		v := control.SyncInterface{Name: i.Name, Up: i.Up, Error: i.Error, Heard: []string{}, SentBytes: i.SentBytes, SentFrames: i.SentFrames,
			ReceivedBytes: i.ReceivedBytes, ReceivedFrames: i.ReceivedFrames}
		for _, id := range i.Heard {
			v.Heard = append(v.Heard, n.name(id))
		}
		r := n.sync.meters.of[i.Name]
		v.SentRate, v.ReceivedRate, v.PeakRate = r.sent, r.received, r.peak
		for _, p := range n.ports {
			if p.Name == i.Name {
				v.SpeedMbit = linkSpeed(p.device, p.index)
			}
		}
		all = append(all, v)
	}
	return all
}

// flushEvery is how long a record waits for others to leave in one frame with it.
const flushEvery = time.Millisecond

// SyncStats implements control.Backend.
func (b *backend) SyncStats(ctx context.Context) (control.SyncStats, error) {
	return ask(ctx, b.n, func(int64) (control.SyncStats, error) {
		n := b.n
		s, c := n.syncState(), n.sync.plane.Stats()
		return control.SyncStats{Member: n.local.Self.Name, Since: c.Since, Status: s.Status.String(), Reason: s.Reason, Groups: syncGroups(c),
			RecordRate: c.RecordRate, InjectRate: c.InjectRate, Interfaces: n.syncInterfaces(s), FlushMs: ms(flushEvery)}, nil
	})
}

// syncGroups sorts the counters by what an operator asks: is anything at risk, what left, what came, what was done with it.
func syncGroups(c statesync.Stats) map[string]map[string]uint64 {
	return map[string]map[string]uint64{
		"risk": {"events-lost": c.EventsLost, "batches-lost": c.Lost, "evictions": c.Evictions, "refreshes-dropped": c.DroppedFresh,
			"differences": c.Differences, "answers-unnoted": c.NotesRefused},
		"sent": {"events": c.Events, "records": c.Records, "new": c.News, "updates": c.Updates, "deletes": c.Deletes, "coalesced": c.Coalesced,
			"annihilated": c.Annihilated, "batches": c.Batches, "retransmitted": c.Retransmitted},
		"received": {"records": c.Received, "batches": c.ReceivedBatches, "duplicates": c.Duplicates, "gaps": c.Gaps, "requested": c.Requested,
			"unwanted": c.Unwanted, "overflowed": c.Overflowed, "mistaken": c.Mistaken},
		"applied": {"created": c.Created, "updated": c.Updated, "deleted": c.Deleted, "absent": c.Absent},
		"reconciled": {"marks": c.Marks, "dumps": c.Dumps, "dumped": c.DumpEntries, "repairs": c.Repairs, "full-syncs": c.FullSyncs,
			"repaired": c.Upserts, "removed": c.Removed, "served": c.Served, "swept": c.Swept},
		"queues": {"records": c.Queue, "records-peak": c.PeakQueue, "log-bytes": c.Log, "log-bytes-peak": c.PeakLog, "log-bytes-limit": c.LogSize,
			"inject-bytes": c.InjectQueue, "inject-bytes-peak": c.PeakInjectQueue, "event-buffer-bytes": c.EventBuffer, "event-queue-bytes": c.EventQueue},
		"refused-records": some(c.Refused), "dropped-frames": some(c.Dropped), "kernel-errors": some(c.Errors), "skipped-events": some(c.EventsSkipped),
	}
}

// some is the map itself, or an empty one: nobody shall have to tell the two apart.
func some(m map[string]uint64) map[string]uint64 {
	if m == nil {
		return map[string]uint64{}
	}
	return m
}

// ResetSync implements control.Backend.
func (b *backend) ResetSync(ctx context.Context) (control.Result, error) {
	return ask(ctx, b.n, func(int64) (control.Result, error) {
		b.n.sync.plane.ResetStats()
		b.n.sync.meters = meters{}
		b.n.sync.news.reset()
		return control.Result{Done: "the counters of state synchronisation on " + b.n.local.Self.Name + " begin at zero"}, nil
	})
}

// verifyWithin is how long a comparison with all members takes at most: less than the control API waits.
const verifyWithin = 55 * time.Second

// syncHint says how state synchronisation is switched on.
func (n *node) syncHint() string {
	for _, i := range n.cfg.Interfaces {
		if i.Role.Sync() {
			return "set sync: {enabled: true} in cluster.yaml"
		}
	}
	return "give an interface the role sync or cluster+sync"
}

// VerifySync implements control.Backend. It runs beside the loop: it dumps tables.
func (b *backend) VerifySync(ctx context.Context, r control.SyncVerifyRequest) (control.SyncVerify, error) {
	type target struct {
		id   uint8
		name string
	}
	n := b.n
	var names []string
	targets, err := ask(ctx, n, func(int64) ([]target, error) {
		names = n.names()
		if !n.cfg.Sync.Enabled {
			return nil, control.Refused("state synchronisation is off", n.syncHint())
		}
		var all []target
		for _, m := range n.local.Peers {
			if r.Member == "" || m.Name == r.Member {
				all = append(all, target{m.ID, m.Name})
			}
		}
		if len(all) == 0 {
			return nil, control.NotFound(fmt.Sprintf("there is no other member %q", r.Member), "the members are "+strings.Join(n.names(), ", "))
		}
		return all, nil
	})
	if err != nil {
		return control.SyncVerify{}, err
	}
	v := control.SyncVerify{Member: n.o.Member, Equal: true, Reports: []control.SyncReport{}}
	for _, t := range targets {
		one, cancel := context.WithTimeout(ctx, verifyWithin/time.Duration(len(targets)))
		report, err := n.sync.plane.Verify(one, t.id)
		if err != nil && one.Err() != nil {
			err = fmt.Errorf("not done within %v: %w", verifyWithin/time.Duration(len(targets)), err)
		}
		cancel()
		if ctx.Err() != nil {
			return control.SyncVerify{}, ctx.Err()
		}
		shown := syncReport(t.name, report, err)
		shown.Error = withNames(shown.Error, names)
		v.Equal = v.Equal && shown.Equal
		v.Reports = append(v.Reports, shown)
	}
	return v, nil
}

// syncReport is a comparison, or why there is none.
func syncReport(peer string, r statesync.Report, err error) control.SyncReport {
	if err != nil {
		return control.SyncReport{Peer: peer, Error: strings.ReplaceAll(err.Error(), "statesync: ", "")} // the package's name says nothing to operators
	}
	v := control.SyncReport{Peer: peer, Equal: r.Equal(), Local: r.Local, Remote: r.Remote, Buckets: r.Buckets,
		OnlyLocal: r.Counted[0], OnlyRemote: r.Counted[1], Different: r.Counted[2], TookMs: r.Took * 1000}
	v.Examples = examples(nil, r.OnlyLocal, r.OnlyRemote, r.Different)
	if s := r.Sets; s != nil {
		v.Sets = &control.SyncSetsReport{Equal: s.Equal(), Error: s.Problem, Local: s.Local, Remote: s.Remote,
			OnlyLocal: s.Counted[0], OnlyRemote: s.Counted[1], Different: s.Counted[2]}
		v.Examples = examples(v.Examples, s.OnlyLocal, s.OnlyRemote, s.Different)
	}
	return v
}

// examples puts differences into words.
func examples(list []string, kinds ...[]string) []string {
	for i, lines := range kinds {
		for _, line := range lines {
			list = append(list, [...]string{"only here: ", "only there: ", "different: "}[i]+line)
		}
	}
	return list
}

// syncWarning says in words what of state synchronisation an operator should know, "" for nothing.
func (n *node) syncWarning() string {
	if s := n.sync.state; s.Status == statesync.StatusAtRisk {
		return "state synchronisation is at risk: " + s.Reason
	}
	return ""
}

// syncFacts are what the answer to "why" rests on.
func (n *node) syncFacts() []string {
	s := n.sync.state
	line := "state synchronisation: " + s.Status.String()
	if s.Reason != "" {
		line += ": " + s.Reason
	}
	if s.Status == statesync.StatusOff {
		return []string{line}
	}
	line += fmt.Sprintf("; %s, %d connections", s.Role, s.Entries)
	if s.Owner != ccp.Nobody && s.Role == statesync.RoleCopy {
		line += fmt.Sprintf(", %d records and %.1f ms behind %s", s.LagRecords, ms(s.Lag), n.name(s.Owner))
	}
	return []string{line}
}
