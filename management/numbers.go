// SPDX-License-Identifier: Apache-2.0

package management

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNumbersUnsure says that no number may be given before management knows the highest that it ever gave.
var ErrNumbersUnsure = errors.New("management may have forgotten numbers that it gave")

// UnsureError says which members are still to report. It wraps ErrNumbersUnsure.
type UnsureError struct {
	Cluster string
	Missing []string
}

// Error implements error.
func (e *UnsureError) Error() string {
	return fmt.Sprintf("cluster %s: %v, since it was restored from a backup or is behind what a member reports: wait for the report of %s, or name the highest generation and attempt yourself",
		e.Cluster, ErrNumbersUnsure, strings.Join(e.Missing, ", "))
}

// Unwrap gives ErrNumbersUnsure.
func (e *UnsureError) Unwrap() error { return ErrNumbersUnsure }

// Numbers is how far a cluster's generations and attempts have been numbered. A number is never given twice: members refuse the second.
//
// Numbers are unsure when management may have forgotten some: after a restore from a backup, or when a member reports a number that
// management never gave. Then none is given before each member of the cluster has reported the highest that it knows, or an operator has
// named them.
type Numbers struct {
	Generation uint64   `json:"generation"`       // the highest given, or reported by a member
	Attempt    uint64   `json:"attempt"`          // likewise
	Epoch      uint64   `json:"epoch"`            // how often the store had been restored when this was written
	Unsure     bool     `json:"unsure,omitempty"` // until all members are among Heard
	Heard      []string `json:"heard,omitempty"`  // members that have reported since it is unsure, sorted
}

// At is n in a store that was restored epoch times: unsure, and nobody heard, if it was written before the last time.
func (n Numbers) At(epoch uint64) Numbers {
	if n.Epoch != epoch {
		n.Epoch, n.Unsure, n.Heard = epoch, true, nil
	}
	return n
}

// Missing are the members that have not reported since n became unsure; none if it is sure.
func (n Numbers) Missing(members []string) []string {
	if !n.Unsure {
		return nil
	}
	var all []string
	for _, m := range members {
		if !slices.Contains(n.Heard, m) {
			all = append(all, m)
		}
	}
	return all
}

// Reported is n after a member has said what the highest generation and attempt are that it knows. A higher one than n's makes n unsure:
// who forgot one may have forgotten others. When the last of members has reported n is sure.
func (n Numbers) Reported(member string, members []string, generation, attempt uint64) (after Numbers, changed bool) {
	after = n
	if generation > n.Generation || attempt > n.Attempt {
		after.Generation, after.Attempt = max(n.Generation, generation), max(n.Attempt, attempt)
		changed = true
		if !after.Unsure {
			after.Unsure, after.Heard = true, nil
		}
	}
	if after.Unsure && !slices.Contains(after.Heard, member) {
		after.Heard = append(slices.Clone(after.Heard), member)
		slices.Sort(after.Heard)
		changed = true
	}
	if settled, yes := after.Settled(members); yes {
		return settled, true
	}
	return after, changed
}

// Settled is n, sure if all of members have reported.
func (n Numbers) Settled(members []string) (after Numbers, changed bool) {
	if !n.Unsure || len(n.Missing(members)) > 0 {
		return n, false
	}
	n.Unsure, n.Heard = false, nil
	return n, true
}
