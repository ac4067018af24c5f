// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// health is what the status is judged by.
type health struct {
	disabled   bool
	members    int // configured
	interfaces []InterfaceState
	peers      int // bound
	awaited    int // that should be bound, because their HELLOs say that they synchronise
	role       Role
	current    bool
	owner      bool // one is known
	syncing    bool // a full sync of this member is under way
	serving    []uint8
	evicted    []uint8
	vain       []uint8  // that take nothing of what they ask for
	silent     []string // owners from which nothing comes, in words
	lostEvents bool     // within the last lossShown, or not repaired yet
	kernel     string
	refused    string
	sets       string  // why nftables sets are not kept equal
	backlog    float64 // share of what may wait, 0..1
	unequal    bool    // the last comparison found a difference
}

// backlogRisk is the share of the buffers in use from which on the status says so.
const backlogRisk = 0.8

// judge says in a word, and in words, how state synchronisation is. It is pure.
func (h health) judge() (Status, string) {
	up := 0
	var down []string
	for _, i := range h.interfaces {
		if i.Up && i.Error == "" {
			up++
		} else {
			down = append(down, i.Name)
		}
	}
	switch {
	case h.disabled:
		return StatusOff, "disabled by configuration"
	case h.members < 2:
		return StatusOff, "a cluster of one member"
	case len(h.interfaces) == 0:
		return StatusOff, "no interface has the role sync or cluster+sync"
	case up == 0:
		return StatusOff, "no sync interface is up: " + strings.Join(down, ", ")
	case h.kernel != "":
		return StatusAtRisk, h.kernel
	case h.peers == 0 && h.awaited == 0:
		return StatusOff, "alone: no other member synchronises"
	}
	var why []string
	if h.peers < h.awaited {
		why = append(why, fmt.Sprintf("%d of %d members not reached on a sync interface", h.awaited-h.peers, h.awaited))
	}
	why = append(why, h.silent...)
	for _, i := range h.interfaces {
		if i.Up && i.MTU != 0 && i.MTU < ccp.MaxFrameLen {
			why = append(why, fmt.Sprintf("%s has an MTU of %d bytes, and long frames take %d: set that much at least, on all members and on what is between them",
				i.Name, i.MTU, ccp.MaxFrameLen))
		}
	}
	for _, m := range h.evicted {
		why = append(why, fmt.Sprintf("member %d does not keep up", m))
	}
	for _, m := range h.vain {
		why = append(why, fmt.Sprintf("member %d acknowledges none of the long frames (up to %d bytes) that it asks for: compare the MTU of the sync "+
			"interfaces of both members and of what is between them", m, ccp.MaxFrameLen))
	}
	if !h.current && h.owner {
		why = append(why, "full sync running")
	} else if h.syncing && h.unequal {
		why = append(why, "repair running")
	} else if h.unequal {
		why = append(why, "the copy differs from the owner's table")
	}
	for _, m := range h.serving {
		why = append(why, fmt.Sprintf("full sync of member %d running", m))
	}
	if h.lostEvents {
		why = append(why, "events of the kernel were lost")
	}
	if h.refused != "" {
		why = append(why, "the kernel refuses records: "+h.refused)
	}
	if h.sets != "" {
		why = append(why, h.sets)
	}
	if h.backlog > backlogRisk {
		why = append(why, fmt.Sprintf("backlog at %.0f %%", 100*h.backlog))
	}
	if len(down) > 0 {
		why = append(why, fmt.Sprintf("only %d of %d sync interfaces up: %s is down", up, len(h.interfaces), strings.Join(down, ", ")))
	}
	if len(why) == 0 {
		return StatusOK, ""
	}
	return StatusAtRisk, strings.Join(why, "; ")
}

// atLeast is how long something has lasted, in steps: a text that changes with each second is news each second.
func atLeast(d int64) time.Duration {
	for _, step := range []time.Duration{time.Hour, 10 * time.Minute, time.Minute, 30 * time.Second} {
		if time.Duration(d) >= step {
			return step
		}
	}
	return 10 * time.Second
}
