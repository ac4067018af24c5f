// SPDX-License-Identifier: Apache-2.0

package control

import (
	"strconv"
	"time"
)

// Sync is how state synchronisation is, as this member sees it.
type Sync struct {
	Member     string          `json:"member"`
	Status     string          `json:"status"`           // "OK", "at risk" or "off"
	Reason     string          `json:"reason,omitempty"` // why it is not OK, in words
	Role       string          `json:"role"`             // owner copy off
	Owner      string          `json:"owner,omitempty"`  // member whose table counts, as far as known here
	Current    bool            `json:"current"`          // this member's table is fit to serve with
	LagRecords uint64          `json:"lag_records"`      // known to be sent to this member and not in its kernel yet
	LagMs      float64         `json:"lag_ms"`
	Held       int             `json:"held"` // new connections that wait for their service's delay
	Members    []SyncMember    `json:"members"`
	Interfaces []SyncInterface `json:"interfaces"`
	FullSync   *SyncProgress   `json:"full_sync,omitempty"` // that this member receives, or received last
	Services   []string        `json:"services,omitempty"`  // rules of cluster.yaml
	Sets       []string        `json:"sets,omitempty"`      // nftables sets and maps of cluster.yaml
}

// SyncMember is one member's table. What is said of a peer is its own word; Equal, Unacked and LagMs are what this member knows.
type SyncMember struct {
	ID           uint8         `json:"id"`
	Name         string        `json:"name"`
	Local        bool          `json:"local"`
	Role         string        `json:"role"`
	Current      bool          `json:"current"`
	Entries      uint64        `json:"entries"`
	Digest       string        `json:"digest,omitempty"`       // of all entries, 16 hexadecimal digits
	Expectations uint64        `json:"expectations,omitempty"` // of this member only
	SetElements  uint64        `json:"set_elements,omitempty"` // of this member only
	Connected    bool          `json:"connected"`              // frames go both ways; true for this member
	Equal        *bool         `json:"equal,omitempty"`        // the last comparison found no difference; nil: there was none
	Evicted      bool          `json:"evicted,omitempty"`      // too slow: it is not waited for, and will be repaired
	Unacked      uint64        `json:"unacked"`                // records that it has not acknowledged yet
	LagMs        float64       `json:"lag_ms"`                 // age of the oldest of them
	HeardMs      float64       `json:"heard_ms"`               // since a frame came from it; -1: never; 0 for this member
	Serving      *SyncProgress `json:"serving,omitempty"`      // full sync or repair that it gets from this member, or got last
}

// SyncProgress is a full sync or a repair.
type SyncProgress struct {
	Running bool    `json:"running"`
	Full    bool    `json:"full"`           // the whole table, the first of a joiner
	Peer    string  `json:"peer,omitempty"` // the other side
	Stage   string  `json:"stage"`
	Buckets int     `json:"buckets"` // that differed, of 1024
	Done    uint64  `json:"done"`    // records
	Total   uint64  `json:"total"`   // about
	Removed uint64  `json:"removed"` // stale entries that went
	Tries   int     `json:"tries"`
	TookMs  float64 `json:"took_ms"`
}

// SyncInterface is an interface that synchronisation uses.
type SyncInterface struct {
	Name           string   `json:"name"`
	Up             bool     `json:"up"`
	Error          string   `json:"error,omitempty"` // why it cannot be used
	Heard          []string `json:"heard"`           // members from which frames come in there
	SentBytes      uint64   `json:"sent_bytes"`
	SentFrames     uint64   `json:"sent_frames"`
	ReceivedBytes  uint64   `json:"received_bytes"`
	ReceivedFrames uint64   `json:"received_frames"`
	SentRate       float64  `json:"sent_bytes_per_s"` // of the last second
	ReceivedRate   float64  `json:"received_bytes_per_s"`
	PeakRate       float64  `json:"peak_bytes_per_s"` // both ways together, since the start or the last reset
	SpeedMbit      int      `json:"speed_mbit"`       // of the link; 0: unknown
}

// SyncStats are the counters of state synchronisation. Groups and names are stable; one that is 0 is there all the same, but for those
// that count by reason.
type SyncStats struct {
	Member     string                       `json:"member"`
	Since      time.Time                    `json:"since"` // start, or the last reset
	Status     string                       `json:"status"`
	Reason     string                       `json:"reason,omitempty"`
	Groups     map[string]map[string]uint64 `json:"groups"`      // risk sent received applied reconciled queues refused-records dropped-frames kernel-errors skipped-events
	RecordRate float64                      `json:"record_rate"` // records sent in the last second
	InjectRate float64                      `json:"inject_rate"` // records put into the kernel in the last second
	Interfaces []SyncInterface              `json:"interfaces"`
	FlushMs    float64                      `json:"flush_ms"` // a record waits this long at most for others to leave with it
}

// SyncVerifyRequest compares tables entry by entry.
type SyncVerifyRequest struct {
	Member string `json:"member,omitempty"` // with whom; "" for all others
}

// SyncVerify is the result.
type SyncVerify struct {
	Member  string       `json:"member"`
	Equal   bool         `json:"equal"` // with all that were asked
	Reports []SyncReport `json:"reports"`
}

// SyncReport compares this member's table with one other's.
type SyncReport struct {
	Peer       string   `json:"peer"`
	Error      string   `json:"error,omitempty"` // why it could not be compared
	Equal      bool     `json:"equal"`
	Local      uint64   `json:"local"`   // entries on this member
	Remote     uint64   `json:"remote"`  // entries on the other
	Buckets    int      `json:"buckets"` // of 1024 that differed and were compared entry by entry
	OnlyLocal  uint64   `json:"only_local"`
	OnlyRemote uint64   `json:"only_remote"`
	Different  uint64   `json:"different"`
	Examples   []string `json:"examples,omitempty"` // of those and of the sets', one line each; at most 100 of a kind
	// Sets compares the nftables sets of sync.sets; absent if there are none.
	Sets   *SyncSetsReport `json:"sets,omitempty"`
	TookMs float64         `json:"took_ms"`
}

// SyncSetsReport compares the elements of nftables sets. An element differs if its value does, or if it expires at another time than what is told of
// it explains.
type SyncSetsReport struct {
	Equal      bool   `json:"equal"`
	Error      string `json:"error,omitempty"` // why they were not compared
	Local      uint64 `json:"local"`           // elements on this member
	Remote     uint64 `json:"remote"`          // elements on the other
	OnlyLocal  uint64 `json:"only_local"`
	OnlyRemote uint64 `json:"only_remote"`
	Different  uint64 `json:"different"`
}

// Validate refuses a request that no member could carry out.
func (r SyncVerifyRequest) Validate() error {
	if len(r.Member) > maxMemberName {
		return Invalid("a member name of "+strconv.Itoa(len(r.Member))+" bytes", "use a name of cluster.yaml")
	}
	return nil
}

// maxMemberName is the longest name of a member.
const maxMemberName = 32
