// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/metrics"
	"github.com/holdfast-project/holdfast/internal/statesync"
	"github.com/holdfast-project/holdfast/members"
)

// meters tell what went over each interface in the last second.
type meters struct{ of map[string]meter }

type meter struct {
	at                   int64
	sentTotal, heardYet  uint64
	sent, received, peak float64 // bytes a second
}

// sample takes the totals of an interface.
func (r *meters) sample(now int64, i statesync.InterfaceState) {
	if r.of == nil {
		r.of = map[string]meter{}
	}
	v := r.of[i.Name]
	if dt := float64(now-v.at) / 1e9; v.at != 0 && dt > 0 && i.SentBytes >= v.sentTotal && i.ReceivedBytes >= v.heardYet {
		v.sent, v.received = float64(i.SentBytes-v.sentTotal)/dt, float64(i.ReceivedBytes-v.heardYet)/dt
		v.peak = max(v.peak, v.sent+v.received)
	}
	v.at, v.sentTotal, v.heardYet = now, i.SentBytes, i.ReceivedBytes
	r.of[i.Name] = v
}

// syncNews is what operators were told last of state synchronisation.
type syncNews struct {
	began   bool
	status  statesync.Status // that they know
	seen    statesync.Status // at the last look: a state that lasts is told, not a moment's
	running bool             // a full sync of this member
	lost    uint64
	diff    uint64
	repairs uint64
	evicted [ccp.MaxMembers]bool
}

// reset forgets counters that begin at zero again.
func (k *syncNews) reset() { k.lost, k.diff, k.repairs = 0, 0, 0 }

// publishSync shows the plane's state and counters once a second, and tells what has happened.
func (n *node) publishSync(now int64) {
	s, c := n.syncState(), n.sync.plane.Stats()
	for _, i := range s.Interfaces {
		n.sync.meters.sample(now, i)
	}
	for _, e := range n.sync.news.take(s, c, n.name) {
		n.record(now, e)
	}
	n.sync.noted, n.sync.unnoted = s.Noted, s.Unnoted
	n.metrics.SetSync(syncMetrics(s, c, n.local.Self.Name, n.name))
}

// take compares state and counters with what is known already, and returns what is news.
func (k *syncNews) take(s statesync.State, c statesync.Stats, name func(uint8) string) []members.Record {
	all := append(k.takeStatus(s), k.takeFullSync(s, name)...)
	if c.EventsLost > k.lost {
		all = append(all, told(members.CodeSyncEventsLost, members.Nobody,
			"the kernel has lost events %d times: their room was full (%d bytes); what is missing is found and repaired", c.EventsLost-k.lost, c.EventBuffer))
	}
	if c.Repairs > k.repairs && c.Differences > k.diff {
		all = append(all, told(members.CodeSyncRepaired, s.FullSync.Peer, "this member's table differed from %s's, and was repaired: %d buckets, %d records, %d stale ones removed",
			name(s.FullSync.Peer), s.FullSync.Buckets, s.FullSync.Done, s.FullSync.Removed))
		k.diff = c.Differences
	}
	k.lost, k.repairs = c.EventsLost, c.Repairs
	for _, p := range s.Peers {
		if int(p.ID) >= len(k.evicted) || p.Evicted == k.evicted[p.ID] {
			continue
		}
		switch k.evicted[p.ID] = p.Evicted; {
		case p.Evicted && p.Bound:
			all = append(all, told(members.CodeSyncEvicted, p.ID, "%s is too slow: it is not waited for, and gets a repair when it keeps up", name(p.ID)))
		case p.Evicted:
			all = append(all, told(members.CodeSyncEvicted, p.ID, "%s is away: it is not waited for, and gets a repair when it is back", name(p.ID)))
		default:
			all = append(all, told(members.CodeSyncReturned, p.ID, "%s takes part in state synchronisation again", name(p.ID)))
		}
	}
	return all
}

// told is an event that changes no member's state.
func told(code members.Code, peer uint8, format string, args ...any) members.Record {
	return members.Record{Code: code, Peer: peer, Reason: fmt.Sprintf(format, args...)}
}

// takeStatus tells of a status that has lasted from one look to the next.
func (k *syncNews) takeStatus(s statesync.State) []members.Record {
	lasts := s.Status == k.seen
	k.seen = s.Status
	if !lasts || s.Status == k.status {
		return nil
	}
	began := k.began
	k.status, k.began = s.Status, true
	switch s.Status {
	case statesync.StatusOK:
		return []members.Record{told(members.CodeSyncOK, members.Nobody, "state synchronisation is OK")}
	case statesync.StatusAtRisk:
		return []members.Record{told(members.CodeSyncAtRisk, members.Nobody, "state synchronisation is at risk: %s", s.Reason)}
	default:
		if !began { // off at the start is nothing that has happened
			return nil
		}
		return []members.Record{told(members.CodeSyncOff, members.Nobody, "state synchronisation is off: %s", s.Reason)}
	}
}

// takeFullSync tells of the beginning and the end of a full sync.
func (k *syncNews) takeFullSync(s statesync.State, name func(uint8) string) []members.Record {
	f, copies := s.FullSync, s.Sharing || s.Role == statesync.RoleCopy
	switch {
	case !k.running && f.Full && f.Running:
		k.running = true
		return []members.Record{told(members.CodeFullSyncBegun, f.Peer, "a full sync from %s has begun: about %d connections", name(f.Peer), f.Total)}
	case !k.running || f.Full && f.Running || copies && !s.Current:
		return nil // none, or one that goes on, or is to be tried again
	}
	k.running = false
	switch {
	case !copies: // there is nothing to copy any more
		return nil
	case s.Sharing:
		return []members.Record{told(members.CodeFullSyncDone, members.Nobody, "the full sync from all members that own connections is done: %d connections", s.Entries)}
	case !f.Full:
		return []members.Record{told(members.CodeFullSyncDone, s.Owner, "the full sync from %s is done: the tables were equal", name(s.Owner))}
	default:
		return []members.Record{told(members.CodeFullSyncDone, f.Peer, "the full sync from %s is done: %d connections, %d stale ones removed", name(f.Peer), f.Done, f.Removed)}
	}
}

// syncMetrics translates state and counters for the metrics.
func syncMetrics(s statesync.State, c statesync.Stats, self string, name func(uint8) string) metrics.Sync {
	m := metrics.Sync{
		Status: strings.ReplaceAll(s.Status.String(), " ", "-"), Role: s.Role.String(), Current: s.Current, LagRecords: s.LagRecords, Lag: s.Lag,
		Held: s.Held, Noted: s.Noted, Unnoted: c.NotesRefused, RecordRate: c.RecordRate, InjectRate: c.InjectRate,
		Members:  map[string]metrics.SyncMember{self: {Entries: s.Entries}},
		FullSync: metrics.SyncProgress{Running: s.FullSync.Running, Done: s.FullSync.Done, Total: s.FullSync.Total},
		Counters: syncGroups(c), Interfaces: map[string]metrics.SyncInterface{},
	}
	for _, p := range s.Peers {
		m.Members[name(p.ID)] = metrics.SyncMember{Entries: p.Entries, Compared: p.Compared, Equal: p.Equal, Evicted: p.Evicted, Unacked: p.Unacked, Lag: p.Lag}
	}
	for _, i := range s.Interfaces {
		m.Interfaces[i.Name] = metrics.SyncInterface{Up: i.Up && i.Error == "", SentBytes: i.SentBytes, SentFrames: i.SentFrames,
			ReceivedBytes: i.ReceivedBytes, ReceivedFrames: i.ReceivedFrames}
	}
	return m
}

// linkSpeed is what the driver says of a device's link, in Mbit/s; 0 if it says nothing. /sys shows the network namespace that it was
// mounted in: there may be another device of this name.
func linkSpeed(device string, index int) int {
	dir := "/sys/class/net/" + device + "/"
	if number(dir+"ifindex") != index {
		return 0
	}
	return max(0, number(dir+"speed"))
}

// number reads a number from a file of /sys; -1 if there is none.
func number(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return -1
	}
	return n
}
