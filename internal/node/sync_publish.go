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
	reason  string
	running bool // a full sync of this member
	lost    uint64
	diff    uint64
	repairs uint64
	evicted [ccp.MaxMembers]bool
}

// reset forgets counters that begin at zero again.
func (s *syncNews) reset() { s.lost, s.diff, s.repairs = 0, 0, 0 }

// publishSync shows the plane's state and counters once a second, and tells what has happened.
func (n *node) publishSync(now int64) {
	s, c := n.sync.plane.State(), n.sync.plane.Stats()
	for _, i := range s.Interfaces {
		n.sync.meters.sample(now, i)
	}
	for _, e := range n.sync.news.take(s, c, n.name) {
		n.record(now, e)
	}
	n.metrics.SetSync(syncMetrics(s, c, n.local.Self.Name, n.name))
}

// take compares state and counters with what is known already, and returns what is news.
func (k *syncNews) take(s statesync.State, c statesync.Stats, name func(uint8) string) []members.Record {
	var all []members.Record
	tell := func(code members.Code, peer uint8, format string, args ...any) {
		all = append(all, members.Record{Code: code, Peer: peer, Reason: fmt.Sprintf(format, args...)})
	}
	if s.Status == k.seen && s.Status != k.status {
		switch {
		case s.Status == statesync.StatusOK:
			tell(members.CodeSyncOK, members.Nobody, "state synchronisation is OK")
		case s.Status == statesync.StatusAtRisk:
			tell(members.CodeSyncAtRisk, members.Nobody, "state synchronisation is at risk: %s", s.Reason)
		case k.began:
			tell(members.CodeSyncOff, members.Nobody, "state synchronisation is off: %s", s.Reason)
		}
		k.status, k.began = s.Status, true
	}
	k.seen = s.Status
	if f := s.FullSync; f.Full && f.Running != k.running {
		if k.running = f.Running; f.Running {
			tell(members.CodeFullSyncBegun, f.Peer, "a full sync from %s has begun: about %d connections", name(f.Peer), f.Total)
		} else if s.Current {
			tell(members.CodeFullSyncDone, f.Peer, "the full sync from %s is done: %d connections, %d stale ones removed", name(f.Peer), f.Done, f.Removed)
		}
	}
	if c.EventsLost > k.lost {
		tell(members.CodeSyncEventsLost, members.Nobody, "the kernel has lost events %d times: their room was full (%d bytes); what is missing is found and repaired",
			c.EventsLost-k.lost, c.EventBuffer)
	}
	if c.Repairs > k.repairs && c.Differences > k.diff {
		tell(members.CodeSyncRepaired, s.Owner, "this member's table differed from %s's, and was repaired: %d buckets, %d records, %d stale ones removed",
			name(s.Owner), s.FullSync.Buckets, s.FullSync.Done, s.FullSync.Removed)
		k.diff = c.Differences
	}
	k.lost, k.repairs = c.EventsLost, c.Repairs
	for _, p := range s.Peers {
		if int(p.ID) >= len(k.evicted) || p.Evicted == k.evicted[p.ID] {
			continue
		}
		if k.evicted[p.ID] = p.Evicted; p.Evicted {
			tell(members.CodeSyncEvicted, p.ID, "%s is too slow, or away: it is not waited for, and gets a repair when it is back", name(p.ID))
		} else {
			tell(members.CodeSyncReturned, p.ID, "%s takes part in state synchronisation again", name(p.ID))
		}
	}
	return all
}

// syncMetrics translates state and counters for the metrics.
func syncMetrics(s statesync.State, c statesync.Stats, self string, name func(uint8) string) metrics.Sync {
	m := metrics.Sync{
		Status: strings.ReplaceAll(s.Status.String(), " ", "-"), Role: s.Role.String(), Current: s.Current, LagRecords: s.LagRecords, Lag: s.Lag,
		Held: s.Held, RecordRate: c.RecordRate, InjectRate: c.InjectRate,
		Members:  map[string]metrics.SyncMember{self: {Entries: s.Entries, Equal: true}},
		FullSync: metrics.SyncProgress{Running: s.FullSync.Running, Done: s.FullSync.Done, Total: s.FullSync.Total},
		Counters: syncGroups(c), Interfaces: map[string]metrics.SyncInterface{},
	}
	for _, p := range s.Peers {
		m.Members[name(p.ID)] = metrics.SyncMember{Entries: p.Entries, Equal: p.Equal, Evicted: p.Evicted, Unacked: p.Unacked, Lag: p.Lag}
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
